package replication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication/snapshotfile"
)

const (
	// fetchAhead is how many chunks are asked for beyond those that have come.
	fetchAhead = 32
	// fetchQueue bounds the chunks that wait to be written; more are dropped and
	// asked for again.
	fetchQueue = 2 * fetchAhead
	// fetchMisses is how many times in a row a donor may let a request time out.
	fetchMisses = 3
	// preparingPause is how long a donor that is making a snapshot is left alone.
	preparingPause = time.Second
	// fetchRest is the pause after an attempt that came to nothing.
	fetchRest = 5 * time.Second
)

// fetcher brings this node a snapshot when no log has what it lacks any more,
// or when that is so much that a snapshot is cheaper.
type fetcher struct {
	l      *link
	kick   chan struct{}
	chunks chan *SnapshotChunk
	lastID uint64

	mu sync.Mutex
	// need is what a snapshot must bring; nil when none is needed.
	need []Range
	// from, got and size tell how far the fetching is; err why the last attempt
	// came to nothing.
	from      branch.ID
	got, size int64
	err       error
}

func newFetcher(l *link) *fetcher {
	return &fetcher{
		l: l, kick: make(chan struct{}, 1), chunks: make(chan *SnapshotChunk, fetchQueue), lastID: l.chance.uint64() >> 1,
	}
}

// require says what a snapshot is needed for, or, with nil, that none is.
func (f *fetcher) require(need []Range) {
	f.mu.Lock()
	f.need = need
	f.mu.Unlock()
	if need == nil {
		return
	}
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (f *fetcher) needed() []Range {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.need
}

// busy reports whether a snapshot is being fetched or installed.
func (f *fetcher) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.from != ""
}

// failed reports whether the last attempt came to nothing.
func (f *fetcher) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// progress describes what is going on; "" when nothing is.
func (f *fetcher) progress() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.need == nil && f.from == "":
		return ""
	case f.from != "" && f.size > 0 && f.got == f.size:
		return fmt.Sprintf("installing the snapshot of %s (%d MiB)", f.from, f.size>>20)
	case f.from != "" && f.size > 0:
		return fmt.Sprintf("fetching a snapshot from %s: %d of %d MiB", f.from, f.got>>20, f.size>>20)
	case f.from != "":
		return fmt.Sprintf("waiting for %s to make a snapshot", f.from)
	case f.err != nil:
		return "a snapshot is needed and could not be had: " + f.err.Error()
	}
	return "a snapshot is needed: no peer has what is missing in its log any more"
}

func (f *fetcher) tell(from branch.ID, got, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from, f.got, f.size = from, got, size
}

// deliver takes a chunk; one that nobody waits for is dropped.
func (f *fetcher) deliver(c *SnapshotChunk) {
	if !f.busy() {
		return
	}
	select {
	case f.chunks <- c:
	default:
	}
}

// run fetches what is needed while the link is up, until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	if f.l.r.installer == nil {
		return
	}
	for {
		up, cancel, err := f.l.waitUp(ctx)
		if err != nil {
			return
		}
		f.watch(ctx, up)
		cancel()
	}
}

// watch fetches a snapshot whenever one is needed. What was fetched is installed
// even if the link is lost meanwhile.
func (f *fetcher) watch(ctx, up context.Context) {
	for {
		select {
		case <-f.kick:
		case <-up.Done():
			return
		}
		if f.needed() == nil {
			continue
		}
		err := f.l.r.installer.once(up, func() error { return f.fetch(ctx, up) })
		if up.Err() != nil {
			return
		}
		f.mu.Lock()
		if f.err = err; err == nil {
			f.need = nil // until the next look says otherwise
		}
		f.mu.Unlock()
		f.l.repairer.wake()
		if err != nil {
			f.l.metrics.snapshots.WithLabelValues(f.l.cfg.Name, "failed").Inc()
			f.l.log.Warn("Could not get a snapshot, trying again", slog.Any("error", err))
			sleep(up, fetchRest)
		}
	}
}

// fetch gets one snapshot from whoever has one, and installs it.
func (f *fetcher) fetch(ctx, up context.Context) error {
	defer f.tell("", 0, 0)
	in, err := snapshotfile.Resume(f.l.o.SnapshotDir)
	if err != nil {
		return err
	}
	p := f.donor(in)
	if p == nil {
		if in != nil {
			_ = in.Close() // the donor may come back
		}
		return errors.New("no living peer can give one")
	}
	f.tell(p.Branch, 0, 0)
	f.drain()
	c := &conversation{f: f, peer: p.Branch, session: p.Session, in: in}
	err = c.run(up)
	if err == nil {
		err = f.install(ctx, c)
	}
	if c.in != nil {
		_ = c.in.Close() // durable where it matters: Finish has synced it
	}
	if err == nil {
		return snapshotfile.Discard(f.l.o.SnapshotDir)
	}
	if up.Err() == nil && !c.local {
		f.avoid(p.Branch)
	}
	return fmt.Errorf("getting a snapshot from %s: %w", p.Branch, err)
}

