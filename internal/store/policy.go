package store

import (
	"bytes"
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// The indexes, the counts and what is read follow the conflict policy that the
// file names. Only objects with conflicts differ between two policies: a
// register in which all concurrent values are equal reads the same under each.
// So a change of policy costs as much as there are conflicts, a bounded number
// of objects a transaction. The file says how far it has come, so that an open
// that was cut off goes on where it was.

// policyPiece is how many objects are looked at anew in one transaction.
const policyPiece = 256

// policyOf is the policy that the indexes follow (from which they depart, while
// they change).
func policyOf(meta *bolt.Bucket) ConflictPolicy {
	if p := ConflictPolicy(meta.Get(metaPolicy)); p != "" {
		return p
	}
	return PolicyLatest
}

// policyChange is a change of policy in progress.
type policyChange struct {
	from, to ConflictPolicy
	// done is the last object that follows the new one.
	done string
}

func (s *Store) followPolicy(ctx context.Context) error {
	settled := false
	err := s.file.db.View(func(tx *bolt.Tx) error {
		change, err := s.policyChange(tx.Bucket(bucketMeta))
		settled = change.from == change.to
		return err
	})
	if err != nil || settled {
		return err
	}
	for {
		more := false
		err := s.file.update(func(tx *bolt.Tx) (err error) {
			more, err = s.followSome(tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("changing the conflict policy to %s: %w", s.opts.ConflictPolicy, err)
		}
		if !more {
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	_, err = s.reload()
	return err
}

// followSome goes a step towards the policy of the options, and reports whether
// another is needed. A change that an earlier open began is ended first,
// whatever its aim was: in the middle of it, the file follows two policies.
func (s *Store) followSome(tx *bolt.Tx) (more bool, err error) {
	change, err := s.policyChange(tx.Bucket(bucketMeta))
	if err != nil || change.from == change.to {
		return false, err
	}
	st, err := loadState(tx)
	if err != nil {
		return false, err
	}
	b := &batch{tx: tx, st: st, now: s.opts.Now, heads: map[branch.ID]bool{}}
	whole := b.follow(&change)
	b.writeTail()
	if b.st.tail.long(s.tailLimit) {
		b.settleTail() // each piece reads the tail again: a merge by pieces would never end
	}
	b.put(bucketMeta, metaCounts, st.encodeCounts())
	if whole {
		b.put(bucketMeta, metaPolicy, []byte(change.to))
		b.remove(bucketMeta, metaPolicyChange)
		s.opts.Logger.Info("Changed the conflict policy of the store", "from", change.from, "to", change.to)
	} else {
		b.put(bucketMeta, metaPolicyChange, append(append([]byte(change.to), 0), change.done...))
	}
	b.writeDeclaration()
	return true, b.err
}

func (s *Store) policyChange(meta *bolt.Bucket) (policyChange, error) {
	c := policyChange{from: policyOf(meta), to: s.opts.ConflictPolicy}
	if err := c.from.check(); err != nil {
		return c, &FormatError{Path: s.path, Detail: fmt.Sprintf("%v: run the newer program that wrote it", err)}
	}
	to, done, begun := bytes.Cut(meta.Get(metaPolicyChange), []byte{0})
	if begun {
		c.to, c.done = ConflictPolicy(to), string(done)
	}
	return c, c.to.check()
}

// follow indexes the next objects by the new policy, and reports whether they
// were the last.
func (b *batch) follow(c *policyChange) (whole bool) {
	var roots []string
	for k := range b.image().keys(bucketConflicts, []byte(c.done), nil) {
		if root := string(k); root > c.done {
			roots = append(roots, root)
		}
		if len(roots) == policyPiece {
			break
		}
	}
	for _, root := range roots {
		rec, err := decodeRecord(b.tx.Bucket(bucketObjects).Get([]byte(root)))
		if err != nil {
			b.fail(&CorruptError{What: "object " + root, Err: err})
			return false
		}
		before, after := rec.see(root, c.from), rec.see(root, c.to)
		b.reindex(before, after)
		b.tellConflicts(before, after, branch.Dot{})
		c.done = root
	}
	return len(roots) < policyPiece
}
