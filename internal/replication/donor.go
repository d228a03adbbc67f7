package replication

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication/snapshotfile"
	"vesperdb.io/vesper/internal/store"
)

const (
	// loadMemory is how long a receiver counts as being served after it asked.
	loadMemory = 30 * time.Second
	// donorRest is how long nothing is tried again after a snapshot could not be made.
	donorRest = 30 * time.Second
)

// donor makes snapshots for peers: one at a time, kept for all who fetch it and
// for as long as somebody does.
type donor struct {
	store Store
	// from is nil when the store gives no snapshots, or there is no place for them.
	from  snapshotStore
	shelf snapshotfile.Shelf
	o     Options
	// want asks run to make one.
	want chan struct{}

	mu     sync.Mutex
	offer  *offer
	making bool
	// failed is why the last one could not be made, at failedAt.
	failed   error
	failedAt time.Time
	// served is when each receiver last asked.
	served map[branch.ID]time.Time
}

// offer is a snapshot on the shelf.
type offer struct {
	file *snapshotfile.File
	info store.SnapshotInfo
	used time.Time
}

func newDonor(s Store, o Options) *donor {
	d := &donor{
		store: s, o: o, shelf: snapshotfile.Shelf{Dir: o.SnapshotDir, Disk: o.SnapshotDisk},
		want: make(chan struct{}, 1), served: map[branch.ID]time.Time{},
	}
	if from, ok := s.(snapshotStore); ok && o.SnapshotDir != "" {
		d.from = from
	}
	return d
}