// donor chooses whom to ask: the one whose snapshot is half here, as long as it
// lives, else another.
func (f *fetcher) donor(in *snapshotfile.Incoming) (out *peer) {
	need, now := f.needed(), time.Now()
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if in != nil {
		p := f.l.peers.byBranch[branch.ID(in.Donor)]
		if p != nil && p.alive(now) && !now.Before(p.noSnapshot) {
			chosen := *p
			return &chosen
		}
	}
	f.l.chance.with(func(rng *rand.Rand) {
		if p := f.l.peers.chooseDonor(now, need, rng); p != nil {
			chosen := *p
			out = &chosen
		}
	})
	return out
}

// avoid does not ask a peer for snapshots for a while.
func (f *fetcher) avoid(id branch.ID) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if p := f.l.peers.byBranch[id]; p != nil {
		p.noSnapshot = time.Now().Add(avoidance)
	}
}

// drain forgets chunks of an earlier conversation.
func (f *fetcher) drain() {
	for {
		select {
		case <-f.chunks:
		default:
			return
		}
	}
}

// install puts the snapshot that was fetched in place.
func (f *fetcher) install(ctx context.Context, c *conversation) error {
	path, err := c.in.Finish()
	if err != nil {
		return errors.Join(err, c.discard())
	}
	start := time.Now()
	info, err := f.l.r.install(ctx, path, c.revision)
	if err != nil {
		if ctx.Err() == nil { // its bytes are whole: it will not do another time either
			err = errors.Join(err, c.discard())
		}
		return fmt.Errorf("installing it: %w", err)
	}
	f.l.metrics.snapshots.WithLabelValues(f.l.cfg.Name, "installed").Inc()
	f.l.log.Info("Installed a snapshot", slog.String("peer", string(c.peer)), slog.Int64("bytes", c.in.Size),
		slog.String("revision", info.Revision.String()), slog.Duration("took", time.Since(start)))
	return nil
}

// conversation fetches one snapshot from one donor.
type conversation struct {
	f       *fetcher
	peer    branch.ID
	session string
	id      uint64
	in      *snapshotfile.Incoming
	// revision is what the donor says that the snapshot holds.
	revision branch.Revision
	// asked is the first chunk that was not asked for, misses counts the
	// requests in a row that brought nothing, hole is one more than the chunk
	// whose loss was noticed last.
	asked  uint64
	misses int
	hole   uint64
	// waiting is true while the donor has not said which snapshot there is: asking
	// again at every stray answer would make each answer a stray one, for ever.
	waiting bool
	// local is true when the trouble is this node's own, not the donor's.
	local bool
}

// run fetches until everything is there.
func (c *conversation) run(ctx context.Context) error {
	if err := c.adopt(); err != nil {
		return err
	}
	for c.in == nil || !c.in.Whole() {
		if err := c.ask(ctx); err != nil {
			return err
		}
		chunk, err := c.next(ctx)
		if err == nil && chunk != nil {
			err = c.take(ctx, chunk)
		}
		if err != nil {
			return err
		}
	}
	c.f.tell(c.peer, c.in.Size, c.in.Size)
	return nil
}

// adopt goes on with what is half here, if it is this donor's.
func (c *conversation) adopt() error {
	if c.in == nil {
		return nil
	}
	revision, err := branch.ParseRevision(c.in.Revision)
	if err != nil || c.in.Donor != string(c.peer) || c.in.ChunkBytes != snapshotChunk {
		return c.discard()
	}
	c.revision, c.asked = revision, c.in.Next()
	return nil
}

// discard forgets what was fetched: another snapshot is needed.
func (c *conversation) discard() error {
	if c.in == nil {
		return nil
	}
	err := errors.Join(c.in.Close(), snapshotfile.Discard(c.f.l.o.SnapshotDir))
	c.in, c.asked, c.hole, c.waiting = nil, 0, 0, false
	return err
}

