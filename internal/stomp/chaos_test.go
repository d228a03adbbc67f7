package stomp_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
)

// publish sends numbered messages as the replication does: with a window in flight, a cursor that
// moves with the receipts in order, and everything after the cursor again after a loss. It sends
// each window on one connection, so that nothing can overtake what was lost.
func publish(ctx context.Context, s *stomp.Session, topic string, count, window int) error {
	cursor := 0
	for cursor < count {
		c, err := s.Conn(ctx)
		if err != nil {
			return err
		}
		confirmed, err := publishOn(ctx, c, topic, cursor, count, window)
		if cursor = confirmed; err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// publishOn sends from the cursor on until the connection is lost, and returns the new cursor.
func publishOn(ctx context.Context, c *stomp.Conn, topic string, cursor, count, window int) (int, error) {
	var flight []*stomp.Receipt
	for next := cursor; cursor < count; {
		if next < count && len(flight) < window {
			r, err := c.SendAsync(ctx, stomp.Outgoing{
				Destination: topic, Body: fmt.Append(nil, next), Header: frame.Header{{Key: "clientid", Value: "publisher"}},
			})
			if err != nil {
				return cursor, err
			}
			flight, next = append(flight, r), next+1
			continue
		}
		if err := flight[0].Wait(ctx); err != nil {
			return cursor, err
		}
		flight, cursor = flight[1:], cursor+1
	}
	return cursor, nil
}

// numbered is what a subscriber must have seen in the end, repetitions left out.
func numbered(count int) []string {
	var out []string
	for i := range count {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// replicate runs a publisher and a durable subscriber through the trouble that chaos makes until
// all messages have arrived, and checks that they came in order with none missing.
func replicate(t *testing.T, addr string, count int, chaos func(ctx context.Context)) {
	t.Helper()
	w, box := &watcher{}, &inbox{}
	o := quick(w, addr)
	o.Conn.ClientID = "subscriber"
	o.Subscriptions = durableTo("/topic/t", "subscriber", box.handle)
	consumer := open(t, o)
	_, err := consumer.Conn(bounded(t)) // the durable subscription exists
	must(t, err)
	producer := open(t, quick(w, addr))

	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	trouble, calm := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { chaos(trouble) })
	err = publish(ctx, producer, "/topic/t", count, 20)
	calm()
	helpers.Wait()
	must(t, err)
	want := numbered(count)
	eventually(t, "all messages", func() bool { return len(box.got()) >= count })
	if got := box.got(); !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), count) && got[i] == want[i] {
			i++
		}
		t.Errorf("message %d is missing or out of order: %v", i, got[i:min(len(got), i+30)])
	}
	t.Logf("%d losses, %d repetitions", w.count(in(stomp.StateLost)), box.twice)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// TestNothingIsLostOrReorderedWhateverFaultsTheBrokerHas cuts connections at random frames,
// loses receipts with them, delivers messages twice, refuses connections and goes away.
func TestNothingIsLostOrReorderedWhateverFaultsTheBrokerHas(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := embedded(t, broker.Options{})
			var mu sync.Mutex
			dice := rand.New(rand.NewPCG(seed, 0))
			roll := func(n int) bool {
				mu.Lock()
				defer mu.Unlock()
				return dice.IntN(n) == 0
			}
			replicate(t, b.Addr(), 1000, func(ctx context.Context) {
				b.SetFaults(broker.Faults{
					Received: func(string, *frame.Frame) broker.Fault { return broker.Fault{Disconnect: roll(300)} },
					Sent: func(_ string, f *frame.Frame) broker.Fault {
						return broker.Fault{
							Disconnect: roll(300),
							Duplicate:  f.Command == frame.Message && roll(20),
						}
					},
				})
				for ctx.Err() == nil {
					pause(ctx, 50*time.Millisecond)
					switch {
					case roll(3):
						b.Disconnect()
					case roll(3):
						b.Suspend()
						pause(ctx, 20*time.Millisecond)
						must(t, b.Resume())
					}
				}
				must(t, b.Resume())
				b.SetFaults(broker.Faults{})
				b.Disconnect()
			})
		})
	}
}

// TestNothingIsLostWhenActiveMQIsKilledAgainAndAgain does the same to a real broker.
func TestNothingIsLostWhenActiveMQIsKilledAgainAndAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some ten seconds")
	}
	b := activemqtest.Start(t, activemqtest.Options{})
	replicate(t, b.Addr(), 3000, func(ctx context.Context) {
		for range 3 {
			pause(ctx, 700*time.Millisecond)
			b.Kill()
			must(t, b.Start())
		}
	})
}
