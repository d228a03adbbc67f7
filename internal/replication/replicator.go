package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// Replicator replicates one store over its links.
type Replicator struct {
	// news wakes those who wait for peers.
	news news

	store      Store
	o          Options
	links      []*link
	metrics    *metrics
	quarantine *quarantine
	// session is random, new in each process.
	session string
	// started is when the process started, or went on after it stood still.
	started time.Time
	// digests remembers the text of the digest, donor makes snapshots for peers,
	// installer lets one link at a time get one, keeper trims the log.
	digests   digestText
	donor     *donor
	installer *installer
	keeper    *keeper

	mu       sync.Mutex
	safety   safety
	draining bool
	// refused is what the store was last told; nil means nothing yet.
	refused *refusal
	// markErr is why the mark could not be made durable.
	markErr error
}

// New prepares the replication of s over links; with none, the node is
// standalone. Writes are refused from now on if branch safety demands it. The
// error names what is wrong with a link or a metric that is registered already.
func New(s Store, links []LinkConfig, o Options) (*Replicator, error) {
	if err := checkLinks(links); err != nil {
		return nil, fmt.Errorf("preparing replication: %w", err)
	}
	o = o.withDefaults()
	mark, err := s.Cursor(markCursor)
	if err != nil {
		return nil, fmt.Errorf("preparing replication: reading the branch mark: %w", err)
	}
	opened, err := s.Cursor(openCursor)
	if err != nil {
		return nil, fmt.Errorf("preparing replication: reading whether the branch was used: %w", err)
	}
	r := &Replicator{
		store: s, o: o, metrics: newMetrics(), session: newSession(o.Seed, s.Branch(), time.Now()), started: time.Now(),
		quarantine: &quarantine{log: o.Logger, size: o.QuarantineSize},
		donor:      newDonor(s, o), installer: newInstaller(s, o), keeper: newKeeper(s.Branch(), len(links) == 0, o),
	}
	r.safety = safety{own: s.Branch(), session: r.session, every: o.BeaconInterval, mark: mark, opened: opened > 0}
	for _, cfg := range links {
		r.links = append(r.links, newLink(r, cfg))
	}
	if o.Registerer != nil {
		if err := r.metrics.register(o.Registerer, r); err != nil {
			return nil, err
		}
	}
	r.gate(time.Now())
	r.limitWrites()
	return r, nil
}

