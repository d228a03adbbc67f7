package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

var (
	first = flag.Uint64("seed", 1, "the first seed")
	count = flag.Int("seeds", 0, "how many seeds")
	list  = flag.Bool("mutants", false, "list the ways in which this program can be broken, and end")
	tries = flag.Int("shrink", 300, "how many shorter plans to try when one fails")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *list {
		fmt.Println(strings.Join(mutant.Names, "\n"))
		return
	}
	warmUp()
	if replays {
		runtime.GOMAXPROCS(1)
		debug.SetGCPercent(-1)
	}
	os.Exit(m.Run())
}

// warmUp makes what all simulations share outside of any.
func warmUp() {
	if body, err := changeset.Pack(nil); err == nil {
		_, _ = changeset.Unpack(body, changeset.DefaultLimits())
	}
}

// room is where the files of simulations are: a disk in memory, if there is one.
func room(t *testing.T) string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir, err := os.MkdirTemp("/dev/shm", "vesper-simulation-")
		if err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// run runs a plan. Where runs are to be exact there must be no garbage
// collection meanwhile, so there is one before.
func run(t *testing.T, plan Plan, dir string) Result {
	if replays {
		collect()
	}
	return Run(t, plan, dir)
}

// collect collects garbage when there is much of it.
func collect() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 256<<20 {
		runtime.GC()
	}
}

// report is what a worker says of a seed.
type report struct {
	Seed       uint64  `json:"seed"`
	Failed     string  `json:"failed,omitempty"`
	Story      string  `json:"story,omitempty"`
	Operations int     `json:"operations"`
	Trace      string  `json:"trace"`
	Seconds    float64 `json:"seconds"`
	Converged  float64 `json:"converged"`
}

func serve(t *testing.T, seed uint64, dir string) report {
	started := time.Now()
	result := run(t, NewPlan(seed), dir)
	r := report{
		Seed: seed, Failed: result.Failed(), Operations: result.Operations, Trace: fmt.Sprintf("%x", result.Trace),
		Converged: result.Converged.Seconds(),
	}
	if r.Failed != "" {
		r.Story = tellShort(t, result, dir)
	}
	r.Seconds = time.Since(started).Seconds()
	return r
}

// tellShort finds a shorter plan that fails in the same way and tells its story.
func tellShort(t *testing.T, result Result, dir string) string {
	last := result
	plan := Shrink(NewPlan(result.Seed), *tries, func(p Plan) bool {
		r := run(t, p, dir)
		if r.Failed() == result.Failed() {
			last = r
			return true
		}
		return false
	})
	return fmt.Sprintf("seed %d, %s, policy %s: %s\n%s\n\n%s again: make simulate SEED=%d",
		plan.Seed, plan.Topology.Name, plan.Policy, last.Violations[0].What, strings.Join(last.Story, "\n"), last.Failed(), plan.Seed)
}

func TestTheTwelveGuaranteesHoldWhateverFails(t *testing.T) {
	n := *count
	if n == 0 {
		if n = 60; testing.Short() {
			n = 10
		}
	}
	dir := room(t)
	for seed := *first; seed < *first+uint64(n); seed++ {
		if r := serve(t, seed, dir); r.Failed != "" {
			t.Errorf("%s", r.Story)
			return
		}
	}
}
