package replication

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// stepGap is the least time between two looks at the state of things.
	stepGap = 5 * time.Millisecond
	// idleStep is the longest time between two looks.
	idleStep = 5 * time.Second
	// avoidance is how long a peer is not asked after it failed to help.
	avoidance = 30 * time.Second
	// takeBytes bounds what is taken of the queue at once, packed, to be applied
	// together.
	takeBytes = 2 << 20
)

// id makes a branch id a fmt.Stringer.
type id branch.ID

// String returns the id.
func (i id) String() string { return string(i) }

// repairer finds from beacons what is missing, asks one peer at a time for it,
// and decides when the link is caught up.
type repairer struct {
	l      *link
	kick   chan struct{}
	chunks chan *Chunk
	asked  *asking
	lastID uint64
}

func newRepairer(l *link) *repairer {
	return &repairer{
		l: l, kick: make(chan struct{}, 1), chunks: make(chan *Chunk, 2*l.o.Credits), lastID: l.chance.uint64() >> 1,
	}
}

// wake makes the repairer look again.
func (r *repairer) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

func (r *repairer) run(ctx context.Context) {
	for {
		wait := r.step(ctx)
		if !sleep(ctx, stepGap) || !r.await(ctx, wait) {
			return
		}
	}
}

// await waits for something to do, and takes chunks as they come.
func (r *repairer) await(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.kick:
	case c := <-r.chunks:
		r.takeAll(ctx, c)
	case <-ctx.Done():
		return false
	}
	return true
}

// takeAll takes a chunk and those that follow it without a pause.
func (r *repairer) takeAll(ctx context.Context, c *Chunk) {
	for c != nil && ctx.Err() == nil {
		r.take(ctx, c)
		c = r.queued(0)
	}
}

// deliver takes a message of this node's sync queue.
func (r *repairer) deliver(ctx context.Context, d Delivery) {
	if d.Ack != nil {
		defer func() {
			if err := d.Ack(ctx); err != nil {
				r.l.log.Debug("Could not acknowledge a sync message", slog.Any("error", err))
			}
		}()
	}
	m, err := decodeSyncMessage(d.Message)
	if err != nil {
		r.l.quarantined(Evidence{From: d.From, Cause: causeOf(err), Error: err.Error()}, d.Body)
		return
	}
	r.dispatch(ctx, m)
}

// dispatch hands a message to whom it is for. None but the queue of chunks
// makes it wait: that has room for all the chunks that were asked for, but not
// for all their parts, nor for what comes twice. While the repairer applies what
// it has, the broker keeps the rest, and requests behind it too.
func (r *repairer) dispatch(ctx context.Context, m Sync) {
	switch {
	case m.Request != nil:
		r.l.answerer.enqueue(*m.Request)
	case m.SnapshotRequest != nil:
		r.l.snapshots.enqueue(*m.SnapshotRequest)
	case m.SnapshotChunk != nil:
		r.l.fetcher.deliver(m.SnapshotChunk)
	case m.DigestRequest != nil:
		r.l.drill.enqueue(*m.DigestRequest)
	case m.DigestAnswer != nil:
		r.l.drill.deliver(m.DigestAnswer)
	case m.Chunk != nil:
		select {
		case r.chunks <- m.Chunk:
		case <-ctx.Done():
		}
	}
}

func decodeSyncMessage(m Message) (Sync, error) {
	if m.ContentType != SyncContentType {
		return Sync{}, &foreignError{m.ContentType, SyncContentType}
	}
	return DecodeSync(m.Body)
}

