package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/mutant"
)

// One goroutine, the committer, writes the file. It takes whatever waits,
// commits it together, and tells everybody; what came meanwhile is the next
// batch. There is no timer: the disk sets the pace.

// Bounds of one batch, so that nobody waits too long behind others.
const (
	batchRequests = 4096
	batchBytes    = 8 << 20
	queueLength   = 1024
)

// The life of a request: it waits until the committer or the end of its context
// takes it.
const (
	requestWaits int32 = iota
	requestRuns
	requestGivenUp
)

// request is one thing to do in a batch. do may run more than once, when a
// batch has to be repeated; only its last run counts. Its error is the
// requester's alone; what concerns the file is in batch.err.
type request struct {
	do    func(*batch) error
	err   error
	phase atomic.Int32
	done  chan struct{}
}

// submit has the committer do something and waits until it is on disk.
func (s *Store) submit(ctx context.Context, do func(*batch) error) error {
	r := &request{do: do, done: make(chan struct{})}
	select {
	case <-s.stopping:
		return &ClosedError{}
	default:
	}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return fmt.Errorf("waiting to write: %w", context.Cause(ctx))
	case <-s.stopping:
		return &ClosedError{}
	}
	select {
	case <-r.done:
		return r.err
	case <-s.stopped:
		return r.outcome()
	case <-ctx.Done():
		if r.phase.CompareAndSwap(requestWaits, requestGivenUp) {
			return fmt.Errorf("waiting to write: %w", context.Cause(ctx))
		}
	}
	select {
	case <-r.done:
		return r.err
	case <-s.stopped:
		return r.outcome()
	}
}

// outcome is the error of a request after the committer has ended: its own if
// it was done, else that the store is closed.
func (r *request) outcome() error {
	select {
	case <-r.done:
		return r.err
	default:
		return &ClosedError{}
	}
}

// run is the committer.
func (s *Store) run() {
	defer close(s.stopped)
	for {
		select {
		case r := <-s.queue:
			s.commitGroup(s.collect(r))
		case fn := <-s.exclusive:
			fn()
		case <-s.stopping:
			return
		}
	}
}

// collect takes what waits behind the first request. Whoever was told of the
// last commit may be about to write again, so it lets them go first once.
func (s *Store) collect(first *request) []*request {
	group := []*request{first}
	for yielded := false; len(group) < batchRequests; {
		select {
		case r := <-s.queue:
			group = append(group, r)
			continue
		default:
		}
		if yielded {
			break
		}
		yielded = true
		runtime.Gosched()
	}
	live := group[:0]
	for _, r := range group {
		if r.phase.CompareAndSwap(requestWaits, requestRuns) {
			live = append(live, r)
		}
	}
	return live
}

// commitGroup runs requests in as few commits as the bounds of a batch allow.
func (s *Store) commitGroup(group []*request) {
	for len(group) > 0 {
		n, failure := s.commitSome(group)
		if failure != nil && !failure.atCommit && n > 1 {
			// One of them is the cause: the others shall not suffer for it.
			for i := range group[:n] {
				_, alone := s.commitSome(group[i : i+1])
				group[i].finish(alone)
			}
		} else {
			for _, r := range group[:n] {
				r.finish(failure)
			}
		}
		group = group[n:]
	}
}

// failure is why a batch was given up.
type failure struct {
	err error
	// atCommit says that all requests had run and the disk is the cause.
	atCommit bool
}

// finish tells the requester. A failure of the file outweighs the request's own
// error, which may be due to what was then undone.
func (r *request) finish(f *failure) {
	if f != nil && !mutant.On("ack-before-commit") {
		r.err = f.err
	}
	close(r.done)
}

// commitSome runs as many of the requests as one batch holds, at least one, and
// commits. On a failure nothing of them was written.
func (s *Store) commitSome(group []*request) (int, *failure) {
	b, failed := s.begin()
	if failed != nil {
		return len(group), failed
	}
	n, tx, txid := 0, b.tx, b.tx.ID()
	for n < len(group) && b.err == nil && b.bytes < batchBytes {
		b.perform(group[n])
		n++
	}
	if b.err == nil {
		b.protect(func() { s.complete(b) })
	}
	if b.err == nil && !b.dirty {
		_ = tx.Rollback() // nothing was written
		return n, nil
	}
	if b.err != nil {
		return n, s.giveUp(b, txid, false)
	}
	s.file.bound(tx, b.puts, b.size)
	s.tails.set(s.file.db, txid, s.st.tail) // whoever begins to read now may see it already
	if b.fail(b.commit(s.opts.Hooks)); b.err != nil {
		return n, s.giveUp(b, txid, true)
	}
	s.unsure.Store(false)
	s.commits.Add(1)
	s.writes.Add(b.local)
	s.announce(b, txid)
	return n, nil
}

