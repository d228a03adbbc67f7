package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// wasteful makes a store whose file has many free pages.
func wasteful(t testing.TB, s *Store) {
	t.Helper()
	for i := range 100 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"waste%d","n":%d,"text":%q}`, i%10, i, strings.Repeat("x", 8000)))
	}
	trimAll(t, s, s.Revision())
}

// everything returns all buckets but what a new file has of its own.
func everything(t testing.TB, s *Store) string {
	t.Helper()
	out := raw(t, s, allBuckets[1:]...)
	for line := range strings.Lines(raw(t, s, bucketMeta)) {
		if !strings.Contains(line, `"volume"`) {
			out += line
		}
	}
	return out
}

func TestCompactionGivesTheRoomBackAndChangesNothingElse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	wasteful(t, s)
	apply(t, s, encode(t, branchFirst("0B")))
	if err := s.SetCursor(t.Context(), "main", 100); err != nil {
		t.Fatal(err)
	}
	free, size, err := s.FreePages()
	if err != nil || free < size/2 {
		t.Errorf("%d of %d bytes are free (%v)", free, size, err)
	}
	before := everything(t, s)
	done, err := s.Compact(t.Context(), 0)
	if err != nil || done.Before != size || done.After > size*6/10 {
		t.Errorf("%+v, %v; the file had %d bytes", done, err, size)
	}
	if after := everything(t, s); after != before {
		t.Errorf("the content changed: %d bytes were %d", len(after), len(before))
	}
	if free, size, err := s.FreePages(); err != nil || free > size/2 {
		t.Errorf("then %d of %d bytes are free (%v)", free, size, err)
	}
	wantSound(t, s)
	do(t, s, (*Tx).Add, `{"id":"after","v":1}`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	wantObject(t, s, "after", "after v 1/integer\n")
	if s.Copied() {
		t.Error("the store takes its own new file for a copy")
	}
	wantSound(t, s)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestWritesAndReadsGoOnDuringCompactions has writers and readers run while the
// file is copied again and again. Nothing may be lost and no read may see half.
func TestWritesAndReadsGoOnDuringCompactions(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	wasteful(t, s)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var written [3]atomic.Int64
	for w := range written {
		group.Go(func() {
			for ctx.Err() == nil {
				n := written[w].Load() + 1
				do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"w%d","v":%d,"twice":%d}`, w, n, n))
				written[w].Store(n)
			}
		})
	}
	group.Go(func() {
		for ctx.Err() == nil {
			for w := range written {
				least := written[w].Load()
				read(t, s, func(r *Reader) error {
					o, _, err := r.Object(fmt.Sprintf("w%d", w))
					var v, twice int64
					for _, st := range o.Statements {
						if st.Predicate == "v" {
							_, _ = fmt.Sscan(st.Text, &v)
						} else {
							_, _ = fmt.Sscan(st.Text, &twice)
						}
					}
					if v < least || v != twice {
						t.Errorf("w%d reads %d and %d, %d was acknowledged", w, v, twice, least)
					}
					return err
				})
			}
		}
	})
	for range 8 {
		if _, err := s.Compact(ctx, 0); err != nil {
			t.Error(err)
		}
	}
	stop()
	group.Wait()
	var total int64
	for w := range written {
		n := written[w].Load()
		total += n
		wantObject(t, s, fmt.Sprintf("w%d", w), fmt.Sprintf("w%d twice %d/integer\nw%d v %d/integer\n", w, n, w, n))
	}
	if got := s.Revision().At("0A"); got != uint64(total)+100 {
		t.Errorf("%d changesets, want %d", got, total+100)
	}
	wantSound(t, s)
	t.Logf("%d writes", total)
}

// TestNothingWaitsForALongReader: one that began in the old file reads on there,
// while the store goes over to new ones and writes.
func TestNothingWaitsForALongReader(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan string, 1)
	go func() {
		_ = s.View(t.Context(), func(r *Reader) error {
			close(entered)
			<-leave
			o, _, err := r.Object("x")
			left <- lines(o) + r.Revision().String()
			return err
		})
	}()
	<-entered
	for i := range 3 {
		if _, err := s.Compact(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i+2))
	}
	wantObject(t, s, "x", "x v 4/integer\n")
	close(leave)
	if got := <-left; got != "x v 1/integer\n0A00001" {
		t.Errorf("the reader saw %s", got)
	}
}

