package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
)

// Broker is a running broker. All methods may be called from any goroutine.
type Broker struct {
	o      Options
	faults atomic.Pointer[Faults]
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while suspended
	addr     string
	conns    map[*conn]struct{}
	clients  map[string]*conn // by client id
	topics   map[string]map[*backlog]struct{}
	queues   map[string]*backlog
	durables map[durableKey]*durable
	memory   int64
	lastID   uint64
	stats    Stats
}

// Stats are a broker's counters and gauges at one moment.
type Stats struct {
	Connections int    // open now
	Durables    int    // durable subscriptions, active or not
	Messages    int    // kept for someone, counted once for each
	Memory      int64  // octets of kept messages
	Received    uint64 // SEND frames taken
	Delivered   uint64 // MESSAGE frames made
	Refused     uint64 // SEND frames refused for want of memory
	Expired     uint64 // messages dropped as expired
	Dropped     uint64 // messages dropped for a slow subscriber that is not durable
}

// Start listens and serves until Close.
func Start(o Options) (*Broker, error) {
	b := &Broker{o: o.withDefaults(), conns: map[*conn]struct{}{}}
	b.addr = b.o.Addr
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.SetFaults(b.o.Faults)
	b.reset()
	if err := b.Resume(); err != nil {
		b.cancel()
		return nil, err
	}
	return b, nil
}

// reset forgets all destinations, messages and subscriptions.
func (b *Broker) reset() {
	b.clients = map[string]*conn{}
	b.topics = map[string]map[*backlog]struct{}{}
	b.queues = map[string]*backlog{}
	b.durables = map[durableKey]*durable{}
	b.memory = 0
}

// Addr is the host:port that the broker listens on; it stays the same over Suspend and Resume.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addr
}

// SetFaults replaces the fault hooks.
func (b *Broker) SetFaults(f Faults) { b.faults.Store(&f) }

// Stats returns the counters of this moment.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Connections, s.Durables, s.Memory = len(b.conns), len(b.durables), b.memory
	for _, q := range b.queues {
		s.Messages += q.size()
	}
	for _, subs := range b.topics {
		for q := range subs {
			s.Messages += q.size()
		}
	}
	return s
}

// Suspend closes the listener and all connections, and keeps messages and durable subscriptions
// for Resume, as a broker with a disk does over a restart.
func (b *Broker) Suspend() {
	b.mu.Lock()
	if b.listener != nil {
		_ = b.listener.Close()
		b.listener = nil
	}
	b.mu.Unlock()
	b.Disconnect()
}

// Resume listens again on the same address. It has no effect on a broker that listens.
func (b *Broker) Resume() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return fmt.Errorf("resuming the broker on %s: %w", b.addr, net.ErrClosed)
	}
	if b.listener != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(b.ctx, "tcp", b.addr)
	if err != nil {
		return fmt.Errorf("starting the broker: %w", err)
	}
	b.listener, b.addr = l, l.Addr().String()
	b.wg.Go(func() { b.accept(l) })
	return nil
}

// Wipe closes all connections and forgets every message and every durable subscription, as a
// broker does that lost its disk. A broker that listened listens again.
func (b *Broker) Wipe() error {
	b.mu.Lock()
	listened := b.listener != nil
	b.mu.Unlock()
	b.Suspend()
	b.mu.Lock()
	b.reset()
	b.mu.Unlock()
	if !listened {
		return nil
	}
	return b.Resume()
}

// Disconnect cuts all connections and waits until they are gone; clients may come back at once.
func (b *Broker) Disconnect() {
	b.mu.Lock()
	cut := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		cut = append(cut, c)
	}
	b.mu.Unlock()
	for _, c := range cut {
		c.cut()
	}
	for _, c := range cut {
		<-c.gone
	}
}

// Close ends the broker and returns when its goroutines are gone. It may be called again.
func (b *Broker) Close() {
	b.cancel()
	b.Suspend()
	b.wg.Wait()
}

func (b *Broker) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.o.Logger.Error("Failed to accept a connection", slog.Any("error", err))
			if b.ctx.Err() != nil {
				return
			}
			Fault{Delay: acceptPause}.wait(b.ctx)
			continue
		}
		if may := b.faults.Load().Accept; may != nil && !may(nc.RemoteAddr()) {
			_ = nc.Close()
			continue
		}
		b.admit(l, nc)
	}
}

// admit starts the goroutines of a connection, unless there is no room or the broker was
// suspended meanwhile.
func (b *Broker) admit(l net.Listener, nc net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != l || len(b.conns) >= b.o.MaxConnections {
		_ = nc.Close()
		return
	}
	c := newConn(b, nc)
	b.conns[c] = struct{}{}
	b.wg.Go(c.serve)
}
