package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/stomplink"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/store"
)

const (
	changeBytes = 256
	// The sender's own window and packing.
	window, packBytes = 32, 128 << 10
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// openStore opens a store in this process.
func (w *world) openStore(dir string, id branch.ID) (*store.Store, error) {
	return store.Open(w.ctx, store.Options{Dir: dir, Branch: id, Trunk: "0A", Logger: quiet})
}

// fill writes changesets of one new object each, many at a time: large commits are quick.
func (w *world) fill(s *store.Store, n, size int) error {
	bodies := documents(256, size)
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, 1024)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				_, errs[i] = w.write(s, bodies[(int(left.Load())+i)%len(bodies)])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// write makes one changeset of one new object.
func (w *world) write(s *store.Store, body []byte) (store.Commit, error) {
	id := newID()
	doc, err := pjson.Parse(body, pjson.Options{IDs: fixedID(id)})
	if err != nil {
		return store.Commit{}, err
	}
	return s.Update(w.ctx, store.WriteOptions{}, func(tx *store.Tx) error { return tx.Replace(doc.Objects) })
}

// replica is a store with a link of its own.
type replica struct {
	*store.Store
	replicator *replication.Replicator
	stop       func() error
}

// replicate runs replication of a store over the run's broker.
func (w *world) replicate(s *store.Store, channel string, o replication.Options) (*replica, error) {
	snapshots, _, err := w.fresh("snapshots")
	if err != nil {
		return nil, err
	}
	o.SnapshotDir = snapshots
	hosts := []string{w.mq().Addr()}
	transport, err := stomplink.New(stomplink.Options{Hosts: hosts, Branch: s.Branch(), Logger: quiet})
	if err != nil {
		return nil, err
	}
	o.Logger = quiet
	r, err := replication.New(s, []replication.LinkConfig{{Name: "main", Channel: channel, Hosts: hosts, Transport: transport}}, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, s.Close())
	})
	return &replica{Store: s, replicator: r, stop: stop}, nil
}

// caughtUp waits until the replica's link is up and has found nothing to fetch.
func (r *replica) caughtUp(ctx context.Context) error {
	return until(ctx, "a replica to be caught up", func() (bool, error) {
		s := r.replicator.Status()
		return s.Ready, fmt.Errorf("it is %s: %s", s.Reason, s.Message)
	})
}

// reach waits until the store has all of a branch up to a sequence.
func reach(ctx context.Context, s *store.Store, d branch.Dot) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*patience, errors.New("it took too long"))
	defer cancel()
	for {
		changed := s.Changed()
		if s.Revision().Covers(d) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for changeset %s, the store is at %s: %w", d, s.Revision(), context.Cause(ctx))
		}
	}
}

// measureReplication is M4 and M5.
func measureReplication(w *world) error {
	n, few := w.size(30_000), w.size(3_000)
	raw, err := w.rawStream(n)
	if err != nil {
		return fmt.Errorf("raw: %w", err)
	}
	packed, err := w.stream(n, replication.Options{})
	if err != nil {
		return fmt.Errorf("packed: %w", err)
	}
	single, err := w.stream(few, replication.Options{FlushBytes: 1})
	if err != nil {
		return fmt.Errorf("one change a message: %w", err)
	}
	w.note("changes/s A→B through ActiveMQ, durable on B", "/s", packed)
	w.note("changes/s of the bare STOMP loop, nothing stored", "/s", raw)
	w.note("changes/s A→B, one a message", "/s", single)
	w.figures.Add("M4", packed/raw)
	w.figures.Add("M5", packed/single)
	return nil
}

var channels atomic.Int64

func newChannel() string { return fmt.Sprintf("BENCH_%d", channels.Add(1)) }