// step looks at the state of things, asks for what is due, and returns how long
// nothing needs to be done unless something happens.
func (r *repairer) step(ctx context.Context) time.Duration {
	now := time.Now()
	r.l.beaconer.tell(r.l.store.Revision())
	r.l.judgePolicy(now)
	want, next := r.look(now)
	r.l.r.settle(ctx)
	if r.asked != nil && !now.Before(r.asked.deadline) {
		r.timedOut(now)
	}
	if r.asked == nil && len(want) > 0 {
		r.ask(ctx, now, want)
	}
	if r.asked != nil {
		next = earlier(next, r.asked.deadline)
	}
	if next.IsZero() {
		return idleStep
	}
	return min(max(next.Sub(now), 0), idleStep)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// look brings gaps and catch-up up to date. It returns what to ask for now and
// when there will be more to do.
func (r *repairer) look(now time.Time) (want []Range, next time.Time) {
	l := r.l
	have := l.store.Revision()
	bootstrapped := l.store.Bootstrapped()
	l.mu.Lock()
	defer l.mu.Unlock()
	target := r.l.r.unforked(l.peers.target(now))
	l.gaps.update(now, have, target)
	lag, since := l.gaps.lacking()
	l.metrics.lag.WithLabelValues(l.cfg.Name).Set(float64(lag))
	was := l.catchup.phase
	l.catchup.step(now, have, target, since)
	r.notePhase(was, l.catchup.phase, lag)
	grace := l.o.Grace
	if !bootstrapped {
		grace = 0
	}
	next = l.catchup.next(since)
	if l.catchup.phase < phaseCatchingUp {
		return nil, next
	}
	want = l.gaps.due(now, grace)
	if r.bySnapshot(now, have, lag, l.gaps.standing(now, grace)) {
		return nil, next // the fetcher wakes this when it is done
	}
	if len(want) > 0 {
		_, missing := l.store.Pending()
		want = narrow(want, missing)
	}
	if r.asked == nil && len(want) == 0 {
		next = earlier(next, l.gaps.next(grace))
	}
	return want, next
}

// bySnapshot has what only a snapshot can bring, or should, of all that is
// standing fetched, and reports whether nothing else is to be asked for
// meanwhile. The caller holds the link's mu.
func (r *repairer) bySnapshot(now time.Time, have branch.Revision, lag uint64, standing []Range) bool {
	f := r.l.fetcher
	need := r.l.peers.beyondLogs(now, standing)
	cheaper := len(need) == 0 && len(have) == 0 && lag > uint64(r.l.o.SnapshotLag) && r.l.r.installer != nil && !f.failed()
	if cheaper {
		need = standing
	}
	if need != nil && f.needed() == nil {
		r.l.log.Info("Needed a snapshot", slog.Uint64("changesets", lag), slog.Bool("cheaper", cheaper))
	}
	f.require(need)
	return cheaper || f.busy()
}

// narrow leaves out of the ranges what is pending already: where something
// waits for changesets of a branch, those up to the last one waited for are
// what is missing, and what lies behind them is here.
func narrow(want []Range, missing []branch.Dot) []Range {
	last := map[branch.ID]uint64{}
	for _, d := range missing {
		last[d.Branch] = max(last[d.Branch], d.Seq)
	}
	for i, g := range want {
		if seq := last[g.Branch]; seq >= g.From && seq < g.To {
			want[i].To = seq
		}
	}
	return want
}

func (r *repairer) notePhase(was, is phase, lag uint64) {
	switch {
	case was != phaseCaughtUp && is == phaseCaughtUp:
		r.l.once = true
		r.l.log.Info("Caught up with the peers")
	case was == phaseCaughtUp && is == phaseCatchingUp:
		r.l.log.Warn("Fell behind the peers", slog.Uint64("changesets", lag))
	}
}

// ask chooses a peer and sends it a request for what it has of want.
func (r *repairer) ask(ctx context.Context, now time.Time, want []Range) {
	var p *peer
	var ranges []Range
	r.l.mu.Lock()
	r.l.chance.with(func(rng *rand.Rand) { p, ranges = r.l.peers.choose(now, want, rng) })
	if p == nil {
		r.l.gaps.asked(now, want)
		r.l.mu.Unlock()
		return
	}
	ranges = ranges[:min(len(ranges), maxRanges)]
	r.l.gaps.asked(now, ranges)
	request := Request{From: r.l.store.Branch(), Session: p.Session, Ranges: ranges, Credits: r.l.o.Credits}
	r.asked = &asking{
		peer: p.Branch, session: p.Session, ranges: ranges, deadline: now.Add(r.l.o.RequestTimeout), credits: r.l.o.Credits,
	}
	r.l.mu.Unlock()
	r.lastID++
	r.asked.id, request.ID = r.lastID, r.lastID
	r.l.log.Debug("Asked a peer for missing changesets", slog.String("peer", string(r.asked.peer)), slog.Int("ranges", len(ranges)))
	if err := r.request(ctx, request); err != nil && ctx.Err() == nil {
		r.l.log.Debug("Could not send a request", slog.Any("error", err))
		r.done("failed")
	}
}

func (r *repairer) request(ctx context.Context, q Request) error {
	body, err := EncodeRequest(q)
	if err != nil {
		return err
	}
	return r.l.publishSync(ctx, r.asked.peer, body)
}

// publishSync sends a message to a peer's queue, without waiting until the
// broker has it: whoever asks gets an answer or asks again.
func (l *link) publishSync(ctx context.Context, to branch.ID, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, beaconTimeout)
	defer cancel()
	_, err := l.cfg.Transport.Publish(ctx, l.syncQueue(id(to)), Message{
		From: l.store.Branch(), ContentType: SyncContentType, TTL: messageTTL, Body: body,
	})
	if err != nil {
		return fmt.Errorf("sending a request to %s: %w", to, err)
	}
	return nil
}

func (r *repairer) done(outcome string) {
	r.l.metrics.requests.WithLabelValues(r.l.cfg.Name, outcome).Inc()
	r.asked = nil
}

// timedOut gives the peer up for a while; another is asked at once.
func (r *repairer) timedOut(now time.Time) {
	r.l.log.Debug("A peer did not answer in time", slog.String("peer", string(r.asked.peer)))
	r.avoid(now)
	r.l.mu.Lock()
	r.l.gaps.hurry(r.asked.ranges)
	r.l.mu.Unlock()
	r.done("timeout")
}

func (r *repairer) avoid(now time.Time) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if p := r.l.peers.byBranch[r.asked.peer]; p != nil {
		p.avoid = now.Add(avoidance)
	}
}
