package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// InstallError says why a snapshot cannot take the place of the store's content.
type InstallError struct{ Reason string }

// Error gives the reason.
func (e *InstallError) Error() string { return "the snapshot is not installed: " + e.Reason }

func refuseInstall(format string, args ...any) error {
	return &InstallError{Reason: fmt.Sprintf(format, args...)}
}

// InstallSnapshot replaces the content of the store by that of a snapshot in a
// file, and applies again everything that the store has and the snapshot lacks:
// nothing that was applied or acknowledged is lost. What waits for others goes on
// waiting, what no link had published goes out again. The store becomes another
// incarnation; positions of its feed begin anew (see Feed). Reads and writes go
// on meanwhile. The errors are those of ReadSnapshotInfo, *InstallError for a
// snapshot that would lose something or brings nothing new, *ForkError for one
// that holds another changeset under a name that this store has too, and
// *StorageError; after each of them the store is as it was.
func (s *Store) InstallSnapshot(ctx context.Context, path string) (SnapshotInfo, error) {
	var info SnapshotInfo
	err := s.rebuild(ctx, func(ctx context.Context) (err error) {
		info, err = s.install(ctx, path)
		return err
	})
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("installing the snapshot %s: %w", path, err)
	}
	s.opts.Logger.Info("Installed a snapshot", "path", s.path, "snapshot", info.Revision, "revision", s.Revision(), "incarnation", s.Incarnation())
	return info, nil
}

// installation is a snapshot on its way into the store.
type installation struct {
	s    *Store
	next *nextFile
	// made is the new file as a store, which nobody else knows yet.
	made *Store
	info SnapshotInfo
	// start and end are the positions between which the log of the snapshot lies.
	start, end uint64
	// again is up to which position the old feed has been applied again.
	again       uint64
	incarnation string
}

func (s *Store) install(ctx context.Context, path string) (SnapshotInfo, error) {
	in := &installation{s: s, next: &nextFile{path: s.pathOf(installName)}, incarnation: newIncarnation()}
	defer func() {
		if in.next.path != "" {
			in.next.drop()
		}
	}()
	if err := in.plant(ctx, path); err != nil {
		return in.info, s.rebuildError("building the new file", err)
	}
	if err := in.open(ctx); err != nil {
		return in.info, s.rebuildError("opening the new file", err)
	}
	if err := s.snapshot(ctx, in.compareChains); err != nil {
		return in.info, err
	}
	if err := in.catchUp(ctx); err != nil {
		return in.info, err
	}
	if !s.opts.NoSync {
		if err := in.next.db.Sync(); err != nil { // so that little is left to sync when writers wait
			return in.info, s.rebuildError("syncing the new file", err)
		}
	}
	err := s.exclusively(ctx, func() error { return in.finish() })
	if err != nil {
		return in.info, s.rebuildError("taking the new file", err)
	}
	s.buildIndexes()
	return in.info, nil
}

// plant makes the new file of the snapshot.
func (in *installation) plant(ctx context.Context, path string) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := in.worthIt(src); err != nil {
		return err
	}
	f, err := createLocked(in.next.path)
	if err != nil {
		return err
	}
	in.start = nextEpoch(in.s.published().pos, in.s.opts.Now())
	meta := func(SnapshotInfo) map[string][]byte {
		return map[string][]byte{string(metaBranch): []byte(in.s.opts.Branch), string(metaIncarnation): []byte(in.incarnation)}
	}
	header, info, err := plantSnapshot(ctx, f, bufio.NewReaderSize(src, 1<<20), in.start, meta)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	in.info, in.end = info, in.start+header.Last-header.Trimmed
	return nil
}

// worthIt looks at the header before anything is done, and returns to the
// beginning of the file.
func (in *installation) worthIt(src *os.File) error {
	frames, err := newFrameReader(src)
	if err != nil {
		return err
	}
	_, info, err := readHeader(frames)
	if err != nil {
		return err
	}
	if err := in.s.mayInstall(info); err != nil {
		return err
	}
	_, err = src.Seek(0, io.SeekStart)
	return err
}

// mayInstall refuses a snapshot that brings nothing, or lacks what the store
// could not apply again because it has left the log.
func (s *Store) mayInstall(info SnapshotInfo) error {
	p := s.published()
	if p.revision.CoversAll(info.Revision) {
		return refuseInstall("it is at %s and brings nothing that this store, at %s, lacks", info.Revision, p.revision)
	}
	for _, d := range p.revision {
		if have := info.Revision.At(d.Branch); have < d.Seq && have < p.floor.At(d.Branch) {
			return refuseInstall("it has the changesets of branch %s up to %d only; this store has applied up to %d and keeps those after %d: "+
				"take a snapshot of a node that has more", d.Branch, have, d.Seq, p.floor.At(d.Branch))
		}
	}
	return nil
}

