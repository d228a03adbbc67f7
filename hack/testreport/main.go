// Command testreport runs `go test -json` and tells what happened in a form a
// person can read: a line for each package, the whole output of what failed,
// and the reason of each skipped test. It keeps its counts in a file, so that
// several runs end in one total.
//
//	testreport --counts FILE -- go test -json ./...
//	testreport --counts FILE --total
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("testreport", flag.ContinueOnError)
	file := flags.String("counts", "", "file that keeps the counts of several runs")
	total := flags.Bool("total", false, "print the total of the counts file and stop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file == "" {
		return errors.New("--counts FILE is missing")
	}
	sum, err := readCounts(*file)
	if err != nil {
		return err
	}
	if *total {
		return printTotal(out, sum)
	}
	if flags.NArg() == 0 {
		return errors.New("no command to run: give it after --")
	}
	counts, runErr := runTests(ctx, flags.Args(), out)
	if err := writeCounts(*file, sum.plus(counts)); err != nil {
		return err
	}
	return runErr
}

// runTests runs a `go test -json` command. Its error says that the command
// failed; the counts hold all that ran before.
func runTests(ctx context.Context, command []string, out io.Writer) (counts, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the command is what the caller asked for
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return counts{}, fmt.Errorf("opening the output of %s: %w", command[0], err)
	}
	if err := cmd.Start(); err != nil {
		return counts{}, fmt.Errorf("starting %s: %w", command[0], err)
	}
	r := newReport(out)
	readErr := r.read(stdout)
	if err := cmd.Wait(); err != nil {
		r.counts.Failed = max(r.counts.Failed, 1)
		return r.counts, fmt.Errorf("running %v: %w", command, err)
	}
	return r.counts, readErr
}

func printTotal(out io.Writer, c counts) error {
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", c.Passed, c.Failed, c.Skipped)
	if c.Failed > 0 {
		return fmt.Errorf("%d tests failed", c.Failed)
	}
	if c.Passed == 0 {
		return errors.New("no test ran")
	}
	return nil
}
