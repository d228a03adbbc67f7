package access

import (
	"net"
	"sync"
	"time"
)

// busy is what a client gets that finds no room. It is plain HTTP: a client that
// speaks TLS sees the connection end.
const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 2\r\nConnection: close\r\n\r\n" +
	`{"type":"urn:vesper:problem:too-many-connections","title":"Too many clients are connected","status":503,` +
	`"detail":"the node has as many connections as limits.connections allows: close some, or raise it"}` + "\n"

// Limit returns a listener of which at most so many connections are open. One
// beyond them is told so and closed at once, so that those that stand go on.
func Limit(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, most)}
}

type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			// The send buffer of a new connection takes these few bytes at once.
			_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = c.Write([]byte(busy)) // who does not read it is refused all the same
			_ = c.Close()
		}
	}
}

// slot is a connection that gives back its place when it is closed.
type slot struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (s *slot) Close() error {
	err := s.Conn.Close()
	s.free()
	return err
}
