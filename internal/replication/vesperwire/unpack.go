package vesperwire

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// Unpack implements replication.Wire. A message whose causal past has not been
// applied yet is kept on disk, and is nothing for now; a repetition of what has
// left the log is nothing at all. Packed messages are taken too: nodes of this
// project may have changed the wire already.
func (w *Wire) Unpack(m replication.Message) ([]changeset.Envelope, error) {
	if m.ContentType == changeset.ContentType {
		return replication.PackedWire{}.Unpack(m)
	}
	message, err := legacywire.Parse(m.Body)
	if err != nil {
		return nil, err
	}
	if m.From != message.Origin {
		return nil, fmt.Errorf("the header clientid names %q, and the changeset's origin is %s", m.From, message.Origin)
	}
	w.hear(message)
	var out []changeset.Envelope
	early := false
	err = w.view(func(r *store.Reader) error {
		var err error
		out, early, err = w.convert(r, message)
		return err
	})
	if err != nil {
		return nil, err
	}
	if early {
		return nil, w.keep(message, m.Body)
	}
	return out, nil
}

// convert returns the changeset of a message, or that the message is too early.
func (w *Wire) convert(r *store.Reader, m legacywire.Message) (out []changeset.Envelope, early bool, err error) {
	p, known, err := r.Predecessor(m.Dot())
	if err != nil {
		return nil, false, err
	}
	if !known {
		return nil, !r.Revision().Covers(m.Dot()), nil
	}
	past := legacywire.CausalPast(m, legacywire.Predecessor(p))
	if !r.Revision().CoversAll(past) {
		return nil, true, nil
	}
	c, err := legacywire.Convert(m, legacywire.Predecessor(p), objectsAt(r, past))
	if _, compacted := errors.AsType[*store.CompactedError](err); compacted && r.Revision().Covers(m.Dot()) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if err := c.Warning(); err != nil {
		w.o.Logger.Error("Left out statements of a changeset of the original's form", slog.String("dot", m.Dot().String()), slog.Any("error", err))
	}
	w.remember(m, past)
	return []changeset.Envelope{c.Envelope}, false, nil
}

// hear records that a changeset was on the channel.
func (w *Wire) hear(m legacywire.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = w.heard.With(m.Dot())
}

// remember keeps a revision that is not what all its changesets say together.
// Such revisions come after merges, are few, and matter only for the next write.
func (w *Wire) remember(m legacywire.Message, past branch.Revision) {
	if past.With(m.Dot()).String() == m.Revision {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.verbatim) >= verbatimLimit {
		maps.DeleteFunc(w.verbatim, func(d branch.Dot, _ string) bool { return d.Branch == m.Origin })
	}
	w.verbatim[m.Dot()] = m.Revision
}

// keep puts a message on the shelf until it can be unpacked.
func (w *Wire) keep(m legacywire.Message, body []byte) error {
	kept, err := w.kept.put(m.Dot(), m.Seen(), body)
	if err != nil {
		return &store.StorageError{Op: "keeping changeset " + m.Dot().String() + ", which came early", Err: err}
	}
	if !kept {
		w.o.Logger.Warn("Dropped a changeset that came early: too many are kept; it has to come from a peer", slog.String("dot", m.Dot().String()))
		return nil
	}
	w.o.Logger.Info("Kept a changeset that came before what it builds on",
		slog.String("dot", m.Dot().String()), slog.String("buildsOn", m.Seen().String()))
	return nil
}

// Waiting implements replication.OrderedWire.
func (w *Wire) Waiting() bool { return w.kept.len() > 0 }

// Early implements replication.OrderedWire.
func (w *Wire) Early(limit int) (messages int, missing []branch.Dot) {
	return w.kept.missing(w.o.Store.Revision(), limit)
}

// Kept implements replication.OrderedWire.
func (w *Wire) Kept() (replication.Message, func(), bool) {
	revision := w.o.Store.Revision()
	for {
		i, ok := w.kept.ready(revision)
		if !ok {
			return replication.Message{}, nil, false
		}
		body, err := w.kept.read(i)
		if err != nil {
			w.o.Logger.Error("Could not read a changeset that was kept; it has to come from a peer",
				slog.String("dot", i.dot.String()), slog.Any("error", err))
			w.kept.remove(i)
			continue
		}
		m := replication.Message{From: i.dot.Branch, Body: body}
		return m, func() { w.kept.remove(i) }, true
	}
}
