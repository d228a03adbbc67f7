package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

func TestHistoryTellsWhoDidWhatAndThePastCanBeRead(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	var at []branch.Revision
	for i, op := range []step{
		{op: (*Tx).Add, text: `{"id":"x","v":1,"w":"k"}`},
		{op: (*Tx).Update, text: `{"id":"x","v":2}`},
		{op: drop, text: `{"id":"x"}`},
		{op: (*Tx).Add, text: `{"id":"x","v":3}`},
	} {
		objects := doc(t, op.text).Objects
		c, err := s.Update(t.Context(), WriteOptions{Author: fmt.Sprintf("author%d", i+1)}, func(tx *Tx) error {
			tx.SetComment("why " + tx.Revision().String())
			return op.op(tx, objects)
		})
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, c.Revision)
	}
	read(t, s, func(r *Reader) error {
		h, err := r.History("x")
		got := ""
		for _, e := range h {
			got += fmt.Sprintf("%s %s %s +%d -%d %v\n", e.Dot, e.Author, e.Comment, len(e.Added), len(e.Removed), e.Deleted)
		}
		want := "0A00001 author1 why 0 +2 -0 false\n0A00002 author2 why 0A00001 +1 -1 false\n" +
			"0A00003 author3 why 0A00002 +0 -2 true\n0A00004 author4 why 0A00003 +1 -0 false\n"
		if got != want {
			t.Errorf("history is\n%swant\n%s", got, want)
		}
		return err
	})
	for i, want := range []string{"x v 1/integer\nx w k/L\n", "x v 2/integer\nx w k/L\n", "", "x v 3/integer\n"} {
		read(t, s, func(r *Reader) error {
			o, exists, err := r.ObjectAt("x", at[i])
			if lines(o) != want || exists != (want != "") {
				t.Errorf("at %s it was\n%swant\n%s", at[i], lines(o), want)
			}
			return err
		})
	}
	err := s.View(t.Context(), func(r *Reader) error {
		if _, exists, err := r.ObjectAt("x", nil); exists || err != nil {
			t.Errorf("before everything: %v, %v", exists, err)
		}
		_, _, err := r.ObjectAt("x", branch.Revision{{Branch: "0A", Seq: 99}})
		return err
	})
	if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Errorf("a revision that has not been reached gave %v", err)
	}
}

func TestIndexFindsVisibleValuesOnly(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	long := strings.Repeat("long ", 100)
	do(t, s, (*Tx).Add, fmt.Sprintf(`[{"id":"b","v":"1","o":{"v":"1"}},{"id":"a","v":"1"},{"id":"c","v":1},{"id":"d","v":%q},{"id":"e","v":%q}]`, long+"x", long+"y"))
	do(t, s, (*Tx).Update, `{"id":"a","v":"2"}`)
	find := func(term statement.Term) (ids []string) {
		read(t, s, func(r *Reader) error {
			for id, err := range r.SubjectsWith("v", term) {
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return nil
		})
		return ids
	}
	if got := find(statement.Literal("1")); len(got) != 2 || got[0] != "b" || !strings.HasPrefix(got[1], "bnode:j:e:object:b:") {
		t.Errorf(`"1" is found in %v`, got)
	}
	for text, want := range map[string]string{"2": "[a]", long + "x": "[d]", long + "y": "[e]", long: "[]", "": "[]"} {
		if got := fmt.Sprint(find(statement.Literal(text))); got != want {
			t.Errorf("%.20s is found in %v, want %s", text, got, want)
		}
	}
	do(t, s, drop, `{"id":"b"}`)
	if got := find(statement.Literal("1")); len(got) != 0 {
		t.Errorf("after the deletion it is found in %v", got)
	}
	wantSound(t, s)
}

func TestReferencesAreFoundBackwards(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `[{"id":"a","r":"@t","l":["@t","@u"]},{"id":"b","o":{"r":"@t"}},{"id":"c","r":"@u","t":"t"}]`)
	do(t, s, (*Tx).Update, `{"id":"a","r":"@u"}`)
	got := ""
	read(t, s, func(r *Reader) error {
		for st, err := range r.References("t") {
			if err != nil {
				return err
			}
			got += statement.Root(st.Subject) + "." + st.Predicate + " "
		}
		return nil
	})
	if got != "a.l b.r " {
		t.Errorf("t is referred to by %s", got)
	}
}

func TestObjectsAreListedInOrderFromAnywhereWithoutTheDeleted(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `[{"id":"c","v":1},{"id":"a","v":1},{"id":"b","v":1},{"id":"ab","v":1}]`)
	do(t, s, drop, `{"id":"b"}`)
	for after, want := range map[string]string{"": "[a ab c]", "a": "[ab c]", "aa": "[ab c]", "c": "[]"} {
		var got []string
		read(t, s, func(r *Reader) error {
			for o, err := range r.Objects(after) {
				if err != nil {
					return err
				}
				got = append(got, o.ID)
			}
			return nil
		})
		if fmt.Sprint(got) != want {
			t.Errorf("after %q come %v, want %s", after, got, want)
		}
	}
}

func TestSnapshotStaysWhileOthersWrite(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	entered, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		<-entered
		do(t, s, (*Tx).Update, `{"id":"x","v":2}`)
	}()
	read(t, s, func(r *Reader) error {
		close(entered)
		<-written
		o, _, err := r.Object("x")
		if lines(o) != "x v 1/integer\n" || r.Revision().String() != "0A00001" {
			t.Errorf("the snapshot at %s shows %s", r.Revision(), lines(o))
		}
		return err
	})
	wantObject(t, s, "x", "x v 2/integer\n")
}

