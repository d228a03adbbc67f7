package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"vesperdb.io/vesper/internal/branch"
)

// FileName is the name of the store's file in its directory.
const FileName = "vesper.db"

const (
	defaultLockTimeout  = 5 * time.Second
	defaultPendingLimit = 1 << 16
	defaultPendingBytes = 256 << 20
	// mapBytes is the address space reserved for the file. As long as the file
	// is smaller, a long read cannot hold up a write that makes it grow. It is
	// mapTimes the size of a file that is larger.
	mapBytes = 1 << 30
	mapTimes = 4
	// checkTime bounds the check of a file that was not closed.
	checkTime = 5 * time.Second
)

// Store is an open store. It is safe for use by many goroutines.
type Store struct {
	opts        Options
	path        string
	incarnation string
	file        *file    // changed by the committer, under mu
	st          *state   // the committer's
	journal     *journal // the committer's: nil unless the file is being copied
	retired     []*file  // the committer's: files that readers may still use
	unnamed     bool     // the committer's: the directory may not name the file yet
	stale       bool     // the committer's: st is not what the file says
	tails       tails
	tailLimit   int // how long the tail becomes before it is merged

	queue             chan *request
	exclusive         chan func()   // to be run by the committer between two batches
	rebuilding        chan struct{} // holds one element while a new file is made
	stopping, stopped chan struct{}
	life              context.Context // ends when the store is closed
	die               context.CancelFunc
	building          sync.WaitGroup // who builds declared indexes
	closing           sync.Once
	closeErr          error

	commits, writes atomic.Uint64
	// unsure is set while the file shows a commit that may not be on disk.
	unsure atomic.Bool
	// copied is set while the file is a copy that nobody has accepted.
	copied atomic.Bool
	// draining is how far the refusal of all writes has come, see Drain.
	draining atomic.Int32
	drainMu  sync.Mutex // one change of it at a time

	counted counted
	mu      sync.Mutex
	pub     published
	changed chan struct{}
	refused string
	lease   time.Time
	limit   writeLimit
}

// Open opens the store in a directory, or makes a new one. It refuses a file of
// another branch (*BranchError), one that is no store or of a newer program
// (*FormatError), and one that another process holds. After an unclean stop it
// checks the file for a bounded time (*CorruptError).
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	path := filepath.Join(opts.Dir, FileName)
	s := &Store{
		opts: opts, path: path, queue: make(chan *request, queueLength),
		exclusive: make(chan func()), rebuilding: make(chan struct{}, 1),
		stopping: make(chan struct{}), stopped: make(chan struct{}), changed: make(chan struct{}),
		tailLimit: opts.Hooks.tailLimit(),
	}
	if err := shield(func() error { return s.open(ctx) }); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s.life, s.die = context.WithCancel(context.Background())
	go s.run()
	s.buildIndexes()
	return s, nil
}

// complete fills in defaults.
func (o *Options) complete() error {
	if _, err := branch.ParseID(string(o.Branch)); err != nil {
		return err
	}
	if o.Dir == "" {
		return errors.New("no directory is given")
	}
	if err := o.ConflictPolicy.check(); err != nil {
		return err
	}
	if err := checkIndexes(o.Indexes); err != nil {
		return err
	}
	if o.ConflictPolicy == "" {
		o.ConflictPolicy = PolicyLatest
	}
	if o.VolumeIdentity == nil {
		o.VolumeIdentity = Inode
	}
	if o.Trunk == "" {
		o.Trunk = o.Branch
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.PendingLimit == 0 {
		o.PendingLimit = defaultPendingLimit
	}
	if o.PendingBytes == 0 {
		o.PendingBytes = defaultPendingBytes
	}
	return nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.opts.Dir, 0o750); err != nil {
		return err
	}
	if err := s.readDraining(); err != nil {
		return err
	}
	if s.file, err = openFile(s.path, s.opts); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.file.retire()
			err = errors.Join(err, s.file.wait())
		}
	}()
	if err := s.lookAtPages(ctx); err != nil {
		return err
	}
	unclean, err := s.prepare()
	if err != nil {
		return err
	}
	if err := errors.Join(removeLeftovers(s.opts.Dir), s.opts.syncDir()); err != nil {
		return err
	}
	if unclean {
		if err := s.checkAfterUncleanStop(ctx); err != nil {
			return err
		}
	}
	if err := s.declare(); err != nil {
		return err
	}
	if _, err = s.reload(); err != nil {
		return err
	}
	return s.followPolicy(ctx)
}

// openFile opens the file and takes its lock. While it waits for that, the one
// who holds it may give the name to another file: then it is that one's turn.
func openFile(path string, opts Options) (*file, error) {
	deadline := time.Now().Add(opts.LockTimeout)
	for {
		f, opened, err := openOnce(path, opts, max(time.Until(deadline), time.Millisecond))
		if err != nil || named(opened, path) {
			return f, err
		}
		if err := f.db.Close(); err != nil {
			return nil, err
		}
	}
}

// named reports whether a path still leads to a file.
func named(f *os.File, path string) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(own, now)
}

