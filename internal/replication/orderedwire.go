package replication

import (
	"context"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// OrderedWire is a wire whose messages can be understood only once what they
// build on has been applied, and whose readers may not survive a message that
// comes twice. Such a link sends and applies one changeset after another, and
// makes the cursor durable before it sends the next.
type OrderedWire interface {
	Wire
	// Waiting reports whether messages have been kept back: Unpack returned
	// nothing for them, and made them durable.
	Waiting() bool
	// Early returns what was kept back: how many messages, and the first of the
	// changesets that they wait for, sorted, at most limit.
	Early(limit int) (messages int, missing []branch.Dot)
	// Kept returns a message that was kept back and can be unpacked now, if
	// there is one. done is called once what was unpacked is durable, or refused;
	// after a crash before that the message is kept still.
	Kept() (m Message, done func(), ok bool)
}

func isOrdered(cfg LinkConfig) bool {
	_, ok := cfg.Wire.(OrderedWire)
	return ok
}

// forOrdered takes relaying from a link whose readers may not survive what they
// have published coming back to them.
func forOrdered(cfg LinkConfig) LinkConfig {
	cfg.Relay = cfg.Relay && !isOrdered(cfg)
	return cfg
}

// ordered is the link's wire if it is an ordered one, else nil.
func (l *link) ordered() OrderedWire {
	w, _ := l.cfg.Wire.(OrderedWire)
	return w
}

// early is what an ordered wire keeps back, nothing for others.
func (l *link) early() (messages int, missing []branch.Dot) {
	if w := l.ordered(); w != nil {
		return w.Early(maxMissingShown)
	}
	return 0, nil
}

// window is how many flights the sender may have on the way.
func (l *link) window() int {
	if l.ordered() != nil {
		return 1
	}
	return l.o.Window
}

// portion is the part of the feed that goes into one flight.
func (s *sender) portion(entries []store.FeedEntry) []store.FeedEntry {
	if s.l.ordered() == nil {
		return entries
	}
	for i, e := range entries {
		if s.mine(e.Dot) {
			return entries[:i+1]
		}
	}
	return entries
}

// processKept applies the messages that were kept back, as far as that has
// become possible.
func (r *receiver) processKept(ctx context.Context) {
	w := r.l.ordered()
	for w != nil && ctx.Err() == nil {
		m, done, ok := w.Kept()
		if !ok {
			return
		}
		r.process(ctx, []Delivery{{Message: m, Ack: func(context.Context) error {
			done()
			return nil
		}}})
	}
}

// unkept is closed when messages that were kept back must be looked at again;
// nil when there are none.
func (r *receiver) unkept(changed <-chan struct{}) <-chan struct{} {
	if w := r.l.ordered(); w != nil && w.Waiting() {
		return changed
	}
	return nil
}
