package store

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// The tests in this file have several authors write one object at random, each
// having seen some of what the others wrote, and then apply all of it in random
// causal orders. They use nothing but the pure functions.

// sent is one changeset of one object with what its author had seen.
type sent struct {
	w      write
	change changeset.ObjectChange
}

// author is a replica of one object that also writes.
type author struct {
	id      branch.ID
	rec     record
	seen    branch.Revision // other branches and its own
	clock   changeset.Clock
	applied []branch.Dot
}

func (a *author) take(s sent) {
	a.rec.apply(s.change, s.w)
	a.seen = a.seen.With(s.w.stamp.Dot)
	a.clock = max(a.clock, s.w.stamp.Clock)
	a.applied = append(a.applied, s.w.stamp.Dot)
}

// ready reports whether the author may take a changeset, and has not yet.
func (a *author) ready(s sent) bool {
	dot := s.w.stamp.Dot
	return !a.seen.Covers(dot) && a.seen.At(dot.Branch)+1 == dot.Seq && a.seen.CoversAll(s.w.seen)
}

const testRoot = "obj"

var testEmbedded = []string{"_:j:e:object:obj:1", "_:j:e:object:obj:2"}

// act changes the object through the same code as a transaction, and returns
// the changeset, or false if nothing changed.
func (a *author) act(t *rapid.T, skew changeset.Clock) (sent, bool) {
	work := newWorking(testRoot, &a.rec, PolicyLatest)
	for range rapid.IntRange(1, 3).Draw(t, "operations") {
		mutate(t, work)
	}
	work.sweep()
	change, changed := work.change()
	if !changed {
		return sent{}, false
	}
	a.clock = max(a.clock+1, skew)
	dot := branch.Dot{Branch: a.id, Seq: a.seen.At(a.id) + 1}
	others := slices.DeleteFunc(slices.Clone(a.seen), func(d branch.Dot) bool { return d.Branch == a.id })
	return sent{w: write{stamp: changeset.Stamp{Clock: a.clock, Dot: dot}, seen: others}, change: change}, true
}

func mutate(t *rapid.T, work *working) {
	p := prop{testRoot, rapid.SampledFrom([]string{"p", "q"}).Draw(t, "property")}
	value := changeset.Value{Term: statement.Literal(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value"))}
	switch rapid.SampledFrom([]string{"set", "set", "add", "remove", "empty", "list", "embed", "delete", "recreate"}).Draw(t, "kind") {
	case "set":
		work.set(p, []changeset.Value{value})
	case "add":
		work.add(p, []changeset.Value{value})
	case "remove":
		work.remove(p, []changeset.Value{value})
	case "empty":
		work.setIfAny(p)
	case "list":
		value.Positions = []int{rapid.IntRange(0, 2).Draw(t, "position")}
		work.add(p, []changeset.Value{value})
	case "embed":
		id := rapid.SampledFrom(testEmbedded).Draw(t, "embedded")
		work.set(p, []changeset.Value{{Term: statement.Reference(id)}})
		work.set(prop{id, "k"}, []changeset.Value{value})
	case "delete":
		if !work.empty() {
			work.deleted = work.deleted || len(work.was) > 0
			work.clear()
		}
	case "recreate":
		work.deleted = work.deleted || len(work.was) > 0
		work.clear()
		work.add(p, []changeset.Value{value})
	}
}

// story is what a few authors did, in one causal order.
func story(t *rapid.T) []sent {
	authors := make([]*author, rapid.IntRange(2, 4).Draw(t, "authors"))
	for i := range authors {
		authors[i] = &author{id: branch.ID(fmt.Sprintf("0%c", 'A'+i))}
	}
	var all []sent
	for range rapid.IntRange(2, 16).Draw(t, "steps") {
		a := authors[rapid.IntRange(0, len(authors)-1).Draw(t, "who")]
		for _, s := range all {
			if a.ready(s) && rapid.Bool().Draw(t, "sees") {
				a.take(s)
			}
		}
		// A clock that is fast or slow by any amount, and may equal another's.
		if s, ok := a.act(t, changeset.Clock(rapid.IntRange(1, 20).Draw(t, "clock"))); ok {
			all = append(all, s)
			a.take(s)
		}
	}
	return all
}

// shuffled returns the record after all the changesets in a random causal order.
func shuffled(t *rapid.T, all []sent) *author {
	replica := &author{}
	for len(replica.applied) < len(all) {
		var ready []sent
		for _, s := range all {
			if replica.ready(s) {
				ready = append(ready, s)
			}
		}
		replica.take(ready[rapid.IntRange(0, len(ready)-1).Draw(t, "next")])
	}
	return replica
}

func TestAnyCausalOrderGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := story(t)
		want := &author{}
		for _, s := range all {
			want.take(s)
		}
		for range 3 {
			got := shuffled(t, all)
			if string(got.rec.encode()) != string(want.rec.encode()) {
				t.Fatalf("order %v\ngives %s\norder %v\ngives %s",
					got.applied, describe(&got.rec), want.applied, describe(&want.rec))
			}
		}
	})
}