// run makes what is wanted, and removes what nobody fetches, until ctx ends. It
// starts by removing what an earlier process left.
func (d *donor) run(ctx context.Context) {
	if d.from == nil {
		return
	}
	d.drop()
	defer d.drop()
	idle := time.NewTicker(max(d.o.SnapshotIdle/4, time.Second))
	defer idle.Stop()
	for {
		select {
		case <-d.want:
			d.make(ctx)
		case <-idle.C:
			d.dropIdle(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (d *donor) make(ctx context.Context) {
	d.drop()
	start := time.Now()
	var info store.SnapshotInfo
	file, err := d.shelf.Make(sizeOf(d.store), func(w io.Writer) (err error) {
		info, err = d.from.WriteSnapshot(ctx, w)
		return err
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.making, d.failed, d.failedAt = false, err, time.Now()
	if err != nil {
		if ctx.Err() == nil {
			d.o.Logger.Warn("Could not make a snapshot for a peer", slog.Any("error", err))
		}
		return
	}
	d.offer = &offer{file: file, info: info, used: time.Now()}
	d.o.Logger.Info("Made a snapshot for a peer", slog.Int64("bytes", file.Size),
		slog.Duration("took", time.Since(start)), slog.String("revision", info.Revision.String()))
}

// drop removes the snapshot, if there is one.
func (d *donor) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offer != nil {
		_ = d.offer.file.Close() // it was only read from
		d.offer = nil
	}
	if err := d.shelf.Clear(); err != nil {
		d.o.Logger.Warn("Could not remove a snapshot", slog.Any("error", err))
	}
}

func (d *donor) dropIdle(now time.Time) {
	d.mu.Lock()
	idle := d.offer != nil && now.Sub(d.offer.used) >= d.o.SnapshotIdle
	d.mu.Unlock()
	if idle {
		d.drop()
	}
}

// answer says what a request without or with the name of a snapshot gets: with
// SnapshotData, chunks can be read.
func (d *donor) answer(now time.Time, q SnapshotRequest) SnapshotChunk {
	c := SnapshotChunk{ID: q.ID, From: d.store.Branch(), At: q.At, Last: true}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.served[q.From] = now
	if q.Snapshot != (SnapshotID{}) {
		c.Verdict, c.Snapshot = SnapshotGone, q.Snapshot
		if d.offer != nil && d.offer.file.Sum == q.Snapshot {
			c.Verdict, c.Size, d.offer.used = SnapshotData, d.offer.file.Size, now
		}
		return c
	}
	if c.Verdict = d.begin(now); c.Verdict == SnapshotOffered {
		d.offer.used = now
		c.Snapshot, c.Size, c.Revision = d.offer.file.Sum, d.offer.file.Size, d.offer.info.Revision
	}
	return c
}

// begin finds a snapshot for one who has none, or has one made. The caller
// holds mu.
func (d *donor) begin(now time.Time) SnapshotVerdict {
	switch {
	case d.from == nil:
		return SnapshotRefused
	case d.making:
		return SnapshotPreparing
	case d.offer != nil && (d.fresh() || d.fetched(now)):
		return SnapshotOffered
	case d.failed != nil && now.Sub(d.failedAt) < donorRest:
		if _, full := errors.AsType[*snapshotfile.NoRoomError](d.failed); full {
			return SnapshotNoRoom
		}
		return SnapshotRefused
	}
	d.making = true
	select {
	case d.want <- struct{}{}:
	default:
	}
	return SnapshotPreparing
}

// fresh reports whether who has the snapshot needs nothing that has left the
// log, and not very much that has been written since.
func (d *donor) fresh() bool {
	has := d.offer.info.Revision
	return has.CoversAll(floorOf(d.store)) && has.Behind(d.store.Revision()) <= uint64(d.o.SnapshotLag)
}

// fetched reports whether somebody is fetching the snapshot and it still leads
// to the log: it is not taken away for being a little old.
func (d *donor) fetched(now time.Time) bool {
	return d.offer.info.Revision.CoversAll(floorOf(d.store)) && now.Sub(d.offer.used) < loadMemory
}

// chunk reads a chunk of the snapshot; nil when it is gone or has no such chunk.
func (d *donor) chunk(id SnapshotID, at uint64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offer == nil || d.offer.file.Sum != id || at >= chunksOf(d.offer.file.Size) {
		return nil
	}
	body, err := d.offer.file.Chunk(int64(at)*snapshotChunk, snapshotChunk)
	if err != nil {
		d.o.Logger.Warn("Could not read a snapshot", slog.Any("error", err))
		return nil
	}
	d.offer.used = time.Now()
	return body
}

// load is how many receivers were served lately.
func (d *donor) load(now time.Time) (n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, at := range d.served {
		if now.Sub(at) >= loadMemory {
			delete(d.served, id)
		}
	}
	return uint64(len(d.served))
}

// snapshotQueue bounds the requests for snapshots that wait.
const snapshotQueue = 64

// snapshotServer gives the peers of one link the chunks they ask for.
type snapshotServer struct {
	l        *link
	requests chan SnapshotRequest
}

func newSnapshotServer(l *link) *snapshotServer {
	return &snapshotServer{l: l, requests: make(chan SnapshotRequest, snapshotQueue)}
}

// enqueue takes a request, unless it was meant for an earlier process or too
// many wait: the receiver asks again.
func (s *snapshotServer) enqueue(q SnapshotRequest) {
	if q.Session != s.l.r.session {
		return
	}
	select {
	case s.requests <- q:
	default:
	}
}

func (s *snapshotServer) run(ctx context.Context) {
	for {
		select {
		case q := <-s.requests:
			if err := s.serve(ctx, q); err != nil && ctx.Err() == nil {
				s.l.log.Debug("Could not give a peer a snapshot", slog.String("peer", string(q.From)), slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *snapshotServer) serve(ctx context.Context, q SnapshotRequest) error {
	first := s.l.r.donor.answer(time.Now(), q)
	flow := newFlow(s.l, q.From)
	if first.Verdict != SnapshotData {
		body, err := EncodeSnapshotChunk(first)
		if err != nil {
			return err
		}
		return errors.Join(flow.send(ctx, body), flow.finish(ctx))
	}
	end := min(q.At+uint64(q.Credits), chunksOf(first.Size))
	for at := q.At; at < end; at++ {
		c := first
		c.At, c.Last = at, at == end-1
		if c.Body = s.l.r.donor.chunk(q.Snapshot, at); c.Body == nil {
			c.Verdict, c.Last = SnapshotGone, true
		}
		body, err := EncodeSnapshotChunk(c)
		if err != nil {
			return err
		}
		if err := flow.send(ctx, body); err != nil {
			return err
		}
		if c.Last {
			break
		}
		s.l.metrics.snapshotBytes.WithLabelValues(s.l.cfg.Name, "sent").Add(float64(len(c.Body)))
	}
	return flow.finish(ctx)
}
