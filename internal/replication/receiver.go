package replication

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
	"vesperdb.io/vesper/internal/store"
)

const (
	// receiveQueue bounds the messages that wait in memory to be applied, and
	// receiveBytes what is applied in one transaction (one message may be larger).
	receiveQueue = 16
	receiveBytes = 1 << 20
	// isolateAfter is how many times a batch may fail for no fault of the
	// storage before its changesets are tried one by one, and each alone.
	isolateAfter = 3
)

// receiver applies the messages of the data topic and acknowledges them once
// they are durable: applied, pending, or refused and quarantined.
type receiver struct {
	l     *link
	queue chan Delivery
}

func newReceiver(l *link) *receiver {
	return &receiver{l: l, queue: make(chan Delivery, receiveQueue)}
}

// deliver queues one message. It blocks while the queue is full, and so the
// broker keeps what cannot be applied yet.
func (r *receiver) deliver(ctx context.Context, d Delivery) {
	select {
	case r.queue <- d:
	case <-ctx.Done():
	}
}

func (r *receiver) run(ctx context.Context) {
	for {
		changed := r.l.store.Changed()
		r.processKept(ctx)
		select {
		case d := <-r.queue:
			r.process(ctx, r.batch(d))
		case <-r.unkept(changed):
		case <-ctx.Done():
			return
		}
	}
}

// batch takes what else is queued, up to the bound of a transaction.
func (r *receiver) batch(first Delivery) []Delivery {
	out, bytes := []Delivery{first}, len(first.Body)
	for bytes < receiveBytes && r.l.ordered() == nil {
		select {
		case d := <-r.queue:
			out, bytes = append(out, d), bytes+len(d.Body)
		default:
			return out
		}
	}
	return out
}

func (r *receiver) process(ctx context.Context, batch []Delivery) {
	if r.l.waitReleased(ctx) != nil {
		return
	}
	var envelopes []changeset.Envelope
	from := branch.ID("")
	for _, d := range batch {
		r.l.metrics.received.WithLabelValues(r.l.cfg.Name).Inc()
		r.l.metrics.receivedBytes.WithLabelValues(r.l.cfg.Name).Add(float64(len(d.Body)))
		list, err := r.unpack(ctx, d.Message)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.l.quarantined(Evidence{From: d.From, Cause: causeOf(err), Error: err.Error()}, d.Body)
			continue
		}
		envelopes, from = append(envelopes, list...), d.From
	}
	if mutant.On("broker-ack-before-apply") {
		for _, d := range batch {
			if d.Ack != nil {
				_ = d.Ack(ctx)
			}
		}
	}
	if _, err := r.l.apply(ctx, from, envelopes); err != nil {
		return // not durable: no ACK, so the broker brings it again
	}
	for _, d := range batch {
		if d.Ack == nil {
			continue
		}
		if err := d.Ack(ctx); err != nil {
			r.l.log.Debug("Could not acknowledge a message; it will come again", slog.Any("error", err))
		}
	}
}

// unpack takes a message apart. A wire may need the store for that: while the
// disk fails, it waits.
func (r *receiver) unpack(ctx context.Context, m Message) ([]changeset.Envelope, error) {
	wait := newBackoff(r.l.o)
	for failed := false; ; failed = true {
		list, err := r.l.cfg.Wire.Unpack(m)
		if !isStorage(err) {
			if failed {
				r.l.storageFailed(nil)
			}
			return list, err
		}
		r.l.storageFailed(err)
		if !wait.sleep(ctx) {
			return nil, context.Cause(ctx)
		}
	}
}

// apply hands changesets to the store and returns when all are durable or
// quarantined. It waits out storage errors: the error says only that ctx ended.
func (l *link) apply(ctx context.Context, from branch.ID, envelopes []changeset.Envelope) (store.Applied, error) {
	if envelopes = l.known(from, envelopes); len(envelopes) == 0 {
		return store.Applied{}, nil
	}
	for _, e := range envelopes {
		l.origins.add(e.Dot)
	}
	wait := newBackoff(l.o)
	for attempt := 1; ; attempt++ {
		if err := l.r.markOwn(ctx, envelopes); err == nil {
			a, err := l.store.Apply(ctx, envelopes)
			if err == nil {
				l.storageFailed(nil)
				l.applied(from, envelopes, a)
				return a, nil
			}
			if ctx.Err() == nil && attempt >= isolateAfter && !isStorage(err) {
				return l.isolate(ctx, from, envelopes, err)
			}
			l.storageFailed(err)
		} else {
			l.storageFailed(err)
		}
		if !wait.sleep(ctx) {
			return store.Applied{}, context.Cause(ctx)
		}
	}
}

