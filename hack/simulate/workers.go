package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is how long one seed may take, with all the shorter plans that are
// tried when it fails.
const patience = 3 * time.Minute

// report is what a worker says of a seed; see internal/simulation.
type report struct {
	Seed       uint64 `json:"seed"`
	Failed     string `json:"failed"`
	Story      string `json:"story"`
	Operations int    `json:"operations"`
}

// build makes the simulator's program.
func build(ctx context.Context, dir string, mutants bool) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("asking Go for its place: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = dir
	}
	// At the same place each time: Go's cache knows the patched files by their paths.
	patched := filepath.Join(cache, "vesper-simulate")
	if err := os.MkdirAll(patched, 0o750); err != nil {
		return "", err
	}
	overlay, err := writeOverlay(strings.TrimSpace(string(root)), patched)
	if err != nil {
		return "", err
	}
	tags := "replay"
	if mutants {
		tags += ",mutants"
	}
	program := filepath.Join(dir, "simulation.test")
	c := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-tags", tags, "-o", program, "./internal/simulation")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the simulator: %w\n%s", err, out)
	}
	return program, nil
}

// list asks the program for the ways in which it can be broken.
func list(ctx context.Context, program string) ([]string, error) {
	out, err := exec.CommandContext(ctx, program, "-mutants").Output() //nolint:gosec // what was just built
	if err != nil {
		return nil, fmt.Errorf("listing the mutants: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// run has workers run the seeds of a job.
func run(ctx context.Context, program string, j job) (summary, []report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := time.Now()
	seeds, reports, errs := make(chan uint64), make(chan report), make(chan error, j.workers)
	go func() {
		defer close(seeds)
		for seed := j.first; seed < j.first+uint64(j.seeds); seed++ {
			select {
			case seeds <- seed:
			case <-ctx.Done():
				return
			}
		}
	}()
	var workers sync.WaitGroup
	for range j.workers {
		workers.Go(func() { errs <- work(ctx, program, j, seeds, reports) })
	}
	go func() { workers.Wait(); close(reports) }()
	s := summary{}
	var failed []report
	for r := range reports {
		s.Seeds, s.Operations = s.Seeds+1, s.Operations+r.Operations
		if r.Failed != "" {
			failed = append(failed, r)
			if j.untilFailure {
				cancel()
			}
		}
	}
	slices.SortFunc(failed, func(a, b report) int { return int(a.Seed) - int(b.Seed) })
	s.Failures, s.Seconds = len(failed), time.Since(started).Seconds()
	close(errs)
	var err error
	for e := range errs {
		if ctx.Err() == nil {
			err = errors.Join(err, e)
		}
	}
	return s, failed, err
}

// work runs seeds in one process, and in a new one after each that dies.
func work(ctx context.Context, program string, j job, seeds <-chan uint64, reports chan<- report) error {
	var p *process
	defer func() { p.stop() }()
	for seed := range seeds {
		if p == nil {
			var err error
			if p, err = start(ctx, program, j); err != nil {
				return err
			}
		}
		r, err := p.ask(ctx, seed, j.twice > 0 && seed%uint64(j.twice) == 0)
		if ctx.Err() != nil && err != nil {
			return nil //nolint:nilerr // ended from outside
		}
		if err != nil {
			p.stop()
			r = report{Seed: seed, Failed: "died", Story: fmt.Sprintf("seed %d: %v\n%s\n\nagain: make simulate SEED=%d", seed, err, p.errors.String(), seed)}
			p = nil
		}
		reports <- r
	}
	return nil
}

// process is one worker.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	errors *bytes.Buffer
}

func start(ctx context.Context, program string, j job) (*process, error) {
	shrink := "-shrink=300"
	if j.untilFailure {
		shrink = "-shrink=0"
	}
	c := exec.CommandContext(ctx, program, "-test.run=^TestWorker$", "-test.timeout=0", shrink) //nolint:gosec // what was just built
	c.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "MUTANT="+j.mutant)
	p := &process{cmd: c, errors: &bytes.Buffer{}}
	c.Stderr = p.errors
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewScanner(out)
	p.out.Buffer(nil, 64<<20)
	return p, c.Start()
}

// ask has the worker run a seed. It gives up on a worker that takes too long.
func (p *process) ask(ctx context.Context, seed uint64, twice bool) (report, error) {
	line := fmt.Sprintf("%d\n", seed)
	if twice {
		line = "twice " + line
	}
	if _, err := io.WriteString(p.in, line); err != nil {
		return report{}, err
	}
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	for p.out.Scan() {
		var r report
		if json.Unmarshal(p.out.Bytes(), &r) == nil && r.Seed == seed {
			return r, nil
		}
		p.errors.Write(append(p.out.Bytes(), '\n')) // what Go says when it dies
	}
	return report{}, errors.Join(errors.New("the simulator died, or hung"), p.out.Err(), ctx.Err())
}

func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.in.Close()
	_ = p.cmd.Wait()
}
