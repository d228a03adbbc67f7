package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// state is what the committer keeps in memory of the file. Only the committer
// touches it; after a failed commit it is read anew.
type state struct {
	heads    map[branch.ID]head
	bases    map[branch.ID]basis // those asked for so far
	revision branch.Revision
	shared   bool // others hold the revision: it must not change in place
	clock    changeset.Clock
	pos      uint64
	// trimmed is the last position that has left the log, floor what has left it
	// of each branch, linkStart the cursor of a link that is new.
	trimmed   uint64
	floor     branch.Revision
	linkStart uint64
	digest    Digest
	// objects and conflicts are the counts of Stats.
	objects, conflicts int64
	cursors            map[string]uint64
	bootstrapped       bool
	pending            *pendingSet
	forks              map[branch.ID]Fork // not changed in place
	policy             ConflictPolicy     // as in the file: what the indexes are made by
	tail               *tail
	merge              merge
	declared           []declaredIndex // not changed in place
}

// published is what others may know of the state: that of the last commit.
type published struct {
	db                 *bolt.DB // of which txid is a transaction
	txid               int
	revision           branch.Revision
	digest             Digest
	pos                uint64
	trimmed, linkStart uint64
	floor              branch.Revision
	objects, conflicts int64
	cursors            map[string]uint64
	bootstrapped       bool
	pending            *pendingSet
	forks              map[branch.ID]Fork
	declared           []declaredIndex
}

// share returns the revision for others to keep.
func (st *state) share() branch.Revision {
	st.shared = true
	return st.revision
}

// raise makes the revision cover one more changeset. A Revision is copied at
// every change; here that would cost a node among a thousand more than the
// change itself, so it is changed in place while nobody else holds it.
func (st *state) raise(d branch.Dot) {
	if st.shared || st.revision.At(d.Branch) == 0 {
		st.revision, st.shared = st.revision.With(d), false
		return
	}
	at, _ := slices.BinarySearchFunc(st.revision, d.Branch, func(have branch.Dot, id branch.ID) int {
		return cmp.Compare(have.Branch, id)
	})
	st.revision[at] = d
}

func (st *state) publish(db *bolt.DB, txid int) published {
	p := published{
		db: db, txid: txid, revision: st.share(), digest: st.digest, pos: st.pos, objects: st.objects,
		conflicts: st.conflicts, bootstrapped: st.bootstrapped, pending: st.pending,
		cursors: maps.Clone(st.cursors), forks: st.forks,
		trimmed: st.trimmed, linkStart: max(st.linkStart, st.trimmed), floor: st.floor, declared: st.declared,
	}
	return p
}

// loadState reads the state from the file.
func loadState(tx *bolt.Tx) (*state, error) {
	st := &state{heads: map[branch.ID]head{}, bases: map[branch.ID]basis{}, cursors: map[string]uint64{}}
	if err := st.loadHeads(tx); err != nil {
		return nil, err
	}
	if err := st.loadMeta(tx.Bucket(bucketMeta)); err != nil {
		return nil, err
	}
	if err := st.loadLog(tx); err != nil {
		return nil, err
	}
	if mutant.On("feed-skips-on-crash") && st.pos > 0 {
		st.pos++
	}
	err := tx.Bucket(bucketCursors).ForEach(func(k, v []byte) error {
		raw, err := unseal("the cursors", k, v)
		if err == nil && len(raw) != 8 {
			err = &CorruptError{What: "the cursors", Err: fmt.Errorf("that of link %q has %d bytes", k, len(raw))}
		}
		if err != nil {
			return err
		}
		st.cursors[string(k)] = binary.BigEndian.Uint64(raw)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if st.tail, st.merge.next, err = readTail(tx); err != nil {
		return nil, err
	}
	if st.pending, err = loadPending(tx); err != nil {
		return nil, err
	}
	d, err := declarationIn(tx)
	if err != nil {
		return nil, err
	}
	st.declared = d.Indexes
	return st, st.loadForks(tx)
}

// loadLog reads where the log begins and ends.
func (st *state) loadLog(tx *bolt.Tx) (err error) {
	if st.trimmed, err = positionIn(tx, metaTrimmed); err != nil {
		return err
	}
	if st.linkStart, err = positionIn(tx, metaLinkStart); err != nil {
		return err
	}
	if _, st.floor, err = floorHeads(tx); err != nil {
		return err
	}
	st.pos = st.trimmed
	if k, _ := tx.Bucket(bucketLog).Cursor().Last(); len(k) == 8 {
		st.pos = binary.BigEndian.Uint64(k)
	}
	return nil
}

func (st *state) loadHeads(tx *bolt.Tx) error {
	return tx.Bucket(bucketHeads).ForEach(func(k, v []byte) error {
		h, err := decodeHead(v)
		if err != nil {
			return &CorruptError{What: "the heads", Err: fmt.Errorf("branch %s: %w", k, err)}
		}
		id := branch.ID(k)
		st.heads[id] = h
		st.revision = append(st.revision, branch.Dot{Branch: id, Seq: h.seq}) // keys are sorted
		st.clock = max(st.clock, h.clock)
		return nil
	})
}

func (st *state) loadMeta(meta *bolt.Bucket) error {
	st.bootstrapped = meta.Get(metaBootstrapped) != nil
	st.policy = policyOf(meta)
	if raw := meta.Get(metaDigest); raw != nil {
		if len(raw) != 8*DigestBuckets {
			return &CorruptError{What: "the digest", Err: fmt.Errorf("it has %d bytes", len(raw))}
		}
		for i := range st.digest {
			st.digest[i] = binary.BigEndian.Uint64(raw[8*i:])
		}
	}
	if raw := meta.Get(metaCounts); raw != nil {
		objects, n := binary.Uvarint(raw)
		conflicts, m := binary.Uvarint(raw[max(n, 0):])
		if n <= 0 || m <= 0 {
			return &CorruptError{What: "the counts", Err: errors.New("they are cut off")}
		}
		st.objects, st.conflicts = int64(objects), int64(conflicts)
	}
	return nil
}

func (st *state) encodeDigest() []byte {
	b := make([]byte, 0, 8*DigestBuckets)
	for _, v := range st.digest {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func (st *state) encodeCounts() []byte {
	b := binary.AppendUvarint(nil, uint64(st.objects))
	return binary.AppendUvarint(b, uint64(st.conflicts))
}