// ask asks which snapshot there is, or for more chunks when half of those asked
// for have come.
func (c *conversation) ask(ctx context.Context) error {
	if c.in == nil && c.waiting {
		return nil
	}
	c.waiting = true
	q := SnapshotRequest{From: c.f.l.store.Branch(), Session: c.session, Credits: 1}
	if c.in != nil {
		next, total := c.in.Next(), chunksOf(c.in.Size)
		c.asked = max(c.asked, next)
		if c.asked >= total || c.asked-next > fetchAhead/2 {
			return nil
		}
		upTo := min(next+fetchAhead, total)
		q.At, q.Credits, q.Snapshot = c.asked, int(upTo-c.asked), c.name()
		c.asked = upTo
	}
	c.f.lastID++
	q.ID, c.id = c.f.lastID, c.f.lastID
	body, err := EncodeSnapshotRequest(q)
	if err != nil {
		return err
	}
	return c.f.l.publishSync(ctx, c.peer, body)
}

func (c *conversation) name() (id SnapshotID) {
	_, _ = hex.Decode(id[:], []byte(c.in.Sum)) // it was made by hex.EncodeToString, or is no snapshot's name
	return id
}

// next waits for a chunk; nil when there was none in time, and it was asked for
// again.
func (c *conversation) next(ctx context.Context) (*SnapshotChunk, error) {
	timer := time.NewTimer(c.f.l.o.RequestTimeout)
	defer timer.Stop()
	select {
	case chunk := <-c.f.chunks:
		return chunk, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
	}
	c.misses++
	if c.misses >= fetchMisses {
		return nil, fmt.Errorf("it did not answer %d times for %v", c.misses, c.f.l.o.RequestTimeout)
	}
	c.again()
	return nil, nil
}

// again asks once more for everything from the first missing chunk on.
func (c *conversation) again() {
	c.waiting = false
	if c.in != nil {
		c.asked = c.in.Next()
	}
}

// stray reports whether an answer is another's, or to a request that was
// answered already.
func (c *conversation) stray(k *SnapshotChunk) bool {
	if c.in == nil || k.From != c.peer {
		return k.From != c.peer || k.ID != c.id
	}
	return k.Snapshot != c.name() || k.Verdict == SnapshotOffered || k.Verdict == SnapshotPreparing
}

// take deals with an answer; those to other requests or of others are ignored.
func (c *conversation) take(ctx context.Context, k *SnapshotChunk) error {
	if c.stray(k) {
		return nil
	}
	c.misses, c.waiting = 0, false
	switch {
	case k.Verdict == SnapshotOffered && c.in == nil:
		return c.begin(k)
	case k.Verdict == SnapshotPreparing && c.in == nil:
		if !sleep(ctx, preparingPause) {
			return context.Cause(ctx)
		}
		return nil
	case k.Verdict == SnapshotGone:
		c.f.l.log.Info("The donor no longer has the snapshot; starting with another", slog.String("peer", string(c.peer)))
		return c.discard()
	case k.Verdict == SnapshotData && c.in != nil:
		return c.append(k)
	case k.Verdict == SnapshotNoRoom:
		return errors.New("its disk has no room to make one")
	}
	return fmt.Errorf("it answered %q", k.Verdict)
}

// begin starts a file for the snapshot that is offered, if it is of use.
func (c *conversation) begin(k *SnapshotChunk) error {
	useful := &peer{Beacon: Beacon{Revision: k.Revision}}
	if useful.covers(c.f.needed()) == 0 {
		return fmt.Errorf("its snapshot, of revision %.200s, has nothing of what is missing", k.Revision)
	}
	in, err := snapshotfile.Begin(c.f.l.o.SnapshotDir, c.f.l.o.SnapshotDisk, snapshotfile.Header{
		Sum: hex.EncodeToString(k.Snapshot[:]), Size: k.Size, ChunkBytes: snapshotChunk,
		Donor: string(c.peer), Revision: k.Revision.String(),
	})
	if err != nil {
		c.local = true
		return err
	}
	c.in, c.revision = in, k.Revision
	c.asked, c.hole = 0, 0
	c.f.tell(c.peer, 0, k.Size)
	return nil
}

func (c *conversation) append(k *SnapshotChunk) error {
	next := c.in.Next()
	switch {
	case k.At < next || c.in.Whole():
		return nil // a second time
	case k.At > next && c.hole != next+1:
		c.hole = next + 1 // once: what follows was on its way before we can be heard
		c.again()
		return nil
	case k.At > next:
		return nil
	}
	if err := c.in.Append(k.Body); err != nil {
		c.local = true
		return err
	}
	c.f.l.metrics.snapshotBytes.WithLabelValues(c.f.l.cfg.Name, "received").Add(float64(len(k.Body)))
	c.f.tell(c.peer, c.in.Bytes(), c.in.Size)
	return nil
}
