package access

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// reserve is how many connections beyond the limit are served at a time, for a
	// single request each, so that a node which is full does not fail its probes.
	reserve = 32
	// reserveLife bounds a connection of the reserve, from its first byte to its last.
	reserveLife = 8 * time.Second
)

// busy is what a client gets that finds no room.
const busy = `{"type":"urn:vesper:problem:too-many-connections","title":"Too many clients are connected","status":503,` +
	`"detail":"the node has as many connections as limits.connections allows: close some, or raise it"}` + "\n"

// Limit returns a listener of which at most so many connections are open, and a
// few more for one request each: see Reserve. When those few are taken, the
// oldest makes room: a probe needs milliseconds, who needs longer is none.
// Clients that read too slowly are cut off: see conn.
func Limit(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, most), life: reserveLife}
}

type limited struct {
	net.Listener
	slots chan struct{}
	life  time.Duration

	mu sync.Mutex
	// spare are the connections of the reserve, the oldest first.
	spare []*conn
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
		return &conn{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
	default:
		return l.spared(c), nil
	}
}

// spared makes c a connection of the reserve.
func (l *limited) spared(c net.Conn) *conn {
	s := &conn{Conn: c, end: time.Now().Add(l.life)}
	_ = c.SetDeadline(s.end) // a broken connection shows that to its server
	s.free = func() { l.forget(s) }
	l.mu.Lock()
	var oldest *conn
	if len(l.spare) >= reserve {
		oldest, l.spare = l.spare[0], l.spare[1:]
	}
	l.spare = append(l.spare, s)
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Conn.Close() // its server closes it again, and learns so
	}
	return s
}

func (l *limited) forget(s *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.spare {
		if c == s {
			l.spare = append(l.spare[:i:i], l.spare[i+1:]...)
			return
		}
	}
}

type spareKey struct{}

// ConnContext is for http.Server: it marks the requests of the reserve.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if s, ok := c.(*conn); ok && !s.end.IsZero() {
		return context.WithValue(ctx, spareKey{}, true)
	}
	return ctx
}

// Reserve answers what comes over a connection of the reserve: the probes are
// answered by h, everything else is told that there is no room, and each
// connection ends after its first request.
func Reserve(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(spareKey{}) == nil {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, busy) // who does not read it is refused all the same
	})
}
