package bench

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/stomp"
)

// pace is the pause between two writes of M10: a node that is used, not loaded.
const pace = 10 * time.Millisecond

// measureDelay is M10.
func measureDelay(w *world) error {
	commit, err := w.commitTime()
	if err != nil {
		return err
	}
	trip, err := w.roundTrip()
	if err != nil {
		return err
	}
	delays, err := w.delays(w.size(400))
	if err != nil {
		return err
	}
	p50, p99 := Quantile(delays, 0.5), Quantile(delays, 0.99)
	w.note("bbolt commit, p50", "ms", commit)
	w.note("broker round trip, p50", "ms", trip)
	w.note("visible on B after the acknowledgement on A, p50", "ms", p50)
	w.note("visible on B after the acknowledgement on A, p99", "ms", p99)
	w.figures.Add("M10", p99/(2*commit+trip))
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// commitTime is how long bbolt takes for one object.
func (w *world) commitTime() (float64, error) {
	dir, free, err := w.fresh("commit")
	if err != nil {
		return 0, err
	}
	defer free()
	db, err := bolt.Open(filepath.Join(dir, "bare.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return 0, err
	}
	body := documents(1, changeBytes)[0]
	times := make([]float64, 200)
	for i := range times {
		start := time.Now()
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bareObjects)
			if err != nil {
				return err
			}
			return b.Put([]byte(newID()), body)
		})
		if err != nil {
			return 0, errors.Join(err, db.Close())
		}
		times[i] = milliseconds(time.Since(start))
		time.Sleep(pace / 5) // the load of M10 pauses too
	}
	return Quantile(times, 0.5), db.Close()
}

// roundTrip is how long a persistent message takes through the broker to a
// durable subscriber in this process. Each way has its connection, as a node's
// has: on one, the receipt would hold up the message behind it (Nagle).
func (w *world) roundTrip() (float64, error) {
	channel := newChannel()
	sender, err := stomp.Dial(w.ctx, w.mq().Addr(), stomp.Options{ClientID: "trip-send-" + channel})
	if err != nil {
		return 0, err
	}
	defer sender.Close()
	c, err := stomp.Dial(w.ctx, w.mq().Addr(), stomp.Options{ClientID: "trip-" + channel})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	sub, err := c.Subscribe(w.ctx, stomp.SubscribeOptions{
		Destination: "/topic/" + channel, DurableName: "trip-" + channel, Ack: stomp.AckClientIndividual, Prefetch: window,
	})
	if err != nil {
		return 0, err
	}
	body := documents(1, changeBytes)[0]
	times := make([]float64, 200)
	for i := range times {
		start := time.Now()
		if _, err := sender.SendAsync(w.ctx, stomp.Outgoing{Destination: "/topic/" + channel, Body: body}); err != nil {
			return 0, err
		}
		m, open := <-sub.C()
		if !open {
			return 0, c.Err()
		}
		times[i] = milliseconds(time.Since(start))
		if err := m.Ack(w.ctx); err != nil {
			return 0, err
		}
		time.Sleep(pace / 5)
	}
	return Quantile(times, 0.5), nil
}

// delays returns, for n writes, how long after the acknowledgement on A each was
// visible on B, in milliseconds.
func (w *world) delays(n int) (out []float64, err error) {
	dir, free, err := w.fresh("delay")
	if err != nil {
		return nil, err
	}
	defer free()
	from, err := w.openStore(dir+"/a", "0A")
	if err != nil {
		return nil, err
	}
	into, err := w.openStore(dir+"/b", "0B")
	if err != nil {
		return nil, errors.Join(err, from.Close())
	}
	channel, o := newChannel(), replication.Options{DiscoveryWindow: 300 * time.Millisecond}
	a, err := w.replicate(from, channel, o)
	if err != nil {
		return nil, errors.Join(err, from.Close(), into.Close())
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	b, err := w.replicate(into, channel, o)
	if err != nil {
		return nil, errors.Join(err, into.Close())
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := errors.Join(a.caughtUp(w.ctx), b.caughtUp(w.ctx)); err != nil {
		return nil, err
	}
	bodies := documents(64, changeBytes)
	for i := range n {
		c, err := w.write(from, bodies[i%len(bodies)])
		if err != nil {
			return nil, fmt.Errorf("writing: %w", err)
		}
		acknowledged := time.Now()
		if err := reach(w.ctx, into, c.Dot); err != nil {
			return nil, err
		}
		out = append(out, milliseconds(time.Since(acknowledged)))
		time.Sleep(pace)
	}
	return out, nil
}
