package replication

import (
	"context"
	"iter"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// Since gives all changesets of a store that a revision does not cover, as of
// now, in portions of about maxBytes and in an order in which each comes after
// all that it depends on. A revision that is older than what the store's log
// keeps gives a *store.CompactedError.
func Since(ctx context.Context, s Store, revision branch.Revision, maxBytes int) iter.Seq2[[]changeset.Envelope, error] {
	return func(yield func([]changeset.Envelope, error) bool) {
		var ranges []Range
		for _, d := range s.Revision() {
			if from := revision.At(d.Branch) + 1; from <= d.Seq {
				ranges = append(ranges, Range{d.Branch, from, d.Seq})
			}
		}
		m, err := newMerge(ctx, s, ranges)
		if err != nil {
			yield(nil, err)
			return
		}
		if slices.ContainsFunc(m.verdicts, func(o Outcome) bool { return o.Verdict == BelowFloor }) {
			yield(nil, &store.CompactedError{At: revision, Floor: floorOf(s)})
			return
		}
		for !m.exhausted() {
			list, err := m.chunk(maxBytes)
			if !yield(list, err) || err != nil {
				return
			}
		}
		if slices.ContainsFunc(m.sources, func(s *source) bool { return s.trimmed }) {
			yield(nil, &store.CompactedError{At: revision, Floor: floorOf(s)})
		}
	}
}

// Import applies changesets that came by another way than a link, as Apply of a
// store does, and minds the safety of the own branch. Relays pass them on.
func (r *Replicator) Import(ctx context.Context, list []changeset.Envelope) (store.Applied, error) {
	if err := r.markOwn(ctx, list); err != nil {
		return store.Applied{}, err
	}
	a, err := r.store.Apply(ctx, list)
	if err != nil {
		return a, err
	}
	for _, rejection := range a.Rejected {
		r.quarantineImported(rejection, bodyOf(list, rejection.Dot))
	}
	r.gate(time.Now())
	r.wake()
	return a, nil
}
