package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The simulator's program is built with a Go runtime in which nothing is left to
// chance or to the wall clock: what runs next, which ready case a select takes,
// which of two timers of one instant fires first and in which order a map is
// walked through come from the simulation's seed. So a seed gives the same run
// each time, whatever the code under test does, and other seeds try other
// schedules. The patched files are made from those of the installed Go at every
// build and given to it with -overlay; no other program is built with them.
//
// The runtime does so only between runtime.simulate(seed) and runtime.simulate(0);
// there must be one P (GOMAXPROCS=1) and no garbage collection meanwhile.

// patch replaces text in one file of GOROOT/src. Each old text must be there
// exactly once: another Go version may need another patch, and says so.
type patch struct{ file, old, new string }

var patches = []patch{
	// Chance: xorshift64*, seeded by the simulation.
	{"runtime/rand.go", "// randn is like rand() % n but faster.\n// Do not change", `var simulated struct {
	on    bool
	state uint64
}

//go:linkname simulate
func simulate(seed uint64) {
	simulated.on = seed != 0
	simulated.state = seed * 0x9e3779b97f4a7c15
}

//go:nosplit
func simulatedRand() uint64 {
	simulated.state ^= simulated.state >> 12
	simulated.state ^= simulated.state << 25
	simulated.state ^= simulated.state >> 27
	return simulated.state * 0x2545f4914f6cdd1d
}

// randn is like rand() % n but faster.
// Do not change`},
	{"runtime/rand.go", "\t// Note: We avoid acquirem here", "\tif simulated.on {\n\t\treturn simulatedRand()\n\t}\n\t// Note: We avoid acquirem here"},
	{"runtime/rand.go", "\tmp.cheaprand = rand()\n", "\tmp.cheaprand = bootstrapRand()\n"},
	// Hashes of strings, and so the order of maps, are the same in each process.
	{"runtime/rand.go", "\tglobalRand.state.Init(*seed)\n", "\t*seed = [32]byte{1}\n\tglobalRand.state.Init(*seed)\n"},
	// A select looks at its cases in the simulation's order.
	{"runtime/select.go", "\t\tj := cheaprandn(uint32(norder + 1))\n", `		j := uint32(0)
		if simulated.on {
			j = uint32(simulatedRand()>>32) % uint32(norder+1)
		} else {
			j = cheaprandn(uint32(norder + 1))
		}
`},
	// Timers of one instant fire in the simulation's order.
	{"runtime/time.go", "\t\t\tt.rand = cheaprand()\n", "\t\t\tt.rand = cheaprand()\n\t\t\tif simulated.on {\n\t\t\t\tt.rand = uint32(simulatedRand() >> 32)\n\t\t\t}\n"},
	// A goroutine that becomes ready runs next, or after the others.
	{"runtime/proc.go", "\tif randomizeScheduler && next && randn(2) == 0 {\n", "\tif simulated.on && next && simulatedRand()>>63 == 0 {\n\t\tnext = false\n\t}\n\tif randomizeScheduler && next && randn(2) == 0 {\n"},
	{"runtime/proc.go", "\tif pp.schedtick%61 == 0 && !sched.runq.empty() {\n", "\tif !simulated.on && pp.schedtick%61 == 0 && !sched.runq.empty() {\n"},
	// Nothing is preempted and no system call is overtaken because time passes.
	{"runtime/proc.go", "func retake(now int64) uint32 {\n", "func retake(now int64) uint32 {\n\tif simulated.on {\n\t\treturn 0\n\t}\n"},
	// A mutex is not handed over because somebody waited for a millisecond.
	{"runtime/sema.go", "func internal_sync_nanotime() int64 {\n", "func internal_sync_nanotime() int64 {\n\tif simulated.on {\n\t\treturn 1\n\t}\n"},
	// The children of a context end in the order of their making, not in that of
	// their addresses.
	{"context/context.go", "\tchildren map[canceler]struct{} //", "\tchildren map[canceler]uint64 //"},
	{"context/context.go", "\t\t\t\tp.children = make(map[canceler]struct{})\n", "\t\t\t\tp.children = make(map[canceler]uint64)\n"},
	{"context/context.go", "\t\t\tp.children[child] = struct{}{}\n", "\t\t\tp.children[child] = childNumber.Add(1)\n"},
	{"context/context.go", "\tfor child := range c.children {\n", "\tfor _, child := range inOrder(c.children) {\n"},
	{"context/context.go", "// cancel closes c.done, cancels each of c's children, and, if\n", `var childNumber atomic.Uint64

func inOrder(children map[canceler]uint64) []canceler {
	out := make([]canceler, 0, len(children))
	for child := range children {
		at := len(out)
		for at > 0 && children[out[at-1]] > children[child] {
			at--
		}
		out = append(out, nil)
		copy(out[at+1:], out[at:])
		out[at] = child
	}
	return out
}

// cancel closes c.done, cancels each of c's children, and, if
`},
}

// writeOverlay writes the patched files to dir and returns the overlay's path.
func writeOverlay(goroot, dir string) (string, error) {
	texts := map[string]string{}
	for _, p := range patches {
		path := filepath.Join(goroot, "src", p.file)
		if _, read := texts[path]; !read {
			raw, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("reading the runtime: %w", err)
			}
			texts[path] = string(raw)
		}
		if n := strings.Count(texts[path], p.old); n != 1 {
			return "", fmt.Errorf("patching %s of this Go for exact replay: %q is there %d times, not once: adapt the patch to this version", p.file, p.old, n)
		}
		texts[path] = strings.Replace(texts[path], p.old, p.new, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		to := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, goroot+"/src/"), "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = to
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, raw, 0o600)
}