// known leaves out the changesets of branches that no node of this system can
// have, and keeps evidence of them.
func (l *link) known(from branch.ID, envelopes []changeset.Envelope) []changeset.Envelope {
	own := l.store.Branch()
	stranger := func(e changeset.Envelope) bool { return e.Dot.Branch.Width() != own.Width() }
	if !slices.ContainsFunc(envelopes, stranger) {
		return envelopes
	}
	var out []changeset.Envelope
	for _, e := range envelopes {
		if !stranger(e) {
			out = append(out, e)
			continue
		}
		err := &strangerError{e.Dot.Branch, own}
		l.quarantined(Evidence{From: from, Dot: e.Dot, Cause: CauseUnknownBranch, Error: err.Error()}, e.Body)
	}
	return out
}

func isStorage(err error) bool {
	var s *store.StorageError
	return errors.As(err, &s)
}

// isolate applies the changesets one by one, so that the one that the store
// cannot even refuse does not hold up the others; that one is quarantined, and
// stays missing, so that it is asked for again later.
func (l *link) isolate(ctx context.Context, from branch.ID, envelopes []changeset.Envelope, cause error) (sum store.Applied, err error) {
	if len(envelopes) == 1 {
		l.quarantined(Evidence{From: from, Dot: envelopes[0].Dot, Cause: CauseStuck, Error: cause.Error()}, envelopes[0].Body)
		return sum, nil
	}
	for i := range envelopes {
		a, err := l.apply(ctx, from, envelopes[i:i+1])
		if err != nil {
			return sum, err
		}
		sum.Applied += a.Applied
		sum.Duplicate += a.Duplicate
		sum.Pending += a.Pending
		sum.Dropped += a.Dropped
		sum.Rejected = append(sum.Rejected, a.Rejected...)
	}
	return sum, nil
}

// applied counts what the store made of changesets, and keeps evidence of what
// it refused.
func (l *link) applied(from branch.ID, envelopes []changeset.Envelope, a store.Applied) {
	name := l.cfg.Name
	l.metrics.applied.WithLabelValues(name).Add(float64(a.Applied))
	l.metrics.duplicate.WithLabelValues(name).Add(float64(a.Duplicate))
	l.metrics.held.WithLabelValues(name).Add(float64(a.Pending))
	l.metrics.refused.WithLabelValues(name).Add(float64(len(a.Rejected)))
	l.metrics.dropped.WithLabelValues(name).Add(float64(a.Dropped))
	if a.Applied > 0 {
		l.metrics.ahead.WithLabelValues(name).Set(a.Ahead.Seconds())
	}
	if a.Pending+a.Dropped > 0 {
		l.readEvidence()
	}
	for _, rejection := range a.Rejected {
		l.rejected(from, rejection, bodyOf(envelopes, rejection.Dot))
	}
	l.r.wake()
}

// readEvidence looks at what changesets wait for: one that waits for a
// changeset of our own branch proves that there is one, and that this store has
// lost it.
func (l *link) readEvidence() {
	_, missing := l.store.Pending()
	for _, d := range missing {
		if d.Branch == l.store.Branch() {
			l.r.claim(d.Seq)
		}
	}
}

func bodyOf(envelopes []changeset.Envelope, d branch.Dot) []byte {
	for _, e := range envelopes {
		if e.Dot == d {
			return e.Body
		}
	}
	return nil
}

func (l *link) rejected(from branch.ID, rejection store.Rejection, body []byte) {
	l.quarantined(Evidence{From: from, Dot: rejection.Dot, Cause: causeOf(rejection.Err), Error: rejection.Err.Error()}, body)
	var fork *store.ForkError
	if errors.As(rejection.Err, &fork) && rejection.Dot.Branch == l.store.Branch() {
		l.r.forked(rejection.Dot)
	}
}
