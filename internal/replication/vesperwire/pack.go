package vesperwire

import (
	"errors"
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// Pack implements replication.Wire: one message for each changeset, without its
// length and content type, from the changeset's branch. A changeset that cannot
// be told in the original's form was not written for such a channel.
func (w *Wire) Pack(list []changeset.Envelope) ([]replication.Message, error) {
	var out []replication.Message
	for _, e := range list {
		var m replication.Message
		err := w.view(func(r *store.Reader) (err error) {
			m, err = w.message(r, e)
			return err
		})
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (w *Wire) message(r *store.Reader, e changeset.Envelope) (replication.Message, error) {
	c, err := changeset.Decode(e, changeset.DefaultLimits())
	if err != nil {
		return replication.Message{}, &replication.UnsendableError{Dot: e.Dot, Err: err}
	}
	p, known, err := r.Predecessor(e.Dot)
	if err == nil && !known {
		err = &replication.UnsendableError{Dot: e.Dot, Err: errors.New("the changeset before it is not in the log any more")}
	}
	if err != nil {
		return replication.Message{}, err
	}
	before := legacywire.Predecessor(p)
	past := before.Seen.Merge(c.Base).With(branch.Dot{Branch: e.Dot.Branch, Seq: e.Dot.Seq - 1})
	base, err := w.base(r, e.Dot, past)
	if err != nil {
		return replication.Message{}, err
	}
	m, recent := w.o.Form.take(e)
	if !recent {
		if m, err = w.o.Form.codec.Message(c, before, objectsAt(r, past)); err != nil {
			return replication.Message{}, &replication.UnsendableError{Dot: e.Dot, Err: fmt.Errorf("it was not written for a channel that "+
				"nodes of the original Vesper share: %w", err)}
		}
	}
	return replication.Message{From: e.Dot.Branch, Text: true, Body: m.WithBase(base).Encode()}, nil
}

// base returns the revision to name as the one before: the published one of the
// changeset that was applied here right before. Where that has left the log, the
// whole past of d stands in for it: the same unless there were merges.
func (w *Wire) base(r *store.Reader, d branch.Dot, past branch.Revision) (string, error) {
	last, found, err := r.AppliedBefore(d)
	if err != nil || !found {
		return past.String(), err
	}
	if err := w.published(last, d); err != nil {
		return "", err
	}
	w.mu.Lock()
	text, ok := w.verbatim[last]
	w.mu.Unlock()
	if ok {
		return text, nil
	}
	next, known, err := r.Predecessor(branch.Dot{Branch: last.Branch, Seq: last.Seq + 1})
	if err == nil && !known {
		err = fmt.Errorf("finding the revision of changeset %s: it is not in the log any more", last)
	}
	return next.Seen.With(last).String(), err
}

// published returns an error while a changeset that came from a peer of this
// project has not been on the channel. Nodes of the original that got what
// builds on it first would keep that, and all that follows, for ever.
func (w *Wire) published(last, d branch.Dot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last.Branch == d.Branch || w.start.Covers(last) || w.heard.Covers(last) {
		return nil
	}
	if now := time.Now(); w.held != d {
		w.held, w.heldSince = d, now
	} else if now.Sub(w.heldSince) >= w.o.Patience {
		return nil
	}
	return fmt.Errorf("changeset %s waits until %s, on which it builds, has been on the channel", d, last)
}
