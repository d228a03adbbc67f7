// Command simulate runs the simulator (see internal/simulation) over many
// seeds, in one process a core, and ends with one line of JSON. It builds the
// simulator with a Go runtime that leaves nothing to chance, so that a seed
// always gives the same run: see overlay.go.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"
)

// job is what is asked for.
type job struct {
	first   uint64
	seeds   int
	workers int
	// twice runs every so many-th seed a second time and compares; 0: none.
	twice  int
	mutant string
	// untilFailure ends at the first seed that fails.
	untilFailure bool
}

// summary is the last line.
type summary struct {
	Seeds      int     `json:"seeds"`
	Failures   int     `json:"failures"`
	Seconds    float64 `json:"seconds"`
	Operations int     `json:"operations"`
}

func main() {
	seeds := flag.Int("seeds", 10000, "how many seeds")
	seed := flag.Uint64("seed", 0, "this one seed only")
	first := flag.Uint64("first", 1, "the first seed")
	mutant := flag.String("mutant", "", "break the code in this way")
	mutants := flag.Bool("mutants", false, "break the code in each way (or that of -mutant), one after another, and tell which seed noticed")
	workers := flag.Int("workers", runtime.NumCPU(), "how many processes")
	twice := flag.Int("twice", 50, "run every so many-th seed a second time and compare; 0 for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	j := job{first: *first, seeds: *seeds, workers: *workers, twice: *twice, mutant: *mutant}
	if *seed > 0 {
		j.first, j.seeds, j.workers, j.twice = *seed, 1, 1, 1
	}
	ok, err := simulate(ctx, j, *mutants)
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func simulate(ctx context.Context, j job, mutants bool) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "vesper-simulate-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program, err := build(ctx, dir, mutants || j.mutant != "")
	if err != nil {
		return false, err
	}
	if mutants {
		return catchAll(ctx, program, j)
	}
	s, failed, err := run(ctx, program, j)
	for _, r := range failed {
		fmt.Println(r.Story)
	}
	line, _ := json.Marshal(s) // three numbers
	fmt.Println(string(line))
	return s.Failures == 0 && err == nil, err
}

// row is a line of the table of mutants.
const row = "%-26v %-14v %-9v %6v %8v\n"

// catchAll breaks the code in each known way and reports which seed noticed.
func catchAll(ctx context.Context, program string, j job) (ok bool, err error) {
	names, err := list(ctx, program)
	if err != nil {
		return false, err
	}
	if j.mutant != "" {
		names = []string{j.mutant}
	}
	fmt.Printf(row, "MUTANT", "CAUGHT BY SEED", "GUARANTEE", "SEEDS", "SECONDS")
	j.untilFailure, j.twice = true, 0
	started, sum, missed := time.Now(), summary{}, 0
	for _, name := range names {
		j.mutant = name
		s, failed, err := run(ctx, program, j)
		if err != nil {
			return false, err
		}
		sum.Seeds, sum.Operations = sum.Seeds+s.Seeds, sum.Operations+s.Operations
		if len(failed) == 0 {
			missed++
			fmt.Printf(row, name, "NOT CAUGHT", "", s.Seeds, fmt.Sprintf("%.1f", s.Seconds))
			continue
		}
		fmt.Printf(row, name, failed[0].Seed, failed[0].Failed, s.Seeds, fmt.Sprintf("%.1f", s.Seconds))
	}
	sum.Failures, sum.Seconds = missed, time.Since(started).Seconds()
	line, _ := json.Marshal(sum) // four numbers
	fmt.Println(string(line))
	return missed == 0, nil
}