// Run replicates until ctx ends, then returns nil with nothing left running. An
// error means that a link cannot work at all; the others have been ended too.
// Without links it declares the store bootstrapped and waits for ctx to end.
func (r *Replicator) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { r.keep(ctx) })
	running.Go(func() { r.watch(ctx) })
	if len(r.links) == 0 {
		r.settle(ctx)
		<-ctx.Done()
		running.Wait()
		return nil
	}
	running.Go(func() { r.donor.run(ctx) })
	errs := make([]error, len(r.links))
	for i, l := range r.links {
		running.Go(func() {
			defer cancel()
			errs[i] = l.run(ctx)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// Drain waits until everything written here is confirmed by every broker, or
// ctx ends; then the error says how much is left. That is not lost: it is sent
// after the next start. The caller refuses writes first, and calls Drain while
// Run still runs; from then on the store's write gate is the caller's.
func (r *Replicator) Drain(ctx context.Context) error {
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	var errs []error
	for _, l := range r.links {
		if err := l.sender.drain(ctx); err != nil {
			left, _ := r.store.Outbox(l.cfg.Name)
			errs = append(errs, fmt.Errorf("draining link %s: about %d changesets are not confirmed by the broker "+
				"and will be sent after the next start: %w", l.cfg.Name, left, err))
		}
	}
	return errors.Join(errs...)
}

// AcceptBranch takes writes again under a branch that was ahead of the store:
// whoever calls it knows that the lost volume held nothing that no peer has.
// It fails while something that peers hold is still missing.
func (r *Replicator) AcceptBranch(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	head := r.store.Revision().At(r.safety.own)
	if r.safety.claimed > head || r.safety.mark > head {
		return fmt.Errorf("accepting branch %s: peers hold changesets up to %d, this store only up to %d: wait until they are fetched",
			r.safety.own, max(r.safety.claimed, r.safety.mark), head)
	}
	if r.safety.forked != "" || r.safety.told != nil {
		return fmt.Errorf("accepting branch %s: it is forked: settle that first (DELETE /v1/forks/%s)", r.safety.own, r.safety.own)
	}
	if err := r.store.SetBootstrapped(ctx); err != nil {
		return fmt.Errorf("accepting branch %s: %w", r.safety.own, err)
	}
	if err := r.store.SetCursor(ctx, markCursor, 0); err != nil {
		return fmt.Errorf("accepting branch %s: %w", r.safety.own, err)
	}
	if s, ok := r.store.(copyStore); ok {
		if err := s.MarkOwned(ctx); err != nil {
			return fmt.Errorf("accepting branch %s: %w", r.safety.own, err)
		}
	}
	r.safety.mark = 0
	r.o.Logger.Warn("Accepted the branch; writes go on after what was fetched",
		slog.String("branch", string(r.safety.own)), slog.Uint64("head", head))
	r.gateLocked(time.Now())
	return nil
}

// Quarantine returns the latest evidence of what could not be applied, oldest first.
func (r *Replicator) Quarantine() []Evidence { return r.quarantine.list() }

// wake makes every link look at the state of things.
func (r *Replicator) wake() {
	for _, l := range r.links {
		l.repairer.wake()
	}
}

// settle makes durable what was learned of the branch, marks the store as
// bootstrapped when it is, and opens or closes the write gate.
func (r *Replicator) settle(ctx context.Context) {
	p := r.progress(time.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.safety.discovered, r.safety.taken, r.safety.inUse = p.discovered, p.taken, p.inUse
	r.safety.proven = r.safety.proven || p.proven
	r.keepTold(ctx)
	r.gateLocked(time.Now())
	if r.saveMark(ctx) != nil || r.open(ctx) != nil || !p.caughtUp || r.safety.bootstrapped {
		return
	}
	if err := r.store.SetBootstrapped(ctx); err != nil {
		r.o.Logger.Warn("Could not record that the store is bootstrapped, trying again", slog.Any("error", err))
		return
	}
	r.gateLocked(time.Now())
}

// open takes writes for the first time, and remembers it: from now on what the
// store has of its own branch is what it wrote. The caller holds mu.
func (r *Replicator) open(ctx context.Context) error {
	if !r.safety.mayOpen() {
		return nil
	}
	if err := r.store.SetCursor(ctx, openCursor, 1); err != nil {
		r.o.Logger.Warn("Could not record that the branch is in use, trying again", slog.Any("error", err))
		return fmt.Errorf("recording that branch %s is in use: %w", r.safety.own, err)
	}
	r.safety.opened = true
	r.gateLocked(time.Now())
	return nil
}

// progress is what the links have come to since the start, all together.
type progress struct {
	// discovered, caughtUp and proven hold for every link, taken and inUse for any.
	discovered, caughtUp, proven, taken, inUse bool
}

func (r *Replicator) progress(now time.Time) progress {
	p := progress{discovered: true, caughtUp: true, proven: true}
	r.mu.Lock()
	started := r.started
	r.mu.Unlock()
	for _, l := range r.links {
		l.mu.Lock()
		p.discovered = p.discovered && l.catchup.discovered
		p.caughtUp = p.caughtUp && l.once
		// Who is refused for a client of the same id is not cut off from the
		// broker: the other may be writing right now.
		cutOff := !l.state.Up() && !l.state.Taken && !now.Before(started.Add(r.o.StartPatience))
		p.proven = p.proven && (l.catchup.discovered || cutOff)
		p.taken = p.taken || l.state.Taken
		p.inUse = p.inUse || l.state.InUse
		l.mu.Unlock()
	}
	return p
}

// claim records that a peer has own changesets up to seq.
func (r *Replicator) claim(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.safety.claim(seq)
	r.gateLocked(time.Now())
}

// markOwn makes durable that own changesets beyond the head exist, before any
// of them is applied.
func (r *Replicator) markOwn(ctx context.Context, envelopes []changeset.Envelope) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := false
	for _, e := range envelopes {
		if e.Dot.Branch == r.safety.own && e.Dot.Seq > r.safety.claimed {
			r.safety.claim(e.Dot.Seq)
			news = true
		}
	}
	if !news {
		return nil
	}
	r.gateLocked(time.Now())
	return r.saveMark(ctx)
}

// saveMark makes the mark durable when there is news. The caller holds mu.
func (r *Replicator) saveMark(ctx context.Context) error {
	mark, news := r.safety.toMark()
	if !news || len(r.links) == 0 {
		return nil
	}
	err := r.store.SetCursor(ctx, markCursor, mark)
	if err != nil {
		if r.markErr == nil {
			r.o.Logger.Error("Could not record that the branch is ahead of the store, trying again", slog.Any("error", err))
		}
		r.markErr = err
		return fmt.Errorf("recording that branch %s is ahead of the store: %w", r.safety.own, err)
	}
	r.safety.mark, r.markErr = mark, nil
	r.gateLocked(time.Now())
	return nil
}

// heardOwn takes a beacon with our branch id that another process sent. It
// reports whether another beacon is needed to be sure that the process lives.
func (r *Replicator) heardOwn(b Beacon) (unsure bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.safety.heardOwn(now, b) {
		r.o.Logger.Error("Another running process uses this node's branch id; writes are refused",
			slog.String("branch", string(b.Branch)), slog.String("incarnation", b.Incarnation), slog.String("session", b.Session))
	}
	r.safety.claim(b.Revision.At(r.safety.own))
	r.gateLocked(now)
	return !r.safety.twin.sure
}

// forked records that our own branch has two changesets under one dot.
func (r *Replicator) forked(d branch.Dot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.safety.forked = d.String()
	r.gateLocked(time.Now())
}

func (r *Replicator) gate(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gateLocked(now)
}

// gateLocked tells the store whether it may take writes, when that changed.
func (r *Replicator) gateLocked(now time.Time) {
	r.lookAtStore()
	refused := refusal{}
	if len(r.links) > 0 || r.safety.copied || r.safety.forked != "" {
		refused = r.safety.judge(now)
	}
	if r.draining || r.refused != nil && *r.refused == refused {
		return
	}
	if refused.Message != "" {
		r.store.RefuseWrites(refused.Message)
	} else if r.refused != nil && r.refused.Message != "" {
		r.store.AllowWrites()
	}
	r.logGate(refused)
	r.refused = &refused
}

// head is the store's own sequence. A changeset that was just committed may be
// in the log, and even at a peer, an instant before the revision shows it: that
// is not a branch ahead of its store.
func (r *Replicator) head() uint64 {
	head, claimed := r.store.Revision().At(r.safety.own), r.safety.claimed
	if claimed <= head {
		return head
	}
	found, err := r.store.Range(context.Background(), r.safety.own, claimed, claimed, 1)
	if err == nil && len(found) > 0 {
		return claimed
	}
	return head
}

func (r *Replicator) logGate(refused refusal) {
	was := refusal{}
	if r.refused != nil {
		was = *r.refused
	}
	switch {
	case refused.Reason == was.Reason:
	case refused.Message == "":
		r.o.Logger.Info("Took writes again")
	default:
		r.o.Logger.Warn("Refused writes", slog.String("reason", string(refused.Reason)), slog.String("why", refused.Message))
	}
}
