//go:build lives

package controllers

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outcome is how a lifecycle ended.
type outcome struct {
	portrait map[string]string
	done     []string // what an operator wrote whose link did not break
	broken   []string // the writes at which a link broke
	wrong    []string
	tale     string
}

// informers is how late an operator hears of what is written; see lateCache.
type informers struct {
	lag            map[string]int
	readsOwnWrites bool
}

// calmPasses are those without a write after which the next act begins: more than
// the time in which steps are gathered.
const calmPasses = 2

// play lets a lifecycle go by, with an operator whose link breaks at some of its
// writes, and whose informers are late.
func (l lifecycle) play(t *testing.T, at func(int) (breaking, bool), in informers) (o outcome) {
	t.Helper()
	onStage(t, func(s *stage) {
		w := s.watch()
		if l.before != nil {
			l.before(s)
			w.rest()
		}
		s.chapter(l.name)
		s.cache.lag, s.cache.readsOwnWrites = in.lag, in.readsOwnWrites
		s.link.done, s.breakages = nil, breakages{at: at}
		for _, act := range l.acts {
			act(s)
			s.settleFor(calmPasses)
			w.rest()
		}
		o.broken, o.done, s.breakages.at = s.breakages.broken, s.link.done, nil
		s.wantRest(w)
		o.portrait, o.wrong, o.tale = s.portrait(), w.wrong, s.tale()
	})
	return o
}

// wantRest: once figures have been written, nothing is, neither by the operator that
// is there nor by one that takes over.
func (s *stage) wantRest(w *witness) {
	for range 2 { // what is told in a figure is asked for first
		time.Sleep(nodeFigures)
		s.settleFor(calmPasses)
	}
	s.restart()
	for range calmPasses {
		s.pass()
		time.Sleep(nodeAskReady)
	}
	if len(s.link.done) > 0 {
		w.fail("at rest an operator that took over wrote: %s", strings.Join(s.link.done, ", "))
	}
}

var everyCrash = flag.Bool("crashes", false, "let the operator crash at each write of each lifecycle alone, in each way, instead of at several writes of one run")

// ways are all ways in which a link breaks.
var ways = []breaking{{false, true}, {true, true}, {false, false}, {true, false}}

// TestAnOperatorThatBreaksOffAtAnyWriteOfALifeIsTakenOverWithoutHarm lets the link
// to the API server break at every single write of every lifecycle, whether the write
// was carried out or not, and the operator die of it or not: what becomes of it is
// what becomes without that, to the last field; the witness finds nothing wrong on the
// way; and in the end nothing is written any more. Without -crashes one run has a
// break at each third write, each in another way, and three runs have them all.
func TestAnOperatorThatBreaksOffAtAnyWriteOfALifeIsTakenOverWithoutHarm(t *testing.T) {
	var points, runs, broken atomic.Int64
	t.Run("lives", func(t *testing.T) {
		for _, life := range lifecycles() {
			t.Run(life.name, func(t *testing.T) {
				t.Parallel()
				want := life.play(t, nil, informers{})
				life.check(t, "undisturbed", want, want)
				points.Add(int64(len(want.done)))
				for when, at := range breaksOf(len(want.done)) {
					got := life.play(t, at, informers{})
					runs.Add(1)
					broken.Add(int64(len(got.broken)))
					life.check(t, when, got, want)
				}
				t.Logf("%d writes", len(want.done))
			})
		}
	})
	t.Logf("%d lifecycles with %d writes, %d breaks in %d runs", len(lifecycles()), points.Load(), broken.Load(), runs.Load())
}

// breaksOf are the breaks of the runs of a lifecycle with so many writes.
func breaksOf(writes int) map[string]func(int) (breaking, bool) {
	out := map[string]func(int) (breaking, bool){}
	if !*everyCrash {
		for first := range 3 {
			out[fmt.Sprintf("breaks at each third write from %d", first+1)] = func(attempt int) (breaking, bool) {
				return ways[(attempt/3+first)%len(ways)], attempt%3 == first && attempt <= writes
			}
		}
		return out
	}
	for k := 1; k <= writes; k++ {
		for _, how := range ways {
			out[fmt.Sprintf("at write %d: %s", k, how)] = func(attempt int) (breaking, bool) { return how, attempt == k }
		}
	}
	return out
}

// check compares how a lifecycle ended with how it should.
func (l lifecycle) check(t *testing.T, when string, got, want outcome) {
	t.Helper()
	if len(got.wrong) > 0 {
		t.Errorf("%s, %s:\n%s\nbroken: %s\nthe story:\n%s", l.name, when, strings.Join(got.wrong, "\n"), strings.Join(got.broken, "\n"), got.tale)
	}
	if diff := cmp.Diff(want.portrait, got.portrait); diff != "" && !l.anyEnd {
		t.Errorf("%s, %s: it ends otherwise (-want +got):\n%s\nbroken: %s\nthe story:\n%s", l.name, when, diff, strings.Join(got.broken, "\n"), got.tale)
	}
}

// TestInformersThatAreLateDoNoHarm lives all lifecycles with an operator that hears
// late of what is written, of some kinds later than of others, and all but its own
// writes or those too: the end is the same, and the witness finds nothing wrong.
func TestInformersThatAreLateDoNoHarm(t *testing.T) {
	late := map[string]informers{
		"by some writes, but for its own": {map[string]int{"": 3, "VesperNode": 1, "StatefulSet": 5}, true},
		"by some writes":                  {map[string]int{"": 2, "VesperNode": 4, "Pod": 1}, false},
	}
	for _, life := range lifecycles() {
		t.Run(life.name, func(t *testing.T) {
			t.Parallel()
			want := life.play(t, nil, informers{})
			for how, in := range late {
				life.check(t, "late "+how, life.play(t, nil, in), want)
			}
		})
	}
}