func TestReadingStopsWithItsContext(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `[{"id":"a","v":1},{"id":"b","v":1}]`)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.View(ctx, func(r *Reader) error {
		for _, err := range r.Objects("") {
			if err != nil {
				return err
			}
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("reading on gave %v", err)
	}
	if err := s.View(ctx, func(*Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("starting to read gave %v", err)
	}
}

func TestPanicOfAReaderIsItsOwn(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = s.View(t.Context(), func(*Reader) error { panic("mine") })
	}()
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`) // and the snapshot was let go
}

func TestFeedAndRangeKeepTheirBoundsAndGiveAtLeastOne(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 5 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x%d","v":1}`, i))
	}
	size := len(feed(t, s)[1].Body) // the first has no predecessor
	for _, c := range []struct {
		after uint64
		bytes int
		want  []uint64
	}{
		{0, 0, []uint64{1}}, {0, size, []uint64{1}}, {0, 2 * size, []uint64{1, 2}},
		{3, 1 << 20, []uint64{4, 5}}, {5, 1 << 20, nil}, {1 << 63, 1, nil}, {1<<64 - 1, 1, nil},
	} {
		entries, err := s.Feed(t.Context(), c.after, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, e := range entries {
			got = append(got, e.Pos)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("feed after %d with %d bytes: %v, want %v", c.after, c.bytes, got, c.want)
		}
	}
	for _, c := range []struct {
		from, to uint64
		bytes    int
		want     []uint64
	}{
		{1, 5, 1 << 20, []uint64{1, 2, 3, 4, 5}}, {2, 3, 1 << 20, []uint64{2, 3}}, {0, 1, 0, []uint64{1}},
		{4, 99, 1 << 20, []uint64{4, 5}}, {6, 9, 1, nil}, {3, 2, 1, nil}, {1, 1<<64 - 1, 0, []uint64{1}},
	} {
		list, err := s.Range(t.Context(), "0A", c.from, c.to, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, e := range list {
			got = append(got, e.Dot.Seq)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d to %d with %d bytes: %v, want %v", c.from, c.to, c.bytes, got, c.want)
		}
	}
	if list, err := s.Range(t.Context(), "0B", 1, 9, 1); err != nil || len(list) != 0 {
		t.Errorf("an unknown branch gave %v, %v", list, err)
	}
}

func TestCursorIsKeptAndTheOutboxCountsFromIt(t *testing.T) {
	dir := t.TempDir()
	other := open(t, t.TempDir(), "0B")
	do(t, other, (*Tx).Add, `{"id":"y","v":1}`)
	s := open(t, dir, "0A")
	start := time.Now().Add(-time.Second)
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	apply(t, s, feed(t, other)...)
	do(t, s, (*Tx).Add, `{"id":"x","v":2}`) // positions: own, other, own
	for _, c := range []struct{ cursor, left uint64 }{{0, 2}, {1, 1}, {2, 1}, {3, 0}} {
		if err := s.SetCursor(t.Context(), "main", c.cursor); err != nil {
			t.Fatal(err)
		}
		n, oldest := s.Outbox("main")
		if n != c.left || oldest.IsZero() != (n == 0) || n > 0 && oldest.Before(start) {
			t.Errorf("at %d the outbox has %d from %s, want %d", c.cursor, n, oldest, c.left)
		}
	}
	if err := s.SetCursor(t.Context(), "main", 4); err == nil {
		t.Error("a cursor beyond the feed was taken")
	}
	if err := s.SetCursor(t.Context(), "", 1); err == nil {
		t.Error("a link without a name was taken")
	}
	if err := errors.Join(s.SetBootstrapped(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	if pos, err := s.Cursor("main"); pos != 3 || err != nil {
		t.Errorf("after reopening the cursor is %d (%v)", pos, err)
	}
	if pos, err := s.Cursor("new"); pos != 0 || err != nil {
		t.Errorf("a new link's cursor is %d (%v)", pos, err)
	}
	if !s.Bootstrapped() || other.Bootstrapped() {
		t.Error("whether it was once caught up was not kept")
	}
}

func TestChangedIsClosedByTheNextChangesetOnly(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	changed := s.Changed()
	if err := s.SetCursor(t.Context(), "main", 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("moving a cursor counted as a change")
	default:
	}
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	select {
	case <-changed:
	default:
		t.Error("a changeset was not told")
	}
}

// TestBasesAreFoundWithManyBranches goes past the size at which entries hold
// differences only.
func TestBasesAreFoundWithManyBranches(t *testing.T) {
	a := open(t, t.TempDir(), "0A")
	id := branch.First(2)
	var want []string
	for i := range 3 * fullEvery {
		id, _ = id.Next()
		apply(t, a, encode(t, branchFirst(id)))
		do(t, a, (*Tx).Add, fmt.Sprintf(`{"id":"x","v":%d}`, i))
		want = append(want, a.Revision().String())
	}
	read(t, a, func(r *Reader) error {
		for i, rev := range want {
			d := branch.Dot{Branch: "0A", Seq: uint64(i) + 1}
			b, err := basisAt(r.tx, d)
			if err != nil {
				return err
			}
			if got := b.seen.With(d).String(); got != rev {
				t.Fatalf("after %s its author had seen %s, want %s", d, got, rev)
			}
		}
		return nil
	})
	fresh := open(t, t.TempDir(), "0Z")
	apply(t, fresh, feed(t, a)...)
	wantSame(t, a, fresh)
	wantSound(t, fresh)
}
