// Conformance replays what was recorded from the original Vesper and prints, by
// group, how much of it holds here, how much is otherwise on purpose
// (docs/conformance.md names each with its reason), and how much fails. It ends
// with status 1 when a group is below its goal, when something fails that is no
// named deviation, or when the document says anything else than the run.
//
//	go run ./hack/conformance          the table
//	go run ./hack/conformance --write  the same, and its figures into the document
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"vesperdb.io/vesper/internal/statement/conformance"
)

const document = "docs/conformance.md"

// suites are the tests that replay recordings and report what comes of each.
var suites = []struct{ run, folder string }{
	{"^TestRecordedBehaviorOfTheOriginalHolds$", "./internal/pjson"},
	{"^(TestOperationsBehaveAsTheOriginalRecorded|TestMergesAndTransactionsBehaveAsTheOriginalRecorded)$", "./internal/store"},
	{"^TestRecordedExchanges$", "./internal/server"},
	{"^TestRecordedQueries$", "./hack/conformance"},
}

func main() {
	write := flag.Bool("write", false, "write the figures into "+document)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := table(ctx, ".", *write, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// table runs everything below root, prints the table and returns what is wrong.
func table(ctx context.Context, root string, write bool, out io.Writer) error {
	outcomes, failed := replay(ctx, root)
	if len(outcomes) == 0 {
		return fmt.Errorf("no recording was replayed: name their folder in %s (%w)", conformance.Variable, failed)
	}
	path := filepath.Join(root, filepath.FromSlash(document))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	result := tally(outcomes, deviations(string(text)))
	fmt.Fprint(out, result.String())
	if write {
		if text, err = result.writeInto(text); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // a document for everyone
			return err
		}
	}
	return result.verdict(string(text), failed)
}

// replay runs the suites and returns the outcomes of all, and the failure of any.
func replay(ctx context.Context, root string) ([]conformance.Outcome, error) {
	folder, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	report := filepath.Join(folder, "report")
	var failed error
	for _, s := range suites {
		test := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "10m", "-run", s.run, s.folder)
		test.Dir = root
		test.Env = append(os.Environ(), conformance.ReportVariable+"="+report)
		if text, err := test.CombinedOutput(); err != nil {
			failed = fmt.Errorf("%s: %w\n%s", s.folder, err, last(text, 4000))
		}
	}
	outcomes, err := read(report)
	if err != nil {
		return nil, err
	}
	return outcomes, failed
}

func last(text []byte, size int) []byte { return text[max(0, len(text)-size):] }
