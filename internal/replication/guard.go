package replication

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// What follows guards the branch with the help of the store. A store that lacks
// one of these parts is guarded as far as it goes.

// forkStore remembers forked branches.
type forkStore interface {
	Forks() []store.Fork
	TellFork(ctx context.Context, d branch.Dot, from branch.ID) (news bool, err error)
}

// copyStore knows whether its file is a copy.
type copyStore interface {
	Copied() bool
	MarkOwned(ctx context.Context) error
}

// leasedStore takes writes until a moment only.
type leasedStore interface {
	LeaseWrites(until time.Time)
}

const (
	// watchEvery is how often the process makes sure that it was not stopped, and
	// writeLease for how long it may write after that. A broker takes about as
	// long to notice a client that went silent.
	watchEvery = 4 * time.Second
	writeLease = 20 * time.Second
)

// forks names the branches of which two contents of one dot are known.
func (r *Replicator) forks() (out []branch.Dot) {
	for _, f := range r.openForks() {
		out = append(out, f.Dot)
	}
	return out
}

func (r *Replicator) openForks() []store.Fork {
	if s, ok := r.store.(forkStore); ok {
		return s.Forks()
	}
	return nil
}

// unforked leaves out what peers have of forked branches: none of it would be
// applied.
func (r *Replicator) unforked(target branch.Revision) branch.Revision {
	forks := r.openForks()
	if len(forks) == 0 {
		return target
	}
	out := make(branch.Revision, 0, len(target))
	for _, d := range target {
		if !slices.ContainsFunc(forks, func(f store.Fork) bool { return f.Dot.Branch == d.Branch }) {
			out = append(out, d)
		}
	}
	return out
}

// listen takes from a beacon what concerns this node's own branch: whether
// its sender knows the branch to be forked. An author seldom
// meets the other content itself, since it hears nothing under its own id.
func (r *Replicator) listen(b Beacon) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range b.Forks {
		if d.Branch == r.safety.own && r.safety.told == nil && r.safety.forked == "" {
			r.safety.told = &told{dot: d, from: b.Branch}
		}
	}
}

// keepTold makes durable what a peer has told of the own branch. The caller
// holds mu.
func (r *Replicator) keepTold(ctx context.Context) {
	t := r.safety.told
	if t == nil {
		return
	}
	s, ok := r.store.(forkStore)
	if !ok {
		r.safety.forked, r.safety.told = t.dot.String(), nil
		return
	}
	news, err := s.TellFork(ctx, t.dot, t.from)
	if err != nil {
		r.o.Logger.Warn("Could not record that the branch is forked, trying again", slog.Any("error", err))
		return
	}
	r.safety.told = nil
	if news {
		r.o.Logger.Error("A peer has another changeset under a name of this node's branch; writes are refused",
			slog.String("dot", t.dot.String()), slog.String("peer", string(t.from)))
	}
}

// lookAtStore brings what the store knows of its branch up to date. The caller
// holds mu.
func (r *Replicator) lookAtStore() {
	r.safety.head = r.head()
	r.safety.bootstrapped = r.store.Bootstrapped()
	if s, ok := r.store.(copyStore); ok {
		r.safety.copied = s.Copied()
	}
	if _, ok := r.store.(forkStore); !ok {
		return
	}
	r.safety.forked = ""
	for _, f := range r.openForks() {
		if f.Dot.Branch == r.safety.own {
			r.safety.forked = f.Dot.String()
		}
	}
}

// watch renews the lease of writes, and has the node look around again after
// the process was stopped for longer than that.
func (r *Replicator) watch(ctx context.Context) {
	leased, ok := r.store.(leasedStore)
	if !ok {
		return
	}
	defer leased.LeaseWrites(time.Time{})
	last := time.Now()
	for {
		now := time.Now()
		if gap := stoodStill(last, now); gap > writeLease {
			r.thawed(now, gap)
		}
		last = now
		leased.LeaseWrites(now.Add(writeLease))
		if !sleep(ctx, watchEvery) {
			return
		}
	}
}

// stoodStill is how long it was between two looks at the clock: by that of the
// process or by that of the machine, of which the former may stand still while
// the machine sleeps.
func stoodStill(last, now time.Time) time.Duration {
	return max(now.Sub(last), now.Round(0).Sub(last.Round(0)))
}

// thawed has the node prove its branch again, as after a start: while the
// process stood still, its place may have been taken.
func (r *Replicator) thawed(now time.Time, gap time.Duration) {
	r.o.Logger.Warn("This process did not run for a while; it asks its peers again before it takes writes",
		slog.Duration("gap", gap))
	for _, l := range r.links {
		l.mu.Lock()
		l.catchup.discovered = false
		if l.state.Up() {
			l.catchup.up(now)
		}
		l.mu.Unlock()
		l.beaconer.soon(true)
	}
	r.mu.Lock()
	r.started, r.safety.proven = now, false
	r.gateLocked(now)
	r.mu.Unlock()
	r.wake()
}
