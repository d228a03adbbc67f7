package replication

import (
	"context"
	"errors"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
	"vesperdb.io/vesper/internal/store"
)

// stretch is the next piece of the feed: what was read of it, which may leave
// out what is not this link's to publish, and the position at its end.
type stretch struct {
	entries []store.FeedEntry
	upTo    uint64
}

func (p stretch) bytes() (n int) {
	for _, e := range p.entries {
		n += len(e.Body)
	}
	return n
}

// cut ends the stretch after the first entries of it.
func (p stretch) cut(first []store.FeedEntry) stretch {
	if len(first) == len(p.entries) {
		return p
	}
	return stretch{entries: first, upTo: first[len(first)-1].Pos}
}

// ownFeeder is a store that finds its own changesets without reading the others.
type ownFeeder interface {
	OwnFeed(ctx context.Context, after uint64, maxBytes int) (entries []store.FeedEntry, upTo uint64, err error)
}

// read returns what comes after a position of the feed. When nothing does, the
// stretch ends where it begins.
func (s *sender) read(ctx context.Context, after uint64) (stretch, error) {
	out, err := s.readFeed(ctx, after)
	if gone, ok := errors.AsType[*store.PositionError](err); ok && gone.Floor > after {
		// What is gone has left the log because every member has it.
		return stretch{upTo: gone.Floor}, nil
	}
	if err != nil {
		return out, fmt.Errorf("reading the feed after position %d: %w", after, err)
	}
	return out, nil
}

func (s *sender) readFeed(ctx context.Context, after uint64) (out stretch, err error) {
	own, ok := s.l.store.(ownFeeder)
	out.upTo = after
	if ok && !s.l.cfg.Relay {
		out.entries, out.upTo, err = own.OwnFeed(ctx, after, s.l.o.FlushBytes)
	} else if out.entries, err = s.l.store.Feed(ctx, after, s.l.o.FlushBytes); len(out.entries) > 0 {
		out.upTo = out.entries[len(out.entries)-1].Pos
	}
	return out, err
}

// mine reports whether a changeset is this link's to publish: the own ones, and
// on a relay those of others, unless they came over this very link.
func (s *sender) mine(d branch.Dot) bool {
	if d.Branch == s.l.store.Branch() {
		return true
	}
	return s.l.cfg.Relay && !s.l.origins.has(d) && !mutant.On("relay-drops-remote")
}

// publish hands a stretch to the broker.
func (s *sender) publish(ctx context.Context, next stretch) (flight, error) {
	f := flight{upTo: next.upTo}
	var list []changeset.Envelope
	for _, e := range next.entries {
		if s.mine(e.Dot) {
			list = append(list, e.Envelope)
		}
	}
	messages, sent, err := s.messages(list)
	if err != nil {
		return f, err
	}
	f.changesets = sent
	for _, m := range messages {
		c, err := s.l.cfg.Transport.Publish(ctx, s.l.dataTopic(), m)
		if err != nil {
			return f, fmt.Errorf("publishing %d changesets from %s: %w", len(list), list[0].Dot, err)
		}
		f.confirmations, f.bytes = append(f.confirmations, c), f.bytes+len(m.Body)
	}
	return f, nil
}

// messages makes the messages of changesets, and counts those that are in
// them. What the link can never carry is set aside: it must not hold up what
// comes after it.
func (s *sender) messages(list []changeset.Envelope) (out []Message, sent int, err error) {
	if len(list) == 0 {
		return nil, 0, nil
	}
	out, err = s.l.cfg.Wire.Pack(list)
	if err == nil {
		err = s.l.tooLarge(list, out)
	}
	unsendable, isUnsendable := errors.AsType[*UnsendableError](err)
	switch {
	case err == nil:
		for i := range out {
			s.complete(&out[i])
		}
		return out, len(list), nil
	case !isUnsendable:
		return nil, 0, fmt.Errorf("packing %d changesets from %s: %w", len(list), list[0].Dot, err)
	case len(list) == 1:
		s.l.setAside(list[0], unsendable)
		return nil, 0, nil
	}
	half := len(list) / 2
	out, sent, err = s.messages(list[:half])
	if err != nil {
		return nil, 0, err
	}
	more, n, err := s.messages(list[half:])
	return append(out, more...), sent + n, err
}

// complete fills in what a wire leaves to the sender.
func (s *sender) complete(m *Message) {
	m.Persistent, m.Confirm = true, true
	if m.From == "" {
		m.From = s.l.store.Branch()
	}
}

// maxMessage is the largest body that the broker takes; 0 for any.
func (l *link) maxMessage() int {
	if l.cfg.MaxMessage == nil {
		return 0
	}
	l.mu.Lock()
	server := l.server
	l.mu.Unlock()
	return l.cfg.MaxMessage(server)
}

// tooLarge says that a message is larger than the broker takes.
func (l *link) tooLarge(list []changeset.Envelope, messages []Message) error {
	limit := l.maxMessage()
	for _, m := range messages {
		if limit > 0 && len(m.Body) > limit {
			return &UnsendableError{Dot: list[0].Dot, Err: fmt.Errorf("it makes a message of %d bytes, and the broker of link %s "+
				"takes %d: raise the broker's limit, and broker.maxMessage in the node's file with it", len(m.Body), l.cfg.Name, limit)}
		}
	}
	return nil
}

// setAside passes over a changeset that the link can never carry. It stays in
// the log; peers of this link lack it, and what builds on it.
func (l *link) setAside(e changeset.Envelope, why *UnsendableError) {
	l.metrics.unsendable.WithLabelValues(l.cfg.Name).Inc()
	l.quarantined(Evidence{From: e.Dot.Branch, Dot: e.Dot, Cause: causeOf(why), Error: why.Error()}, e.Body)
}