func describe(r *record) string { return fmt.Sprintf("%+v", *r) }

func TestRecordCodecRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := shuffled(t, story(t)).rec
		data := rec.encode()
		back, err := decodeRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		if string(back.encode()) != string(data) {
			t.Fatalf("%s\nbecame %s", describe(&rec), describe(back))
		}
	})
}

// TestApplyingToDecodedRecordIsTheSame guards against slices that a decoded
// record shares between its registers.
func TestApplyingToDecodedRecordIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var plain record
		stored := &record{}
		for _, s := range story(t) {
			plain.apply(s.change, s.w)
			stored.apply(s.change, s.w)
			var err error
			if stored, err = decodeRecord(stored.encode()); err != nil {
				t.Fatal(err)
			}
			if string(plain.encode()) != string(stored.encode()) {
				t.Fatalf("in memory %s\nstored %s", describe(&plain), describe(stored))
			}
		}
	})
}

func TestDamagedRecordIsRefusedOrHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := shuffled(t, story(t)).rec
		data := rec.encode()
		if len(data) == 0 {
			t.Skip()
		}
		data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if back, err := decodeRecord(data); err == nil {
			back.see(testRoot, PolicyLatest) // must not panic
		}
	})
}

// TestAuthorSeesWhatItWrote proves that a transaction's own view and the record
// after its changeset agree.
func TestAuthorSeesWhatItWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replica := shuffled(t, story(t))
		replica.id = "0Z"
		work := newWorking(testRoot, &replica.rec, PolicyLatest)
		mutate(t, work)
		mutate(t, work)
		work.sweep()
		want := work.statements()
		change, changed := work.change()
		if changed {
			others := replica.seen
			replica.rec.apply(change, write{stamp: changeset.Stamp{Clock: replica.clock + 1, Dot: branch.Dot{Branch: "0Z", Seq: 1}}, seen: others})
		}
		got := replica.rec.see(testRoot, PolicyLatest).statements
		statement.Sort(got)
		if !slices.EqualFunc(got, want, statement.Equal) && !sameLists(got, want) {
			t.Fatalf("wrote %+v\nreads %v\nwant  %v", change, got, want)
		}
	})
}

// sameLists compares as readers do: an unchanged list may keep other positions.
func sameLists(a, b []statement.Statement) bool {
	byProp := func(list []statement.Statement) map[prop][]changeset.Value {
		out := map[prop][]changeset.Value{}
		for _, s := range list {
			out[prop{s.Subject, s.Predicate}] = append(out[prop{s.Subject, s.Predicate}], valueOf(s))
		}
		return out
	}
	x, y := byProp(a), byProp(b)
	for p := range x {
		if !sameReading(x[p], y[p]) {
			return false
		}
	}
	return len(x) == len(y)
}

// TestDeletionAndUpdateNeverLeaveHalfAnObject proves the rule for the whole
// object: after a deletion and concurrent updates that nobody has seen together,
// either nothing is visible, or all that was there before and is not replaced.
func TestDeletionAndUpdateNeverLeaveHalfAnObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		creator := &author{id: "0A"}
		work := newWorking(testRoot, &creator.rec, PolicyLatest)
		work.add(prop{testRoot, "p"}, []changeset.Value{{Term: statement.Literal("1")}})
		work.add(prop{testRoot, "q"}, []changeset.Value{{Term: statement.Literal("2")}})
		change, _ := work.change()
		all := []sent{{w: write{stamp: changeset.Stamp{Clock: 1, Dot: branch.Dot{Branch: "0A", Seq: 1}}}, change: change}}
		latest, latestDeletes := changeset.Stamp{}, false
		for i := range rapid.IntRange(2, 4).Draw(t, "authors") {
			a := &author{id: branch.ID(fmt.Sprintf("0%c", 'B'+i))}
			a.take(all[0])
			w := newWorking(testRoot, &a.rec, PolicyLatest)
			deletes := rapid.Bool().Draw(t, "deletes")
			if deletes {
				w.deleted = true
				w.clear()
			} else {
				w.set(prop{testRoot, "p"}, []changeset.Value{{Term: statement.Literal(string(a.id))}})
			}
			c, _ := w.change()
			stamp := changeset.Stamp{Clock: changeset.Clock(rapid.IntRange(2, 4).Draw(t, "clock")), Dot: branch.Dot{Branch: a.id, Seq: 1}}
			if stamp.Compare(latest) > 0 {
				latest, latestDeletes = stamp, deletes
			}
			all = append(all, sent{w: write{stamp: stamp, seen: a.seen}, change: c})
		}
		got := shuffled(t, all).rec
		seen := got.see(testRoot, PolicyLatest).statements
		if latestDeletes != (len(seen) == 0) {
			t.Fatalf("the latest change deletes: %v, visible: %v", latestDeletes, seen)
		}
		if len(seen) == 1 {
			t.Fatalf("half an object is left: %v", seen)
		}
	})
}