// open opens the new file as a store of its own, whose committer is this
// goroutine.
func (in *installation) open(ctx context.Context) error {
	opened, err := in.s.openNext(in.next.path)
	if err != nil {
		return err
	}
	*in.next = *opened
	opts := in.s.opts
	opts.Hooks, opts.NoSync = nil, true
	opts.Indexes = in.s.declared() // to be built when the file has its place
	in.made = &Store{
		opts: opts, path: in.next.path, file: newFile(in.next.db, nil), changed: make(chan struct{}), stopping: make(chan struct{}),
		tailLimit: in.s.tailLimit,
	}
	if err := in.made.declare(); err != nil {
		return err
	}
	if _, err := in.made.reload(); err != nil {
		return err
	}
	return in.made.followPolicy(ctx)
}

// compareChains refuses a snapshot that holds another changeset under a name that
// this store has too, as far as both know the hashes.
func (in *installation) compareChains(tx *bolt.Tx) error {
	return in.next.db.View(func(made *bolt.Tx) error {
		for _, d := range in.s.published().revision {
			d.Seq = min(d.Seq, in.info.Revision.At(d.Branch))
			have, known, err := hashOf(tx, d)
			if err != nil {
				return err
			}
			got, knows, err := hashOf(made, d)
			if err != nil {
				return err
			}
			if known && knows && have != got {
				return &ForkError{Dot: d, Have: have, Got: got}
			}
		}
		return nil
	})
}

// hashOf returns the hash of an applied changeset, if it is known: of those that
// have left the log, it is for the last of each branch.
func hashOf(tx *bolt.Tx, d branch.Dot) (hash [32]byte, known bool, err error) {
	if d.Seq == 0 {
		return hash, false, nil
	}
	e, found, err := entryOf(tx, d)
	if err != nil || found {
		return e.Hash, found, err
	}
	heads, _, err := floorHeads(tx)
	if h, ok := heads[d.Branch]; ok && h.seq == d.Seq {
		return h.hash, true, err
	}
	return hash, false, err
}

// catchUp applies what the store has and the snapshot lacks, until it has come
// to the end of the store's feed.
func (in *installation) catchUp(ctx context.Context) error {
	in.again = in.s.published().trimmed
	for in.again < in.s.published().pos {
		entries, err := in.s.Feed(ctx, in.again, applyBytes)
		if err != nil {
			return err
		}
		if err := in.apply(entries); err != nil {
			return err
		}
	}
	return nil
}

// apply applies changesets of the old feed to the new file. Whatever of them does
// not become part of it would be lost.
func (in *installation) apply(entries []FeedEntry) error {
	var missing []changeset.Envelope
	for _, e := range entries {
		in.again = e.Pos
		if !in.made.st.revision.Covers(e.Dot) && !mutant.On("snapshot-forgets-unsent") {
			missing = append(missing, e.Envelope)
		}
	}
	done, err := in.receive(missing)
	if err != nil {
		return err
	}
	if done.Applied < len(missing) {
		return refuseInstall("of %d changesets of this store that it lacks, %d can be applied to it: %+v", len(missing), done.Applied, done)
	}
	return nil
}

// receive has the new file take changesets, as Apply does.
func (in *installation) receive(list []changeset.Envelope) (done Applied, err error) {
	for len(list) > 0 {
		piece := applyPiece(list)
		list = list[len(piece):]
		arrivals, rejected := decodeAll(piece)
		done.Rejected = append(done.Rejected, rejected...)
		var now Applied
		if err := in.perform(func(b *batch) error {
			now = Applied{}
			b.receive(arrivals, &now, in.s.opts)
			return nil
		}); err != nil {
			return done, err
		}
		done.add(now)
	}
	return done, nil
}

// perform runs one batch on the new file.
func (in *installation) perform(do func(*batch) error) error {
	r := &request{do: do, done: make(chan struct{})}
	in.made.commitGroup([]*request{r})
	return r.err
}

// finish applies what came last, brings over what is the store's own, and takes
// the new file. The committer runs it.
func (in *installation) finish() error {
	s := in.s
	if s.stale {
		return errors.New("the state of the store is not known at the moment")
	}
	if s.st.pos >= in.start {
		return refuseInstall("too much was written meanwhile: install it again")
	}
	err := s.file.db.View(func(tx *bolt.Tx) error {
		if err := in.rest(tx); err != nil {
			return err
		}
		if err := in.keep(tx); err != nil {
			return err
		}
		if _, err := in.made.reload(); err != nil {
			return err
		}
		return in.keepPending(tx)
	})
	if err != nil {
		return err
	}
	if err := in.complete(); err != nil {
		return err
	}
	return s.takeOver(in.next, func(txid int) {
		s.incarnation = in.incarnation
		s.unsure.Store(false) // all of it has been synced
		s.st = in.made.st
		s.pub = s.st.publish(in.next.db, txid)
		s.wakeLocked()
	})
}

