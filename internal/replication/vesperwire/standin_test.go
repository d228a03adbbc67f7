package vesperwire

import (
	"fmt"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/legacywire"
)

// The stand-in for the original is worth as much as it does what the original
// was recorded to do: two nodes write, one after the other and at the same
// time, and merge.
func TestTheStandInMergesAsTheOriginalWasRecorded(t *testing.T) {
	for _, group := range []string{"two nodes, history=True", "two nodes, history=split"} {
		a, b := newOriginal("AA", "AA"), newOriginal("BB", "AA")
		deliver := func(from, to *originalNode, i int) func() error {
			return func() error {
				to.receive(from.id, from.out[i])
				return to.dead
			}
		}
		write := func(o *originalNode, subject, value string) func() error {
			return func() error { return o.write([]row{lit(subject, "v", value)}, nil) }
		}
		steps := []struct {
			op  string
			of  *originalNode
			run func() error
		}{
			{"AA add", a, write(a, "1", "x")}, {"BB merges it", b, deliver(a, b, 0)},
			{"BB add", b, write(b, "2", "y")}, {"AA merges it", a, deliver(b, a, 0)},
			{"AA concurrent add", a, write(a, "3", "z")}, {"BB concurrent add", b, write(b, "4", "w")},
			{"AA merges concurrent (creates a merge changeset)", a, deliver(b, a, 1)},
			{"BB merges concurrent (creates a merge changeset)", b, deliver(a, b, 1)},
			{"AA receives the merge changeset of BB", a, deliver(b, a, 2)},
			{"BB receives the merge changeset of AA", b, deliver(a, b, 2)},
		}
		i := 0
		for _, r := range recordings(t) {
			if r.Group != group {
				continue
			}
			step := steps[i]
			i++
			if step.op != r.Op {
				t.Fatalf("%s: step %d is recorded as %s", group, i, r.Op)
			}
			count := len(step.of.out)
			if err := step.run(); err != nil {
				t.Fatalf("%s: %v", r.Op, err)
			}
			if step.of.current != r.VersionAfter {
				t.Errorf("%s: the stand-in is at %s, recorded %s", r.Op, step.of.current, r.VersionAfter)
			}
			if got, want := revisionsOf(t, step.of.out[count:]), revisionsOf(t, bytesOf(r.Wire)); got != want {
				t.Errorf("%s: the stand-in publishes %s, recorded %s", r.Op, got, want)
			}
			if got, want := pretty(step.of.statements()), pretty(r.primary(t)); got != want {
				t.Errorf("%s: the stand-in holds\n%srecorded\n%s", r.Op, got, want)
			}
		}
		if i != len(steps) {
			t.Errorf("%s: %d steps are recorded", group, i)
		}
	}
}

func bytesOf(list []string) (out [][]byte) {
	for _, text := range list {
		out = append(out, []byte(text))
	}
	return out
}

func revisionsOf(t *testing.T, bodies [][]byte) string {
	t.Helper()
	var out []string
	for _, b := range bodies {
		m, err := legacywire.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s on %s", m.Revision, m.Base))
	}
	return strings.Join(out, "; ")
}

func TestTheStandInDiesOfWhatTheOriginalWasRecordedToDieOf(t *testing.T) {
	a, b := newOriginal("AA", "AA"), newOriginal("BB", "AA")
	steps := []func() error{
		func() error { return a.write([]row{lit("1", "v", "x"), lit("1", "w", "k")}, nil) },
		func() error { b.receive("AA", a.out[0]); return b.dead },
		func() error { return a.write([]row{lit("1", "v", "A")}, []row{lit("1", "v", "x")}) },
		func() error { return b.write([]row{lit("1", "w", "B")}, []row{lit("1", "w", "k")}) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	a.receive("BB", b.out[0])
	b.receive("AA", a.out[1])
	if a.dead == nil || b.dead == nil {
		t.Errorf("a conflict leaves %v and %v", a.dead, b.dead)
	}
	// A base that is missing: kept for ever; and deadly the second time.
	c := newOriginal("CC", "AA")
	c.receive("AA", a.out[1])
	if c.dead != nil || len(c.pending) != 1 {
		t.Errorf("a missing base leaves %v, %v", c.dead, c.pending)
	}
	c.receive("AA", a.out[0])
	if c.current != "AA00001" || len(c.pending) != 1 {
		t.Errorf("when the base comes, the node is at %s with %v", c.current, c.pending)
	}
	d := newOriginal("DD", "AA")
	d.receive("AA", a.out[1])
	d.receive("AA", a.out[1])
	if d.dead == nil {
		t.Error("the same base twice does not end the stand-in")
	}
	late := newOriginal("0A", "AA")
	late.latest = "AA00001,CC00001"
	if err := late.write(nil, nil); err == nil {
		t.Error("a node writes whose id precedes those in its revision")
	}
}
