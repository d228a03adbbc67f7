package store

import (
	"context"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

// Adopt gives the store another branch id, durably: its data stay, what it
// issued so far belongs to a former branch, and its next write is the first of
// the new one. So a copy or a restored backup can write without ever using a
// dot again. Whoever calls it knows that nobody had the new id; one of which the
// store holds changesets, waiting ones, or a fork, or that is not as long as the
// others, is refused, and so is any while the store's own branch is forked. The
// cursors of the given names, which are about the former branch, are removed. The
// caller closes the store; it is opened under the new id from then on.
func (s *Store) Adopt(ctx context.Context, id branch.ID, forget ...string) error {
	if _, err := branch.ParseID(string(id)); err != nil {
		return fmt.Errorf("giving the store of branch %s another id: %w", s.opts.Branch, err)
	}
	s.RefuseWrites("the store is given another branch id")
	incarnation := newIncarnation()
	err := s.submit(ctx, func(b *batch) error {
		if err := b.unknown(s.opts.Branch, id); err != nil {
			return err
		}
		b.put(bucketMeta, metaBranch, []byte(id))
		b.put(bucketMeta, metaIncarnation, []byte(incarnation))
		b.remove(bucketMeta, metaCopied)
		b.remove(bucketMeta, metaBootstrapped)
		for _, name := range forget {
			b.remove(bucketCursors, []byte(name))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("giving the store of branch %s the id %s: %w", s.opts.Branch, id, err)
	}
	return nil
}

// unknown refuses a branch id of which the store knows anything.
func (b *batch) unknown(own, id branch.ID) error {
	const remedy = "choose a branch id that nobody ever had"
	if id == own {
		return fmt.Errorf("it has that id already: %s", remedy)
	}
	if id.Width() != own.Width() {
		return fmt.Errorf("the ids of its system have %d characters: %s", own.Width(), remedy)
	}
	if f, forked := b.st.forked(own); forked {
		return fmt.Errorf("its branch is forked at %s, so that it may hold what nobody else takes: settle the fork first (docs/troubleshooting.md)", f.Dot)
	}
	if seq := b.st.heads[id].seq; seq > 0 {
		return fmt.Errorf("somebody has written under it, up to %s: %s", branch.Dot{Branch: id, Seq: seq}, remedy)
	}
	if len(b.st.pending.of(id)) > 0 {
		return fmt.Errorf("somebody has written under it, and that waits here to be applied: %s", remedy)
	}
	if f, known := b.st.forks[id]; known {
		return fmt.Errorf("it is known to be forked at %s: %s", f.Dot, remedy)
	}
	return nil
}
