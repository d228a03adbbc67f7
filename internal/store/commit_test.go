package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// hold keeps the committer busy until the returned function is called.
func hold(t *testing.T, s *Store, group *sync.WaitGroup) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	group.Go(func() {
		if _, err := s.Update(t.Context(), WriteOptions{}, func(*Tx) error {
			close(entered)
			<-leave
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-entered
	return func() { close(leave) }
}

// waitQueued waits until so many requests wait for the committer.
func waitQueued(t *testing.T, s *Store, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for len(s.queue) < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests wait, want %d", len(s.queue), n)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRequestThatBreaksABatchDoesNotTakeTheOthersWithIt(t *testing.T) {
	for name, breaks := range map[string]func(*batch) error{
		"error of the file": func(b *batch) error {
			b.put(bucketMeta, nil, nil) // bbolt refuses an empty key
			return nil
		},
		"panic": func(*batch) error { panic("a damaged page") },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), "0A")
			var group sync.WaitGroup
			release := hold(t, s, &group)
			group.Go(func() {
				if err := s.submit(t.Context(), breaks); err == nil {
					t.Error("the request that broke the batch succeeded")
				}
			})
			for i := range 3 {
				group.Go(func() {
					if _, err := try(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x%d","v":1}`, i)); err != nil {
						t.Errorf("another request failed: %v", err)
					}
				})
			}
			waitQueued(t, s, 4)
			release()
			group.Wait()
			if st := s.Stats(); st.Objects != 3 || s.Revision().String() != "0A00003" {
				t.Errorf("%d objects at %s, want 3 at 0A00003", st.Objects, s.Revision())
			}
			wantSound(t, s)
		})
	}
}

func TestWritersOfOneBatchSeeEachOther(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	var group sync.WaitGroup
	release := hold(t, s, &group)
	var mu sync.Mutex
	created := 0
	for i := range 8 {
		group.Go(func() {
			_, err := try(t, s, (*Tx).Create, fmt.Sprintf(`{"id":"x","v":%d}`, i))
			mu.Lock()
			defer mu.Unlock()
			if _, exists := errors.AsType[*ExistsError](err); err == nil {
				created++
			} else if !exists {
				t.Error(err)
			}
		})
	}
	waitQueued(t, s, 8)
	commits := s.Stats().Commits
	release()
	group.Wait()
	if created != 1 || s.Stats().Changesets != 1 {
		t.Errorf("the object was created %d times, in %d changesets", created, s.Stats().Changesets)
	}
	if n := s.Stats().Commits - commits; n != 1 {
		t.Errorf("one batch took %d commits", n)
	}
}

func TestLargeApplyLetsWritersTakeTurns(t *testing.T) {
	source := open(t, t.TempDir(), "0B")
	for i := range 2*applyChangesets + 10 {
		objects := doc(t, fmt.Sprintf(`{"id":"r%d","v":1}`, i)).Objects
		if _, err := source.Update(t.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Add(objects) }); err != nil {
			t.Fatal(err)
		}
	}
	all := feed(t, source)
	s := open(t, t.TempDir(), "0A")
	commits := s.Stats().Commits
	if got := apply(t, s, all...); got.Applied != len(all) {
		t.Fatalf("got %+v", got)
	}
	if n := s.Stats().Commits - commits; n != 3 {
		t.Errorf("%d changesets took %d commits, want 3 pieces", len(all), n)
	}
	wantSame(t, source, s)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for want, err := range map[string]error{
		"set branchId to 0A":  &BranchError{Path: "p", File: "0A", Want: "0B"},
		"read it again":       &PreconditionError{ID: "x", Wanted: "revision 0A00001"},
		"split it":            &LimitError{Err: errors.New("big")},
		"new branch id":       &ForkError{},
		"writes are refused":  &RefusedError{Reason: "r"},
		"the store is closed": &ClosedError{},
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%T says %q, want %q in it", err, err, want)
		}
	}
}
