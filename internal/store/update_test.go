package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

func TestFailedTransactionLeavesNothingAndTheNextOneWorks(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	boom := errors.New("boom")
	objects := doc(t, `{"id":"x","v":1}`).Objects
	_, err := s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
		if err := tx.Add(objects); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want the function's own error", err)
	}
	_, err = s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
		_ = tx.Add(objects)
		panic("at the disco")
	})
	if err == nil || !strings.Contains(err.Error(), "at the disco") {
		t.Errorf("a panic gave %v", err)
	}
	wantObject(t, s, "x", "")
	if c := do(t, s, (*Tx).Add, `{"id":"y","v":1}`); c.Dot.Seq != 1 {
		t.Errorf("the failures took dots: the next is %s", c.Dot)
	}
}

func TestTransactionWithoutNetChangeTakesNoDot(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1,"l":["a","b"]}`)
	for name, fn := range map[string]func(tx *Tx) error{
		"nothing":           func(*Tx) error { return nil },
		"add what is there": func(tx *Tx) error { return tx.Add(doc(t, `{"id":"x","v":1}`).Objects) },
		"update to the same": func(tx *Tx) error {
			return tx.Update(doc(t, `{"id":"x","v":1,"l":["a","b"]}`).Objects)
		},
		"replace by the same": func(tx *Tx) error { return tx.Replace(doc(t, `{"id":"x","v":1,"l":["a","b"]}`).Objects) },
		"remove what is not there": func(tx *Tx) error {
			return tx.Remove(doc(t, `[{"id":"x","v":2,"w":null},{"id":"y","v":1}]`).Objects)
		},
		"delete what is not there": func(tx *Tx) error { _, err := tx.Delete("y"); return err },
		"add and remove": func(tx *Tx) error {
			return errors.Join(tx.Add(doc(t, `{"id":"z","v":1}`).Objects), tx.Remove(doc(t, `{"id":"z","v":1}`).Objects))
		},
		"create and delete": func(tx *Tx) error {
			_, err := tx.Delete("z")
			return errors.Join(tx.Create(doc(t, `{"id":"z","v":1}`).Objects), err, func() error { _, err := tx.Delete("z"); return err }())
		},
	} {
		c, err := s.Update(t.Context(), WriteOptions{}, fn)
		if err != nil || !c.Dot.IsZero() || c.Revision.String() != "0A00001" {
			t.Errorf("%s: dot %s at %s, error %v; want none at 0A00001", name, c.Dot, c.Revision, err)
		}
	}
}

func TestTransactionSeesItsOwnWrites(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `[{"id":"a","v":1,"r":"@c"},{"id":"b","v":1},{"id":"d","v":1}]`)
	_, err := s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
		if err := tx.Update(doc(t, `[{"id":"b","v":2},{"id":"bb","v":1,"r":"@c"}]`).Objects); err != nil {
			return err
		}
		if _, err := tx.Delete("d"); err != nil {
			return err
		}
		var objects, with, having, refs []string
		for o, err := range tx.Objects("") {
			if err != nil {
				return err
			}
			objects = append(objects, o.ID)
		}
		one, _ := statement.FromNumber("1")
		for id, err := range tx.SubjectsWith("v", one) {
			if err != nil {
				return err
			}
			with = append(with, id)
		}
		for id, err := range tx.SubjectsHaving("v") {
			if err != nil {
				return err
			}
			having = append(having, id)
		}
		for r, err := range tx.References("c") {
			if err != nil {
				return err
			}
			refs = append(refs, r.Subject)
		}
		got := fmt.Sprint(objects, with, having, refs)
		if want := "[a b bb] [a bb] [a b bb] [a bb]"; got != want {
			t.Errorf("the transaction sees %s, want %s", got, want)
		}
		added, removed, err := tx.Changes()
		if len(added) != 3 || len(removed) != 2 {
			t.Errorf("added %v, removed %v", added, removed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSound(t, s)
}

func TestPreconditions(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	one := branch.Revision{{Branch: "0A", Seq: 1}}
	other := branch.Revision{{Branch: "0A", Seq: 9}}
	for _, c := range []struct {
		name  string
		cond  Precondition
		holds bool
	}{
		{"present, is", Precondition{ID: "x", Present: true}, true},
		{"present, is not", Precondition{ID: "y", Present: true}, false},
		{"absent, is", Precondition{ID: "y", Absent: true}, true},
		{"absent, is not", Precondition{ID: "x", Absent: true}, false},
		{"same revision", Precondition{ID: "x", Revisions: []branch.Revision{other, one}}, true},
		{"other revision", Precondition{ID: "x", Revisions: []branch.Revision{other}}, false},
		{"revision of nothing", Precondition{ID: "y", Revisions: []branch.Revision{one}}, false},
	} {
		ran := false
		_, err := s.Update(t.Context(), WriteOptions{Preconditions: []Precondition{c.cond}}, func(*Tx) error { ran = true; return nil })
		_, failed := errors.AsType[*PreconditionError](err)
		if failed == c.holds || ran != c.holds {
			t.Errorf("%s: error %v, ran %v", c.name, err, ran)
		}
	}
}

func TestObjectRevisionChangesWithEveryChange(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":1,"w":1}`)
	apply(t, b, feed(t, a)...)
	do(t, a, (*Tx).Update, `{"id":"x","v":2}`)
	do(t, b, (*Tx).Update, `{"id":"x","w":2}`)
	apply(t, a, feed(t, b)...)
	read(t, a, func(r *Reader) error {
		o, _, err := r.Object("x")
		if o.Revision.String() != "0A00002,0B00001" {
			t.Errorf("after concurrent writes the object is at %s", o.Revision)
		}
		return err
	})
	do(t, a, (*Tx).Update, `{"id":"x","w":3}`)
	read(t, a, func(r *Reader) error {
		o, _, err := r.Object("x")
		if o.Revision.String() != "0A00003" || o.Last.Dot.String() != "0A00003" {
			t.Errorf("after a write that saw all the object is at %s, last %s", o.Revision, o.Last.Dot)
		}
		return err
	})
}

