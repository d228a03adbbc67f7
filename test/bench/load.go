package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// caller is one client of something: call does one operation and returns once it is answered.
type caller interface {
	call(ctx context.Context) error
	close()
}

// closedLoop has clients call without a pause for a time, and returns how many
// operations were answered, and how many a second.
func closedLoop(ctx context.Context, clients int, d time.Duration, connect func() (caller, error)) (n int, rate float64, err error) {
	callers := make([]caller, clients)
	for i := range callers {
		if callers[i], err = connect(); err != nil {
			return 0, 0, err
		}
		defer callers[i].close()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for _, c := range callers {
		all.Go(func() {
			for time.Since(start) < d && ctx.Err() == nil {
				if err := c.call(ctx); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	elapsed := time.Since(start)
	if err := context.Cause(ctx); err != nil {
		return 0, 0, err
	}
	n = int(done.Load())
	return n, float64(n) / elapsed.Seconds(), nil
}

// httpConn is a lean HTTP/1.1 client on one connection that is kept alive: a
// client that costs much would measure itself on a machine with few processors.
type httpConn struct {
	host string
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	used time.Time
}

// idleLimit is how long a connection may lie idle before it is made anew: servers
// close those that do, some after five seconds.
const idleLimit = 2 * time.Second

func dialHTTP(ctx context.Context, host string) (*httpConn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &httpConn{host: host, conn: c, in: bufio.NewReader(c), used: time.Now()}, nil
}

func (h *httpConn) close() { _ = h.conn.Close() }

// patience bounds every single request and wait.
const patience = 60 * time.Second

// do sends a request and returns the status and the body of the answer.
func (h *httpConn) do(method, path string, body []byte) (int, []byte, error) {
	if time.Since(h.used) > idleLimit {
		fresh, err := dialHTTP(context.Background(), h.host)
		if err != nil {
			return 0, nil, err
		}
		h.close()
		h.conn, h.in = fresh.conn, fresh.in
	}
	h.used = time.Now()
	_ = h.conn.SetDeadline(h.used.Add(patience))
	h.out = fmt.Appendf(h.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, path, h.host, len(body))
	h.out = append(h.out, body...)
	if _, err := h.conn.Write(h.out); err != nil {
		return 0, nil, fmt.Errorf("sending %s %s: %w", method, path, err)
	}
	status, answer, err := h.answer()
	if err != nil {
		err = fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	return status, answer, err
}

func (h *httpConn) answer() (status int, body []byte, err error) {
	line, err := h.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("the status line is %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length, chunked := 0, false
	for {
		if line, err = h.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !found {
			break
		}
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		}
	}
	if chunked {
		body, err = h.chunks()
		return status, body, err
	}
	body = make([]byte, length)
	_, err = io.ReadFull(h.in, body)
	return status, body, err
}

func (h *httpConn) chunks() (body []byte, err error) {
	for {
		line, err := h.in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 31)
		if err != nil {
			return nil, err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(h.in, chunk); err != nil {
			return nil, err
		}
		if n == 0 {
			return body, nil
		}
		body = append(body, chunk[:n]...)
	}
}

// ids hands out object ids that are new and in no order.
var ids = struct {
	run  uint64
	next atomic.Uint64
}{run: rand.Uint64()}

func newID() string {
	// An odd factor walks through all numbers without meeting one twice.
	return fmt.Sprintf("o%016x", ids.run+ids.next.Add(1)*0x9e3779b97f4a7c15)
}

// putter writes a new object with each call.
type putter struct {
	*httpConn
	prefix string
	bodies [][]byte
	n      int
}

func (p *putter) call(context.Context) error {
	p.n++
	status, answer, err := p.do("PUT", p.prefix+newID(), p.bodies[p.n%len(p.bodies)])
	if err == nil && status != 200 && status != 201 {
		err = fmt.Errorf("the write was answered with %d: %s", status, answer)
	}
	return err
}

// until polls every half millisecond until done reports true.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no sign of it within "+patience.String()))
	defer cancel()
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(context.Cause(ctx), err))
		}
	}
}
