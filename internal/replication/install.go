package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// installer lets one link at a time fetch and install a snapshot: there is one
// store, and place for one file.
type installer struct {
	store snapshotStore
	turn  chan struct{}
}

// newInstaller returns nil when the store takes no snapshots, or there is no
// place to put them.
func newInstaller(s Store, o Options) *installer {
	to, ok := s.(snapshotStore)
	if !ok || o.SnapshotDir == "" {
		return nil
	}
	return &installer{store: to, turn: make(chan struct{}, 1)}
}

// once runs fn alone.
func (i *installer) once(ctx context.Context, fn func() error) error {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
		return fn()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// install puts a snapshot, which holds revision, in place of what the store
// holds; what the store had beyond it goes on top. Meanwhile no link publishes,
// since the positions of the feed change their meaning.
func (r *Replicator) install(ctx context.Context, path string, revision branch.Revision) (store.SnapshotInfo, error) {
	if err := r.markSnapshot(ctx, revision); err != nil {
		return store.SnapshotInfo{}, err
	}
	for _, l := range r.links {
		resume, err := l.sender.pause(ctx)
		if err != nil {
			return store.SnapshotInfo{}, fmt.Errorf("pausing link %s: %w", l.cfg.Name, err)
		}
		defer resume()
	}
	info, err := r.installer.store.InstallSnapshot(ctx, path)
	if err != nil {
		return info, err
	}
	if !r.store.Revision().CoversAll(info.Revision) {
		return info, fmt.Errorf("the store has %s after installing a snapshot of %s", r.store.Revision(), info.Revision)
	}
	err = r.keepMarks(ctx)
	r.wake()
	return info, err
}

// markSnapshot makes durable that own changesets beyond the head exist, if the
// snapshot has any, before it is installed.
func (r *Replicator) markSnapshot(ctx context.Context, revision branch.Revision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.safety.claim(revision.At(r.safety.own))
	r.gateLocked(time.Now())
	return r.saveMark(ctx)
}

// keepMarks writes down again what the store knew of its own branch beside the
// data: whatever became of that when the data was replaced.
func (r *Replicator) keepMarks(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, value := range map[string]uint64{markCursor: r.safety.mark, openCursor: boolMark(r.safety.opened)} {
		have, err := r.store.Cursor(name)
		if err == nil && have != value {
			err = r.store.SetCursor(ctx, name, value)
		}
		if err != nil {
			return fmt.Errorf("keeping what is known of branch %s: %w", r.safety.own, err)
		}
	}
	return nil
}

func boolMark(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// pause stops the sender until resume is called. It returns once nothing reads
// or moves the cursor any more.
func (s *sender) pause(ctx context.Context) (resume func(), err error) {
	for {
		s.mu.Lock()
		interrupt := s.interrupt
		s.mu.Unlock()
		if interrupt != nil {
			interrupt(errPaused{})
		}
		select {
		case s.turn <- struct{}{}:
			return func() { <-s.turn }, nil
		case <-time.After(pausePoll):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// pausePoll is how often a sender that has begun anew is interrupted again.
const pausePoll = 20 * time.Millisecond

// errPaused is why a session of the sender ended.
type errPaused struct{}

// Error says so.
func (errPaused) Error() string { return "publishing is paused while a snapshot is installed" }

func isPaused(err error) bool {
	_, ok := errors.AsType[errPaused](err)
	return ok
}

// begin waits until the sender is not paused. The returned context ends when it
// is; done must be called.
func (s *sender) begin(ctx context.Context) (session context.Context, done func(), err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	session, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.interrupt = cancel
	s.mu.Unlock()
	return session, func() {
		cancel(nil)
		s.mu.Lock()
		s.interrupt = nil
		s.mu.Unlock()
		<-s.turn
	}, nil
}