// stream returns how many changes a second go from a store that has them to one
// that is connected and idle, counted from the first to the last that is durable there.
func (w *world) stream(n int, o replication.Options) (rate float64, err error) {
	dir, free, err := w.fresh("stream")
	if err != nil {
		return 0, err
	}
	defer free()
	from, err := w.openStore(dir+"/a", "0A")
	if err != nil {
		return 0, err
	}
	if err := errors.Join(w.fill(from, n, changeBytes)); err != nil {
		return 0, errors.Join(err, from.Close())
	}
	into, err := w.openStore(dir+"/b", "0B")
	if err != nil {
		return 0, errors.Join(err, from.Close())
	}
	o.DiscoveryWindow = 300 * time.Millisecond
	channel := newChannel()
	b, err := w.replicate(into, channel, o)
	if err != nil {
		return 0, errors.Join(err, from.Close(), into.Close())
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.caughtUp(w.ctx); err != nil {
		return 0, errors.Join(err, from.Close())
	}
	a, err := w.replicate(from, channel, o)
	if err != nil {
		return 0, errors.Join(err, from.Close())
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	if err := reach(w.ctx, into, branch.Dot{Branch: "0A", Seq: 1}); err != nil {
		return 0, err
	}
	start, first := time.Now(), into.Revision().At("0A")
	if err := reach(w.ctx, into, branch.Dot{Branch: "0A", Seq: uint64(n)}); err != nil {
		return 0, err
	}
	return float64(uint64(n)-first) / time.Since(start).Seconds(), nil
}

// envelopes returns the changesets that stream would send.
func (w *world) envelopes(n int) (out []changeset.Envelope, err error) {
	dir, free, err := w.fresh("envelopes")
	if err != nil {
		return nil, err
	}
	defer free()
	s, err := w.openStore(dir, "0A")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := w.fill(s, n, changeBytes); err != nil {
		return nil, err
	}
	for at := uint64(0); ; {
		entries, err := s.Feed(w.ctx, at, 4<<20)
		if err != nil || len(entries) == 0 {
			return out, err
		}
		for _, e := range entries {
			out, at = append(out, e.Envelope), e.Pos
		}
	}
}

// messages cuts envelopes into packs as the sender does.
func messages(list []changeset.Envelope) (packs [][]changeset.Envelope) {
	for len(list) > 0 {
		n, size := 0, 0
		for n < len(list) && (n == 0 || size+len(list[n].Body) <= packBytes) {
			size += len(list[n].Body)
			n++
		}
		packs, list = append(packs, list[:n]), list[n:]
	}
	return packs
}

// rawStream sends the same envelopes, packed alike, from a loop that reads no
// store to one that writes none, through the same broker.
func (w *world) rawStream(n int) (float64, error) {
	list, err := w.envelopes(n)
	if err != nil {
		return 0, err
	}
	channel := newChannel()
	sender, err := stomp.Dial(w.ctx, w.mq().Addr(), stomp.Options{ClientID: "raw-send-" + channel, Window: window})
	if err != nil {
		return 0, err
	}
	defer sender.Close()
	receiver, err := stomp.Dial(w.ctx, w.mq().Addr(), stomp.Options{ClientID: "raw-" + channel})
	if err != nil {
		return 0, err
	}
	defer receiver.Close()
	sub, err := receiver.Subscribe(w.ctx, stomp.SubscribeOptions{
		Destination: "/topic/" + channel, DurableName: "raw-" + channel, Ack: stomp.AckClientIndividual,
		Selector: stomp.NotFrom("none"), Prefetch: window,
	})
	if err != nil {
		return 0, err
	}
	packs := messages(list)
	sent := make(chan error, 1)
	go func() { sent <- rawSend(w.ctx, sender, channel, packs) }()
	start := time.Time{}
	for i := range packs {
		m, open := <-sub.C()
		if !open {
			return 0, receiver.Err()
		}
		if i == 0 {
			start = time.Now()
		}
		if err := m.Ack(w.ctx); err != nil {
			return 0, err
		}
	}
	elapsed := time.Since(start)
	return float64(n-len(packs[0])) / elapsed.Seconds(), <-sent
}

func rawSend(ctx context.Context, c *stomp.Conn, channel string, packs [][]changeset.Envelope) error {
	receipts := make([]*stomp.Receipt, 0, len(packs))
	for _, p := range packs {
		body, err := changeset.Pack(p)
		if err != nil {
			return err
		}
		m := stomp.Outgoing{Destination: "/topic/" + channel, ContentType: changeset.ContentType, Body: body}
		m.Header.Add("clientid", "raw")
		r, err := c.SendAsync(ctx, m)
		if err != nil {
			return err
		}
		receipts = append(receipts, r)
	}
	for _, r := range receipts {
		if err := r.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fixed gives an object that names none the id that it was made for.
type fixed struct {
	pjson.IDSource
	id string
}

func fixedID(id string) pjson.IDSource { return fixed{pjson.Random(), id} }

// Anonymous implements pjson.IDSource.
func (f fixed) Anonymous() string { return f.id }
