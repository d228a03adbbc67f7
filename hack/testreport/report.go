package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// counts is how many tests, subtests included, ended which way.
type counts struct{ Passed, Failed, Skipped int }

func (c counts) plus(d counts) counts {
	return counts{c.Passed + d.Passed, c.Failed + d.Failed, c.Skipped + d.Skipped}
}

func readCounts(file string) (counts, error) {
	var c counts
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading counts: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("reading counts from %s: %w", file, err)
	}
	return c, nil
}

func writeCounts(file string, c counts) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding counts: %w", err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("writing counts: %w", err)
	}
	return nil
}

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

type testName struct{ pkg, test string }

// report turns events into lines for a person.
type report struct {
	out    io.Writer
	counts counts
	perPkg map[string]counts
	output map[testName][]string
}

func newReport(out io.Writer) *report {
	return &report{out: out, perPkg: map[string]counts{}, output: map[testName][]string{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading test events: %w", err)
		}
	}
}

func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(r.out, "%s", line) // not an event: what the go command itself says
		return
	}
	if e.Package == "" {
		e.Package = e.ImportPath // build events name no package
	}
	switch e.Action {
	case "output", "build-output":
		name := testName{e.Package, e.Test}
		r.output[name] = append(r.output[name], e.Output)
	case "build-fail":
		r.fail(e)
	case "pass", "fail", "skip":
		r.ended(e)
	}
}

func (r *report) ended(e event) {
	name := testName{e.Package, e.Test}
	defer delete(r.output, name)
	if e.Test == "" {
		r.packageEnded(e)
		return
	}
	var one counts
	switch e.Action {
	case "pass":
		one.Passed = 1
	case "skip":
		one.Skipped = 1
		fmt.Fprintf(r.out, "SKIP %s %s: %s\n", e.Package, e.Test, skipReason(r.output[name]))
	case "fail":
		r.fail(e)
		return
	}
	r.add(e.Package, one)
}

func (r *report) add(pkg string, one counts) {
	r.counts = r.counts.plus(one)
	r.perPkg[pkg] = r.perPkg[pkg].plus(one)
}

func (r *report) fail(e event) {
	r.add(e.Package, counts{Failed: 1})
	fmt.Fprintf(r.out, "FAIL %s %s\n%s", e.Package, e.Test, strings.Join(r.output[testName{e.Package, e.Test}], ""))
}

func (r *report) packageEnded(e event) {
	c := r.perPkg[e.Package]
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
	switch {
	case e.Action == "fail" && c.Failed == 0: // a crash, a data race at exit, a leak found after the tests
		r.fail(e)
	case e.Action == "fail":
		fmt.Fprintf(r.out, "FAIL %s (%v, %d failed)\n%s", e.Package, took, c.Failed, strings.Join(r.output[testName{e.Package, ""}], ""))
	case c == counts{}:
		return // nothing to test there
	default:
		fmt.Fprintf(r.out, "ok   %s (%v, %d passed)\n", e.Package, took, c.Passed)
	}
}

// skipReason finds the words given to t.Skip in a test's output.
func skipReason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if _, reason, ok := strings.Cut(line, ".go:"); ok {
			if _, reason, ok = strings.Cut(reason, ": "); ok {
				return reason
			}
		}
		return line
	}
	return "no reason given"
}