func openOnce(path string, opts Options, timeout time.Duration) (_ *file, opened *os.File, err error) {
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	db, err := bolt.Open(path, 0o640, &bolt.Options{
		Timeout:         timeout,
		NoSync:          opts.NoSync,
		NoGrowSync:      opts.NoSync,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: int(max(mapBytes, mapTimes*size)),
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			opened, err = os.OpenFile(name, flag, mode)
			return opened, err
		},
	})
	f, err := opening(db, err, path, opts)
	return f, opened, err
}

// opening explains why a file cannot be opened.
func opening(db *bolt.DB, err error, path string, opts Options) (*file, error) {
	switch {
	case err == nil:
		return newFile(db, opts.Hooks), nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another process: stop it, or give this node a directory of its own (waited %s)", path, opts.LockTimeout)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, &FormatError{Path: path, Detail: fmt.Sprintf("this is not a Vesper store, or it is damaged at its very beginning (%v): "+
			"restore it, or move it away and let the node fetch its data from its peers under a new branch id", err)}
	}
	return nil, err
}

// syncDir makes the directory entry of a new file safe: without it, a power cut
// could take the whole file away.
func (o *Options) syncDir() error {
	if o.NoSync {
		return nil
	}
	d, err := os.Open(o.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// prepare makes a new file or checks that an old one is ours, and marks it open.
func (s *Store) prepare() (unclean bool, err error) {
	err = s.file.update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			if err := s.create(tx); err != nil {
				return err
			}
			return s.recognize(tx.Bucket(bucketMeta))
		}
		if err := s.identify(meta); err != nil {
			return err
		}
		unclean = meta.Get(metaOpen) != nil
		return errors.Join(s.upgrade(tx), s.recognize(meta), meta.Put(metaOpen, []byte{1}))
	})
	return unclean, err
}

func (s *Store) create(tx *bolt.Tx) error {
	if k, _ := tx.Cursor().First(); k != nil {
		return &FormatError{Path: s.path, Detail: "this is a bbolt file of another program: choose another directory"}
	}
	for _, name := range allBuckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("creating %s: %w", s.path, err)
		}
	}
	s.incarnation = newIncarnation()
	meta := tx.Bucket(bucketMeta)
	return errors.Join(
		meta.Put(metaFormat, binary.AppendUvarint(nil, formatVersion)),
		meta.Put(metaBranch, []byte(s.opts.Branch)),
		meta.Put(metaIncarnation, []byte(s.incarnation)),
		meta.Put(metaOpen, []byte{1}))
}

// broughtBy are the buckets that a later format than the first brought.
var broughtBy = map[uint64][][]byte{
	2: {bucketConflictLog, bucketFloor, bucketPast, bucketClocks, bucketForks, bucketEvidence},
	3: {bucketTail},
}

// upgrade makes of a file of an older format one of this. A file has all the
// buckets of its format: one that is missing had a damaged name.
func (s *Store) upgrade(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	version, _ := binary.Uvarint(meta.Get(metaFormat))
	for v := version + 1; v <= formatVersion; v++ {
		for _, name := range broughtBy[v] {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("upgrading %s: %w", s.path, err)
			}
		}
	}
	if err := createOrdered(tx); err != nil {
		return err
	}
	for _, name := range allBuckets {
		if tx.Bucket(name) == nil {
			return &CorruptError{What: "the file", Err: fmt.Errorf("it has no %s", name)}
		}
	}
	if version == formatVersion {
		return nil
	}
	s.opts.Logger.Info("Upgraded the store's format", "path", s.path, "from", version, "to", formatVersion)
	if version < 2 {
		if err := sealCursors(tx); err != nil {
			return err
		}
	}
	return meta.Put(metaFormat, binary.AppendUvarint(nil, formatVersion))
}

// sealCursors gives the cursors of a file of format 1 their hashes.
func sealCursors(tx *bolt.Tx) error {
	cursors := map[string][]byte{}
	for k, v := range pairsOf(tx.Bucket(bucketCursors)) {
		cursors[string(k)] = seal(k, v)
	}
	for link, sealed := range cursors {
		if err := tx.Bucket(bucketCursors).Put([]byte(link), sealed); err != nil {
			return err
		}
	}
	return nil
}

// identify refuses a file that is not this node's.
func (s *Store) identify(meta *bolt.Bucket) error {
	version, n := binary.Uvarint(meta.Get(metaFormat))
	if n <= 0 {
		return &FormatError{Path: s.path, Detail: "it names no format version: restore it from a backup"}
	}
	if version > formatVersion {
		return &FormatError{Path: s.path, Detail: fmt.Sprintf("its format version is %d and this program knows up to %d: "+
			"run the newer program that wrote it", version, formatVersion)}
	}
	if file := branch.ID(meta.Get(metaBranch)); file != s.opts.Branch {
		return &BranchError{Path: s.path, File: file, Want: s.opts.Branch}
	}
	s.incarnation = string(meta.Get(metaIncarnation))
	return nil
}

// Close waits for the batch in progress, fails what still waits with a
// *ClosedError and closes the file. It waits for running Views. Calling it again
// does nothing and returns the same.
func (s *Store) Close() error {
	return s.end(true)
}