// rest applies the end of the old feed.
func (in *installation) rest(tx *bolt.Tx) error {
	var entries []FeedEntry
	for pos := in.again + 1; pos <= in.s.st.pos; pos++ {
		e, err := logAt(tx, pos)
		if err != nil {
			return err
		}
		e.Body = slices.Clone(e.Body)
		entries = append(entries, FeedEntry{Pos: pos, Envelope: e.Envelope})
	}
	return in.apply(entries)
}

// contentMeta are the meta data that describe the content, of which the new file
// has its own.
var contentMeta = [][]byte{
	metaFormat, metaIncarnation, metaDigest, metaCounts, metaPolicy, metaPolicyChange, metaTrimmed, metaLinkStart, metaOrdered,
}

// keep brings over what is the store's own and says nothing of its content.
func (in *installation) keep(tx *bolt.Tx) error {
	cursors, linkStart, err := in.cursors(tx)
	if err != nil {
		return err
	}
	return in.perform(func(b *batch) error {
		for k, v := range pairsOf(tx.Bucket(bucketMeta)) {
			if !slices.ContainsFunc(contentMeta, func(name []byte) bool { return string(name) == string(k) }) {
				b.put(bucketMeta, k, v)
			}
		}
		for _, name := range [][]byte{bucketForks, bucketEvidence} {
			for k, v := range pairsOf(tx.Bucket(name)) {
				b.put(name, k, v)
			}
		}
		for _, link := range slices.Sorted(maps.Keys(cursors)) {
			b.put(bucketCursors, []byte(link), seal([]byte(link), positionKey(cursors[link])))
		}
		b.put(bucketMeta, metaLinkStart, seal(metaLinkStart, positionKey(linkStart)))
		return nil
	})
}

// pairsOf yields the pairs of a bucket.
func pairsOf(b *bolt.Bucket) func(func(k, v []byte) bool) {
	return func(yield func(k, v []byte) bool) {
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// cursors returns where the links go on in the new feed, and where a new one
// begins: before the first changeset that they have not published.
func (in *installation) cursors(tx *bolt.Tx) (map[string]uint64, uint64, error) {
	out := map[string]uint64{}
	var linkStart uint64
	err := in.next.db.View(func(made *bolt.Tx) (err error) {
		for link, pos := range in.s.st.cursors {
			if strings.HasPrefix(link, "!") {
				out[link] = pos
				continue
			}
			moved, err := in.unpublished(tx, made, pos)
			if err != nil {
				return err
			}
			out[link] = moved
		}
		linkStart, err = in.unpublished(tx, made, max(in.s.st.linkStart, in.s.st.trimmed))
		return err
	})
	return out, linkStart, err
}

// unpublished returns the position in the new feed before everything that lies
// beyond a position of the old one, and at most the end of the snapshot: what was
// applied again comes after that.
func (in *installation) unpublished(old, made *bolt.Tx, pos uint64) (uint64, error) {
	first := in.end
	for p := pos + 1; p <= in.s.st.pos && first > in.start; p++ {
		e, err := logAt(old, p)
		if err != nil {
			return 0, err
		}
		if at, ok := positionOf(made, e.Dot); ok {
			first = min(first, at-1)
		}
	}
	return first, nil
}

// keepPending has the new file take what waits. Some of it may be ready now.
func (in *installation) keepPending(tx *bolt.Tx) error {
	var list []changeset.Envelope
	for k, v := range pairsOf(tx.Bucket(bucketPending)) {
		env, err := decodePending(k, v)
		if err != nil {
			continue // damaged; it is fetched again, see loadPending
		}
		list = append(list, env)
	}
	_, err := in.receive(list)
	return err
}

// complete makes sure once more that nothing is missing.
func (in *installation) complete() error {
	now := in.made.st.revision
	if mutant.On("snapshot-forgets-unsent") {
		return nil
	}
	if !now.CoversAll(in.s.st.revision) || !now.CoversAll(in.info.Revision) {
		return refuseInstall("it would leave the store at %s, which does not cover %s", now, in.s.st.revision)
	}
	return nil
}

// conflictEpoch is the entry with which the feed of conflicts of new content
// begins, so that a reader of the earlier feed is told that it is gone.
func conflictEpoch(start uint64) (key, value []byte) {
	return binary.BigEndian.AppendUint64(nil, start), ConflictChange{}.encode()
}
