package replication

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

const (
	// stepGap is the least time between two looks at the state of things.
	stepGap = 5 * time.Millisecond
	// idleStep is the longest time between two looks.
	idleStep = 5 * time.Second
	// avoidance is how long a peer is not asked after it failed to help.
	avoidance = 30 * time.Second
	// answerQueue bounds the chunks that wait to be applied.
	answerQueue = 4
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

// asking is the one request under way.
type asking struct {
	id       uint64
	peer     branch.ID
	ranges   []Range
	deadline time.Time
	// chunk is the number of the last chunk, gained counts what was new in all.
	chunk, gained int
}

func newRepairer(l *link) *repairer {
	return &repairer{
		l: l, kick: make(chan struct{}, 1), chunks: make(chan *Chunk, answerQueue), lastID: rand.Uint64() >> 1,
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
		r.take(ctx, c)
	case <-ctx.Done():
		return false
	}
	return true
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
	request, chunk, err := decodeSyncMessage(d.Message)
	switch {
	case err != nil:
		r.l.quarantined(Evidence{From: d.From, Error: err.Error()}, d.Body)
	case request != nil:
		r.l.answerer.enqueue(*request)
	default:
		select {
		case r.chunks <- chunk:
		case <-ctx.Done():
		}
	}
}

func decodeSyncMessage(m Message) (*Request, *Chunk, error) {
	if m.ContentType != SyncContentType {
		return nil, nil, fmt.Errorf("content type %.100q is not %q", m.ContentType, SyncContentType)
	}
	return DecodeSync(m.Body)
}

// step looks at the state of things, asks for what is due, and returns how long
// nothing needs to be done unless something happens.
func (r *repairer) step(ctx context.Context) time.Duration {
	now := time.Now()
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
	target := l.peers.target(now)
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
	if len(want) > 0 {
		_, missing := l.store.Pending()
		want = narrow(want, missing)
	}
	if r.asked == nil && len(want) == 0 {
		next = earlier(next, l.gaps.next(grace))
	}
	return want, next
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
	r.asked = &asking{peer: p.Branch, ranges: ranges, deadline: now.Add(r.l.o.RequestTimeout)}
	r.l.mu.Unlock()
	r.lastID++
	r.asked.id, request.ID = r.lastID, r.lastID
	r.l.log.Debug("Asked a peer for missing changesets", slog.String("peer", string(r.asked.peer)), slog.Int("ranges", len(ranges)))
	if err := r.l.publishSync(ctx, r.asked.peer, request); err != nil && ctx.Err() == nil {
		r.l.log.Debug("Could not send a request", slog.Any("error", err))
		r.done("failed")
	}
}

// publishSync sends a request to a peer's queue.
func (l *link) publishSync(ctx context.Context, to branch.ID, request Request) error {
	body, err := EncodeRequest(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, beaconTimeout)
	defer cancel()
	_, err = l.cfg.Transport.Publish(ctx, l.syncQueue(id(to)), Message{
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

// take applies a chunk of the answer waited for; others are late and dropped.
func (r *repairer) take(ctx context.Context, c *Chunk) {
	a := r.asked
	if a == nil || c.ID != a.id || c.From != a.peer || c.Number <= a.chunk {
		return
	}
	a.chunk = c.Number
	if len(c.Body) > 0 {
		envelopes, err := changeset.Unpack(c.Body, changeset.DefaultLimits())
		if err != nil {
			r.l.quarantined(Evidence{From: c.From, Error: err.Error()}, c.Body)
			r.avoid(time.Now())
			r.done("malformed")
			return
		}
		sum, err := r.l.apply(ctx, c.From, envelopes)
		if err != nil {
			return
		}
		a.gained += sum.Applied + sum.Pending
	}
	a.deadline = time.Now().Add(r.l.o.RequestTimeout)
	if c.Last {
		r.finish(time.Now(), c.Outcomes)
	}
}

// finish judges a whole answer.
func (r *repairer) finish(now time.Time, outcomes []Outcome) {
	verdicts := map[Verdict][]Range{}
	for _, o := range outcomes {
		verdicts[o.Verdict] = append(verdicts[o.Verdict], o.Range)
	}
	outcome := Have.String()
	if len(verdicts[Unknown]) > 0 || len(verdicts[BelowFloor]) > 0 || len(outcomes) == 0 {
		outcome = Unknown.String()
		r.avoid(now)
	}
	if below := verdicts[BelowFloor]; len(below) > 0 {
		outcome = BelowFloor.String()
		r.l.log.Warn("A peer no longer has changesets in its log that this node lacks",
			slog.String("peer", string(r.asked.peer)), slog.String("branch", string(below[0].Branch)), slog.Uint64("from", below[0].From))
	}
	if r.asked.gained > 0 {
		r.l.mu.Lock()
		r.l.gaps.hurry(slices.Concat(verdicts[More], verdicts[Unknown], verdicts[BelowFloor]))
		r.l.mu.Unlock()
	}
	r.done(outcome)
}