// complete writes what is written once a batch. While the store is unsure, there
// is always something: "it is there already" must not be said of what may be lost.
func (s *Store) complete(b *batch) {
	b.finish()
	b.writeTail()
	if !b.dirty && s.unsure.Load() {
		b.put(bucketMeta, metaOpen, []byte{1})
	}
	if b.dirty {
		b.mergeTail(s.tailLimit)
	}
}

// begin begins a batch on a state that is the file's, in a file that has its name.
func (s *Store) begin() (*batch, *failure) {
	if s.stale {
		if _, err := s.reload(); err != nil {
			return nil, &failure{err: s.storageError("reading the state again", err), atCommit: true}
		}
		s.stale = false
	}
	if err := s.nameFile(); err != nil {
		return nil, &failure{err: s.storageError("writing", err), atCommit: true}
	}
	tx, err := s.file.db.Begin(true)
	if err != nil {
		return nil, &failure{err: s.storageError("beginning a transaction", err), atCommit: true}
	}
	return &batch{tx: tx, st: s.st, now: s.opts.Now, shape: s.opts.Shape, heads: map[branch.ID]bool{}, journal: s.journal}, nil
}

// perform runs one request.
func (b *batch) perform(r *request) {
	b.protect(func() { r.err = r.do(b) })
}

// protect makes a damaged page an error of the file.
func (b *batch) protect(do func()) {
	b.fail(shield(func() error {
		do()
		return nil
	}))
}

func (b *batch) commit(hooks *Hooks) error {
	return shield(func() error { return hooks.commit(b.tx) })
}

// giveUp undoes a failed batch and reads what is kept in memory from the file
// again. Should the disk have taken the commit and only failed to say that it is
// safe, then it is there, and the store is unsure of it until the next commit.
func (s *Store) giveUp(b *batch, txid int, atCommit bool) *failure {
	err := b.err
	if rollback := b.tx.Rollback(); rollback != nil && !errors.Is(rollback, bolterrors.ErrTxClosed) {
		err = errors.Join(err, rollback)
	}
	s.tails.forget(s.file.db, txid)
	before, was := s.published(), s.unsure.Load()
	s.unsure.Store(was || atCommit) // nobody may take for safe what is published for a moment
	now, reload := s.reload()
	if reload != nil {
		// What is in memory is of a transaction that is not in the file: nothing
		// may be written on top of it.
		s.stale = true
		err = errors.Join(err, reload)
	}
	s.unsure.Store(was || now == txid || atCommit && reload != nil)
	if reload == nil && s.unsure.Load() {
		s.hold(before, b.moved)
	}
	s.opts.Logger.Error("Gave up a transaction of the store", "error", err)
	return &failure{err: s.storageError("committing", err), atCommit: atCommit}
}

// hold goes on telling others what was safe before a commit of which that is not
// known: peers let go of what this node says it has. Whoever sends the feed is
// woken, since what is in the file has to be sent once it is safe.
func (s *Store) hold(before published, moved bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before.pending = s.pub.pending
	s.pub = before
	if moved {
		s.wakeLocked()
	}
}

// settle makes sure that all that can be read is on disk, so that nothing is
// sent to others which this store could lose.
func (s *Store) settle(ctx context.Context) error {
	if !s.unsure.Load() {
		return nil
	}
	return s.submit(ctx, func(b *batch) error {
		b.put(bucketMeta, metaOpen, []byte{1})
		return nil
	})
}

// reload reads the state from the file, publishes it, and returns the number of
// the file transaction it is of.
func (s *Store) reload() (txid int, err error) {
	err = s.file.db.View(func(tx *bolt.Tx) error {
		txid = tx.ID()
		st, err := loadState(tx)
		if err != nil {
			return fmt.Errorf("reading the state again: %w", err)
		}
		s.st = st
		s.tails.set(s.file.db, txid, st.tail)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pub = st.publish(s.file.db, txid)
		return nil
	})
	return txid, err
}

// announce publishes the state after a commit and wakes who waits for one.
func (s *Store) announce(b *batch, txid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pub = s.st.publish(s.file.db, txid)
	if b.moved {
		s.wakeLocked()
	}
}

// wakeLocked tells everybody who waits for it that the feed has grown. The caller
// holds mu.
func (s *Store) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) storageError(op string, err error) error {
	if _, ok := errors.AsType[*CorruptError](err); ok {
		return err
	}
	return &StorageError{Op: op, Path: s.path, Err: err}
}
