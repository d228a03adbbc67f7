package access

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// slowest is the rate, in bytes a second, that a client must keep up with while
	// it sends a body, and while something is sent to it.
	slowest = 1 << 10
	// slack is how long a client may pause at that.
	slack = 20 * time.Second
	// piece is how much is written under one deadline, in bytes.
	piece = 16 << 10
)

// conn is a connection that is counted, and on which no write takes longer than
// slack and what slowest allows for it. To wait without having anything to
// write, as event streams and long-polls do, takes no time of it.
type conn struct {
	net.Conn
	free func()
	// end is when a connection of the reserve is over; zero for all others.
	end time.Time
	// pause and rate are slack and slowest where they are zero; tests are in a hurry.
	pause time.Duration
	rate  int

	mu sync.Mutex
	// until is the deadline that the server has set for writing.
	until time.Time
}

// Close implements net.Conn, and gives back the place.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(earliest(t, c.end))
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetWriteDeadline(earliest(t, c.end))
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (written int, err error) {
	for {
		part := p[written:min(written+piece, len(p))]
		if err := c.hurry(len(part)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(part)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// hurry bounds the time to write n bytes.
func (c *conn) hurry(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := time.Now().Add(or(c.pause, slack) + worth(n, or(c.rate, slowest)))
	return c.Conn.SetWriteDeadline(earliest(own, earliest(c.until, c.end)))
}

// or returns v, or what stands for zero.
func or[T time.Duration | int](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// worth is how long n bytes may take at a rate.
func worth(n, rate int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(rate)
}

// earliest returns the earlier of two deadlines, of which a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Pace returns a handler whose clients must send bodies at slowest or faster,
// with pauses of slack at most, and all of it within whole, unless h sets
// another deadline for reading. Only the time spent waiting for the client
// counts. A body that is too slow ends with os.ErrDeadlineExceeded.
func Pace(h http.Handler, whole time.Duration) http.Handler {
	return paced(h, whole, slack, slowest)
}

func paced(h http.Handler, whole, pause time.Duration, rate int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			h.ServeHTTP(w, r)
			return
		}
		p := &pacer{ResponseWriter: w, control: http.NewResponseController(w), body: r.Body,
			until: time.Now().Add(whole), pause: pause, credit: pause, rate: rate}
		r.Body = pacedBody{p}
		h.ServeHTTP(p, r)
	})
}

// pacer holds the deadline for reading that the handler wants against the one
// that the client has earned.
type pacer struct {
	http.ResponseWriter
	control *http.ResponseController
	body    io.ReadCloser
	rate    int
	pause   time.Duration

	mu sync.Mutex
	// until is the handler's deadline, credit how long the client may still pause.
	until  time.Time
	credit time.Duration
}

// Unwrap lets http.ResponseController reach the connection.
func (p *pacer) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// SetReadDeadline is what http.ResponseController calls for a handler.
func (p *pacer) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = t
	return p.control.SetReadDeadline(t)
}

func (p *pacer) deadline(t time.Time) {
	_ = p.control.SetReadDeadline(t) // a recorder in tests has none
}

type pacedBody struct{ p *pacer }

// Read implements io.Reader.
func (b pacedBody) Read(to []byte) (int, error) {
	p := b.p
	start := time.Now()
	p.mu.Lock()
	p.deadline(earliest(p.until, start.Add(p.credit)))
	p.mu.Unlock()
	n, err := p.body.Read(to)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credit = min(p.credit-time.Since(start)+worth(n, p.rate), p.pause)
	if errors.Is(err, io.EOF) {
		// The server goes on reading, to see whether the client is still there: it
		// must not take the end of the body's time for the end of the client.
		p.deadline(p.until)
	}
	return n, err
}

// Close implements io.Closer.
func (b pacedBody) Close() error { return b.p.body.Close() }
