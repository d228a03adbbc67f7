package replication

import (
	"context"
	"errors"
	"fmt"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// publish hands the entries that are ours to publish to the broker.
func (s *sender) publish(ctx context.Context, entries []store.FeedEntry) (flight, error) {
	f := flight{upTo: entries[len(entries)-1].Pos}
	var ours []changeset.Envelope
	for _, e := range entries {
		if s.l.cfg.Relay || e.Dot.Branch == s.l.store.Branch() {
			ours = append(ours, e.Envelope)
		}
	}
	messages, sent, err := s.messages(ours)
	if err != nil {
		return f, err
	}
	f.changesets = sent
	for _, m := range messages {
		c, err := s.l.cfg.Transport.Publish(ctx, s.l.dataTopic(), m)
		if err != nil {
			return f, fmt.Errorf("publishing %d changesets from %s: %w", len(ours), ours[0].Dot, err)
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

// tooLarge says that a message is larger than the broker takes.
func (l *link) tooLarge(list []changeset.Envelope, messages []Message) error {
	for _, m := range messages {
		if l.cfg.MaxMessage > 0 && len(m.Body) > l.cfg.MaxMessage {
			return &UnsendableError{Dot: list[0].Dot, Err: fmt.Errorf("it makes a message of %d bytes, and the broker of link %s "+
				"takes %d: raise the broker's limit, and broker.maxMessage in the node's file with it", len(m.Body), l.cfg.Name, l.cfg.MaxMessage)}
		}
	}
	return nil
}

// setAside passes over a changeset that the link can never carry. It stays in
// the log; peers of this link lack it, and what builds on it.
func (l *link) setAside(e changeset.Envelope, why *UnsendableError) {
	l.metrics.unsendable.WithLabelValues(l.cfg.Name).Inc()
	l.quarantined(Evidence{From: e.Dot.Branch, Dot: e.Dot, Error: why.Error()}, e.Body)
}
