package faults

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// network is what happens to bytes on their way between a node and the broker.
// The zero value passes them on at once.
type network struct {
	// latency is added to every piece, and up to jitter by chance.
	latency, jitter time.Duration
	// bytesPerSecond bounds the rate of each direction of each connection; 0 does not.
	bytesPerSecond int
	// slice passes on pieces of at most this many bytes; 0 does not cut.
	slice int
	// silent swallows everything both ways and never closes: a cable that was
	// pulled. New connections are accepted, and silent too.
	silent bool
	// refuse closes new connections at once.
	refuse bool
}

// proxy stands between nodes and a broker, with real sockets on both sides.
type proxy struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu      sync.Mutex
	now     network
	changed chan struct{} // closed and replaced when now changes
	pairs   map[*pairing]bool
	closed  bool
}

// pairing is one connection through the proxy.
type pairing struct{ client, server *net.TCPConn }

// between starts a proxy before a broker; it ends with t.
func between(t *testing.T, broker string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: broker, changed: make(chan struct{}), pairs: map[*pairing]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

// set changes the network, for connections that exist too.
func (p *proxy) set(n network) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = n
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxy) state() (network, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.changed
}

func (p *proxy) serve() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		if n, _ := p.state(); n.refuse {
			_ = c.Close()
			continue
		}
		p.wg.Go(func() { p.carry(c.(*net.TCPConn)) })
	}
}

// carry connects to the broker and passes on bytes until both directions have ended.
func (p *proxy) carry(client *net.TCPConn) {
	// One that connects into silence gets no further, but its connection stands.
	if !p.pass(client) {
		_ = client.Close()
		return
	}
	s, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	pair := &pairing{client, s.(*net.TCPConn)}
	if !p.add(pair) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(pair.server, pair.client) })
	both.Go(func() { p.copy(pair.client, pair.server) })
	both.Wait()
	p.end(pair, false)
}

// pass waits while the network is silent; it reports false when the proxy has closed.
func (p *proxy) pass(c *net.TCPConn) bool {
	for {
		n, changed := p.state()
		p.mu.Lock()
		closed := p.closed
		p.mu.Unlock()
		if closed || !n.silent {
			return !closed
		}
		_ = c.SetReadDeadline(time.Time{})
		<-changed
	}
}

// copy passes on what comes, as the network of the moment does.
func (p *proxy) copy(to, from *net.TCPConn) {
	defer func() { _ = to.CloseWrite() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !p.send(to, buffer[:n]) {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if err != nil {
			return
		}
	}
}

// send writes one read's bytes. In silence they are lost, and with them the connection: what comes
// later could not be understood.
func (p *proxy) send(to *net.TCPConn, b []byte) bool {
	for len(b) > 0 {
		n, _ := p.state()
		if n.silent {
			return false
		}
		piece := b
		if n.slice > 0 {
			piece = b[:min(n.slice, len(b))]
		}
		if n.bytesPerSecond > 0 {
			piece = piece[:min(max(n.bytesPerSecond/10, 1), len(piece))]
		}
		p.delay(n, len(piece))
		if now, _ := p.state(); now.silent {
			return false
		}
		if _, err := to.Write(piece); err != nil {
			return false
		}
		b = b[len(piece):]
	}
	return true
}

// delay takes the time that the network takes; a change of the network ends it.
func (p *proxy) delay(n network, bytes int) {
	wait := n.latency
	if n.jitter > 0 {
		wait += time.Duration(rand.Int64N(int64(n.jitter)))
	}
	if n.bytesPerSecond > 0 {
		wait += time.Duration(bytes) * time.Second / time.Duration(n.bytesPerSecond)
	}
	if wait <= 0 {
		return
	}
	_, changed := p.state()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
}

func (p *proxy) add(pair *pairing) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_, _ = pair.client.Close(), pair.server.Close()
		return false
	}
	p.pairs[pair] = true
	return true
}

// end closes a connection's both sides, with RST when told to.
func (p *proxy) end(pair *pairing, reset bool) {
	p.mu.Lock()
	delete(p.pairs, pair)
	p.mu.Unlock()
	for _, c := range []*net.TCPConn{pair.client, pair.server} {
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *proxy) all() (pairs []*pairing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pairs = append(pairs, pair)
	}
	return pairs
}

// reset ends every connection with RST on both sides and returns how many there were.
func (p *proxy) reset() int {
	pairs := p.all()
	for _, pair := range pairs {
		p.end(pair, true)
	}
	return len(pairs)
}

// halfClose says to every node that the broker will send no more, while what nodes send still gets
// through; it returns how many connections there were.
func (p *proxy) halfClose() int {
	pairs := p.all()
	for _, pair := range pairs {
		_ = pair.client.CloseWrite()
	}
	return len(pairs)
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.l.Close()
	p.set(network{})
	for _, pair := range p.all() {
		p.end(pair, true)
	}
	p.wg.Wait()
}
