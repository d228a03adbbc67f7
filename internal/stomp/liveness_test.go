package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/frame"
)

// proxy forwards TCP until it is told to stop forwarding, with its connections left open: what a
// vanished peer looks like.
type proxy struct {
	l     net.Listener
	stuck atomic.Bool
	conns sync.WaitGroup
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{l: listen(t)}
	p.serve(t, target)
	return p
}

func (p *proxy) serve(t testing.TB, target string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p.conns.Go(func() {
		for {
			in, err := p.l.Accept()
			if err != nil {
				return
			}
			out, err := new(net.Dialer).DialContext(ctx, "tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
			p.conns.Go(func() { p.forward(in, out) })
			p.conns.Go(func() { p.forward(out, in) })
		}
	})
	t.Cleanup(func() { cancel(); _ = p.l.Close(); p.conns.Wait() })
}

// forward swallows what comes while the proxy is stuck; the end of one side is not passed on then.
func (p *proxy) forward(from, to net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			if !p.stuck.Load() {
				_ = to.Close()
			}
			return
		}
		if p.stuck.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return
		}
	}
}

func TestHalfOpenConnectionIsFoundByHeartBeatsInTimeAndRepaired(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		p := newProxy(t, addr)
		w, box := &watcher{}, &inbox{}
		const beat = 500 * time.Millisecond
		o := quick(w, p.l.Addr().String())
		o.Conn.ClientID, o.Conn.HeartBeat = unique(t, ""), beat
		topic := unique(t, "/topic/")
		o.Subscriptions = durableTo(topic, o.Conn.ClientID, box.handle)
		s := open(t, o)
		_, err := s.Conn(bounded(t))
		must(t, err)
		from(t, addr, topic, "before", 1)
		eventually(t, "message before", func() bool { return len(box.got()) == 1 })

		p.stuck.Store(true)
		begin := time.Now()
		eventually(t, "loss noticed", func() bool { return w.count(in(stomp.StateLost)) > 0 })
		if d := time.Since(begin); d > 2*beat+2*time.Second {
			t.Errorf("a half-open connection was noticed after %v", d)
		}
		w.mu.Lock()
		i := slices.IndexFunc(w.events, in(stomp.StateLost))
		if text := w.events[i].Err.Error(); !strings.Contains(text, "silent") {
			t.Errorf("the reason is %q", text)
		}
		w.mu.Unlock()
		p.stuck.Store(false)
		// The broker may hold the client id for a while: it saw no end of the old connection.
		_, err = s.Conn(bounded(t))
		must(t, err)
		from(t, addr, topic, "after", 1)
		eventually(t, "message after", func() bool { return slices.Equal(box.got(), []string{"before 0", "after 0"}) })
	})
}

func TestIdleConnectionLivesByHeartBeatsOfBothSides(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		const beat = 200 * time.Millisecond
		c := dial(t, addr, stomp.Options{HeartBeat: beat})
		select {
		case <-c.Done():
			t.Fatal(c.Err())
		case <-time.After(8 * beat): // nothing but heart-beats
		}
		send(t, c, unique(t, "/queue/"), "alive")
	})
}

func TestFrozenBrokerIsNoticedAndSendEndsWithItsContext(t *testing.T) {
	b := activemqtest.Start(t, activemqtest.Options{})
	w := &watcher{}
	o := quick(w, b.Addr())
	o.Conn.ConnectTimeout = 500 * time.Millisecond
	s := open(t, o)
	_, err := s.Conn(bounded(t))
	must(t, err)
	b.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := s.Send(ctx, stomp.Outgoing{Destination: "/queue/a"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 2*time.Second {
		t.Errorf("a send to a frozen broker: %v after %v", err, time.Since(begin))
	}
	eventually(t, "loss noticed", func() bool { return w.count(in(stomp.StateLost)) > 0 })
	eventually(t, "frozen broker answers no CONNECT", func() bool {
		return w.count(func(e stomp.Event) bool {
			return e.Err != nil && strings.Contains(e.Err.Error(), "no connection within")
		}) > 0
	})
	b.Thaw()
	must(t, s.Send(bounded(t), stomp.Outgoing{Destination: "/queue/a"}))
}

func TestFullBrokerBlocksAProducerOnlyUntilItsContextEnds(t *testing.T) {
	b := activemqtest.Start(t, activemqtest.Options{StoreLimit: "4 mb"})
	w, box := &watcher{}, &inbox{}
	o := quick(w, b.Addr())
	o.Conn.ClientID = "slow"
	release := make(chan struct{})
	o.Subscriptions = durableTo("/topic/t", "slow", func(ctx context.Context, m *stomp.Message) {
		select {
		case <-release:
			box.handle(ctx, m)
		case <-ctx.Done():
		}
	})
	consumer := open(t, o)
	_, err := consumer.Conn(bounded(t))
	must(t, err)

	producer := open(t, quick(w, b.Addr()))
	body := strings.Repeat("x", 200<<10)
	sent := 0
	for err == nil && sent < 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err = producer.Send(ctx, stomp.Outgoing{
			Destination: "/topic/t", Body: fmt.Append(nil, sent, body), Header: frame.Header{{Key: "clientid", Value: "other"}},
		})
		cancel()
		sent++
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("after %d sends: %v", sent, err)
	}
	// The consumer has a connection of its own, so that its acknowledgements free the store.
	close(release)
	eventually(t, "store freed", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return producer.Send(ctx, stomp.Outgoing{Destination: "/topic/other", Body: []byte("again")}) == nil
	})
}