func TestRefusedWritesFailWithTheReasonAndReadsAndApplyGoOn(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":1}`)
	b.RefuseWrites("being moved")
	_, err := try(t, b, (*Tx).Add, `{"id":"y","v":1}`)
	if r, ok := errors.AsType[*RefusedError](err); !ok || r.Reason != "being moved" || b.WritesRefused() != "being moved" {
		t.Errorf("got %v", err)
	}
	apply(t, b, feed(t, a)...)
	wantSame(t, a, b)
	b.AllowWrites()
	do(t, b, (*Tx).Add, `{"id":"y","v":1}`)
}

func TestCanceledWriterInTheQueueWritesNothing(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	entered, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_, err := s.Update(t.Context(), WriteOptions{}, func(*Tx) error { close(entered); <-leave; return nil })
		if err != nil {
			t.Error(err)
		}
	})
	<-entered
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("client gone")
	var ran atomic.Bool
	group.Go(func() {
		_, err := s.Update(ctx, WriteOptions{}, func(*Tx) error { ran.Store(true); return nil })
		if !errors.Is(err, gone) {
			t.Errorf("got %v, want the context's cause", err)
		}
		close(leave)
	})
	cancel(gone)
	group.Wait()
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`) // the queue has been worked off
	if ran.Load() {
		t.Error("the canceled writer's function ran")
	}
}

func TestManyWritersShareCommits(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	const writers, each = 32, 20
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if _, err := try(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"o%d-%d","v":1}`, w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	st := s.Stats()
	if st.Writes != writers*each || st.Changesets != writers*each || st.Objects != writers*each {
		t.Errorf("stats %+v, want %d writes", st, writers*each)
	}
	if st.Commits > st.Writes/4 {
		t.Errorf("%d commits for %d writes by %d writers", st.Commits, st.Writes, writers)
	}
	wantSound(t, s)
}

func TestClosedStoreSaysSo(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := try(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	if _, ok := errors.AsType[*ClosedError](err); !ok {
		t.Errorf("writing: %v", err)
	}
	err = s.View(t.Context(), func(*Reader) error { return nil })
	if _, ok := errors.AsType[*ClosedError](err); !ok {
		t.Errorf("reading: %v", err)
	}
}

func TestCloseFailsWaitingWritersAndLosesNoAcknowledgedWrite(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	var acknowledged atomic.Uint64
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				_, err := try(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"o%d-%d","v":1}`, w, i))
				if _, closed := errors.AsType[*ClosedError](err); closed {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	for acknowledged.Load() < 50 {
		<-s.Changed()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if again := open(t, dir, "0A"); again.Stats().Changesets != acknowledged.Load() {
		t.Errorf("%d writes were acknowledged, %d are there", acknowledged.Load(), again.Stats().Changesets)
	}
}

func TestTooLargeTransactionIsRefusedWhole(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	long := strings.Repeat("x", 70<<10)
	_, err := s.Update(t.Context(), WriteOptions{Comment: long}, func(tx *Tx) error { return tx.Add(doc(t, `{"id":"x","v":1}`).Objects) })
	if _, ok := errors.AsType[*LimitError](err); !ok {
		t.Errorf("got %v, want a limit error", err)
	}
	wantObject(t, s, "x", "")
}

func TestClockFollowsWhatWasSeen(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: "0B", Logger: quiet(), NoSync: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	second := do(t, s, (*Tx).Add, `{"id":"x","v":2}`)
	if !first.Clock.Time().Equal(now.UTC()) || second.Clock != first.Clock+1 {
		t.Errorf("clocks %d and %d at one instant", first.Clock, second.Clock)
	}
	now = now.Add(-time.Hour)
	if third := do(t, s, (*Tx).Add, `{"id":"x","v":3}`); third.Clock <= second.Clock {
		t.Errorf("clock %d after %d when the physical clock went back", third.Clock, second.Clock)
	}
}