// TestCompactionThatIsCutOffLeavesAWholeStore ends it at each step, in the
// process and as a crash would.
func TestCompactionThatIsCutOffLeavesAWholeStore(t *testing.T) {
	for _, at := range []string{StepBuilt, StepSynced, StepRenamed} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			s := hooked(t, dir, &Hooks{Step: func(step string) error {
				if step == at {
					return errDisk
				}
				return nil
			}})
			wasteful(t, s)
			if _, err := s.Compact(t.Context(), 0); !errors.Is(err, errDisk) {
				t.Errorf("got %v", err)
			}
			do(t, s, (*Tx).Add, `{"id":"after","v":1}`)
			wantSound(t, s)
			want := everything(t, s)
			if err := s.Abandon(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, "0A")
			if everything(t, s) != want {
				t.Error("the content changed")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestCompactionGivesUpOnAFullDiskAndWritesGoOn(t *testing.T) {
	dir := smallDisk(t, "24m")
	s := openSynced(t, dir)
	wasteful(t, s)
	for i := range 80 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"big%d","text":%q}`, i, strings.Repeat("y", 100_000)))
	}
	before := everything(t, s)
	_, err := s.Compact(t.Context(), 0)
	if full, ok := errors.AsType[*StorageError](err); !ok || !full.DiskFull() {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, compactName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new file is left: %v", err)
	}
	if everything(t, s) != before {
		t.Error("the content changed")
	}
	do(t, s, (*Tx).Add, `{"id":"after","v":1}`)
	wantSound(t, s)
	if err := s.Close(); err != nil { // before the disk goes
		t.Fatal(err)
	}
}

func TestCompactionKeepsToItsRateAndEndsWithItsContext(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 20 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x%d","text":%q}`, i, strings.Repeat("y", 100_000)))
	}
	started := time.Now()
	if _, err := s.Compact(t.Context(), 8<<20); err != nil { // 4 MB, of them 256 KiB at once
		t.Error(err)
	}
	if took := time.Since(started); took < 300*time.Millisecond {
		t.Errorf("copied 4 MB at 8 MiB a second in %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Compact(ctx, 1<<10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Compact(t.Context(), 0); err != nil {
		t.Errorf("the next one: %v", err)
	}
	wantSound(t, s)
}

func TestCloseEndsACompaction(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	for i := range 10 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x%d","text":%q}`, i, strings.Repeat("y", 100_000)))
	}
	begun := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		close(begun)
		_, err := s.Compact(context.Background(), 1<<10) // would take a minute
		failed <- err
	}()
	<-begun
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := os.Stat(filepath.Join(dir, compactName)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not begin")
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !is[*ClosedError](err) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestOpenNeverHoldsAFileThatHasLostItsName: a process that waits for the lock of
// a file which is then replaced must not go on with the old one.
func TestOpenNeverHoldsAFileThatHasLostItsName(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	wasteful(t, s)
	opened := make(chan error, 1)
	go func() {
		other, err := Open(context.Background(), Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true, LockTimeout: 10 * time.Second})
		if err == nil {
			err = other.Close()
		}
		opened <- err
	}()
	for range 5 {
		if _, err := s.Compact(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-opened:
			t.Fatalf("two processes hold the store: %v", err)
		case <-time.After(100 * time.Millisecond): // time for the other to take the old file's lock
		}
	}
	do(t, s, (*Tx).Add, `{"id":"after","v":1}`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("then it opens: %v", err)
	}
	wantObject(t, open(t, dir, "0A"), "after", "after v 1/integer\n")
}

// TestGrowthOfATransactionIsBounded has bbolt asked for more than a transaction
// can need.
func TestGrowthOfATransactionIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	err := s.submit(t.Context(), func(b *batch) error {
		for i := range 40 { // past our own count, as a damaged page would
			if err := b.tx.Bucket(bucketPending).Put(dotKey(branch.Dot{Branch: "0Z", Seq: uint64(i + 1)}), make([]byte, 8<<20)); err != nil {
				return err
			}
		}
		b.put(bucketMeta, metaOpen, []byte{1})
		return nil
	})
	if err == nil {
		t.Error("320 MB were written for one small key")
	}
	if size, err := sizeOf(filepath.Join(dir, FileName)); err != nil || size > 200<<20 {
		t.Errorf("the file has %d bytes (%v)", size, err)
	}
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	wantSound(t, s)
}
