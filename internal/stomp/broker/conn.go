package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

const (
	acceptPause = 50 * time.Millisecond
	// outRoom is how many frames may wait for a client's writer before its own frames are no
	// longer read, and before no more messages are given to it.
	outRoom = 1000
	// outOctets bounds the same in octets of bodies.
	outOctets = 1 << 20
)

// conn is one client's connection: a reader, which runs its commands, and a writer.
type conn struct {
	b      *Broker
	nc     net.Conn
	ctx    context.Context
	cancel context.CancelFunc
	gone   chan struct{} // closed when the broker has forgotten the connection

	// Set by the handshake, before anything but the writer's wait knows the connection.
	version  frame.Version
	clientID string
	send     time.Duration // heart-beats that the client wants
	expect   time.Duration // heart-beats that the client promised

	// Guarded by b.mu.
	subs         map[string]*consumer
	unacked      map[string]*delivery // by ack id
	transactions map[string]*transaction

	outMu   sync.Mutex
	outCond *sync.Cond // signaled when the queue shrinks or grows, and at the end
	out     []outbound
	octets  int
	ending  bool // write what is queued, then close
}

// outbound is a frame for the client; done is called just before it is written.
type outbound struct {
	f    *frame.Frame
	done func()
}

func newConn(b *Broker, nc net.Conn) *conn {
	c := &conn{
		b: b, nc: nc, gone: make(chan struct{}), version: frame.V10,
		subs: map[string]*consumer{}, unacked: map[string]*delivery{}, transactions: map[string]*transaction{},
	}
	c.outCond = sync.NewCond(&c.outMu)
	c.ctx, c.cancel = context.WithCancel(b.ctx)
	return c
}

// cut ends the connection at once.
func (c *conn) cut() {
	c.cancel()
	_ = c.nc.Close()
	c.wake()
}

func (c *conn) wake() {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	c.outCond.Broadcast()
}

// serve is the reader's goroutine, and owns the connection's life.
func (c *conn) serve() {
	stop := context.AfterFunc(c.ctx, c.cut)
	defer stop()
	var writer sync.WaitGroup
	writer.Go(c.writeLoop)
	err := c.readLoop()
	if err != nil && c.ctx.Err() == nil && !errors.Is(err, io.EOF) {
		c.b.o.Logger.Debug("Closed a client's connection", slog.String("client", c.clientID), slog.Any("error", err))
	}
	c.finish(err)
	writer.Wait()
	c.cut()
	c.b.forget(c)
}

// finish lets the writer say what is left to say, among it why the connection ends.
func (c *conn) finish(err error) {
	var refusal *refusalError
	var limit *frame.LimitError
	var syntax *frame.SyntaxError
	switch {
	case errors.As(err, &refusal):
		c.put(refusal.frame(), nil)
	case errors.As(err, &limit), errors.As(err, &syntax):
		c.put((&refusalError{message: err.Error()}).frame(), nil)
	case err != nil:
		c.cut() // the client is gone
	}
	c.outMu.Lock()
	defer c.outMu.Unlock()
	c.ending = true
	c.outCond.Broadcast()
}

// Read takes each octet for a sign of life.
func (c *conn) Read(p []byte) (int, error) {
	if c.expect > 0 {
		_ = c.nc.SetReadDeadline(time.Now().Add(2 * c.expect))
	}
	return c.nc.Read(p)
}

func (c *conn) readLoop() error {
	d := frame.NewDecoder(c, c.b.o.Limits)
	_ = c.nc.SetReadDeadline(time.Now().Add(c.b.o.ConnectTimeout))
	f, err := c.next(d)
	if err != nil {
		return err
	}
	if err := c.connect(f); err != nil {
		return err
	}
	_ = c.nc.SetReadDeadline(time.Time{})
	d.SetVersion(c.version)
	for {
		if f, err = c.next(d); err != nil {
			return err
		}
		if end, err := c.obey(f); end || err != nil {
			return err
		}
	}
}

// next returns the next frame that the fault hook lets through.
func (c *conn) next(d *frame.Decoder) (*frame.Frame, error) {
	for {
		c.awaitRoom()
		f, err := d.Decode()
		if err != nil {
			return nil, err
		}
		fault := c.fault(c.b.faults.Load().Received, f)
		if fault.Disconnect {
			return nil, errors.New("cut by a fault")
		}
		if !fault.Drop {
			return f, nil
		}
	}
}

func (c *conn) fault(hook func(string, *frame.Frame) Fault, f *frame.Frame) Fault {
	if hook == nil {
		return Fault{}
	}
	fault := hook(c.name(f), f)
	fault.wait(c.ctx)
	return fault
}

// name is the client id for fault hooks, which see CONNECT before the connection has one.
func (c *conn) name(f *frame.Frame) string {
	if c.clientID == "" {
		return f.Header.Get(frame.HeaderClientID)
	}
	return c.clientID
}

// awaitRoom stops reading from a client that does not read.
func (c *conn) awaitRoom() {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	for len(c.out) >= outRoom && c.ctx.Err() == nil {
		c.outCond.Wait()
	}
}

// hasRoom says whether messages may be given to the writer.
func (c *conn) hasRoom() bool {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	return len(c.out) < outRoom && c.octets < outOctets
}

func (c *conn) put(f *frame.Frame, done func()) {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	c.out = append(c.out, outbound{f: f, done: done})
	c.octets += len(f.Body)
	c.outCond.Broadcast()
}

// connect answers CONNECT.
func (c *conn) connect(f *frame.Frame) error {
	if f.Command != frame.Connect && f.Command != frame.Stomp {
		return refuse(f, "Not yet connected: the first frame must be CONNECT, not %s", f.Command)
	}
	version, err := choose(f)
	if err != nil {
		return err
	}
	if users := c.b.o.Users; len(users) > 0 {
		login := f.Header.Get(frame.HeaderLogin)
		if want, ok := users[login]; !ok || want != f.Header.Get(frame.HeaderPasscode) {
			return refuse(f, "User name [%s] or password is invalid.", login)
		}
	}
	can, wants, err := heartBeat(f)
	if err != nil {
		return err
	}
	if err := c.b.register(c, f); err != nil {
		return err
	}
	c.outMu.Lock() // the writer waits already, to say why CONNECT was refused
	c.version, c.expect, c.send = version, can, wants
	c.outMu.Unlock()
	answer := frame.New(frame.Connected, frame.HeaderVersion, string(version),
		frame.HeaderServer, "Vesper/"+c.b.o.Version, frame.HeaderSession, c.clientID,
		frame.HeaderHeartBeat, fmt.Sprintf("%d,%d", wants.Milliseconds(), can.Milliseconds()))
	c.put(answer, nil)
	return nil
}

// choose returns the highest version that the client accepts; none given means 1.0.
func choose(f *frame.Frame) (frame.Version, error) {
	accept, ok := f.Header.Lookup(frame.HeaderAcceptVersion)
	if !ok {
		return frame.V10, nil
	}
	var best frame.Version
	for s := range strings.SplitSeq(accept, ",") {
		if v, err := frame.ParseVersion(strings.TrimSpace(s)); err == nil && v > best {
			best = v
		}
	}
	if best == "" {
		return "", refuse(f, "Invalid Protocol version[%s], supported versions are: [1.2, 1.1, 1.0]", accept)
	}
	return best, nil
}

// heartBeat returns what the client offers; the broker agrees to everything.
func heartBeat(f *frame.Frame) (can, wants time.Duration, err error) {
	text, ok := f.Header.Lookup(frame.HeaderHeartBeat)
	if !ok {
		return 0, 0, nil
	}
	first, second, _ := strings.Cut(text, ",")
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 31)
	b, err2 := strconv.ParseUint(strings.TrimSpace(second), 10, 31)
	if err1 != nil || err2 != nil {
		return 0, 0, refuse(f, "Invalid heart-beat header: %s", text)
	}
	return time.Duration(a) * time.Millisecond, time.Duration(b) * time.Millisecond, nil
}

// writeLoop writes queued frames and heart-beats until the connection ends.
func (c *conn) writeLoop() {
	defer c.cut()
	w := bufio.NewWriterSize(c.nc, 64<<10)
	for {
		batch, beat := c.take()
		if len(batch) == 0 && !beat {
			return
		}
		// Before the write: a client that has seen a message must not see it again.
		for _, o := range batch {
			if o.done != nil {
				o.done()
			}
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.b.o.WriteTimeout))
		if err := c.write(w, batch, beat); err != nil {
			return
		}
		if len(batch) > 0 {
			c.b.roomIn(c)
		}
	}
}

// take waits for frames, or for a heart-beat to be due; it returns neither at the end.
func (c *conn) take() (batch []outbound, beat bool) {
	due := false
	var timer *time.Timer
	c.outMu.Lock()
	defer c.outMu.Unlock()
	for len(c.out) == 0 && c.ctx.Err() == nil && !c.ending && !due {
		if timer == nil && c.send > 0 {
			timer = time.AfterFunc(c.send/2, func() {
				c.outMu.Lock()
				defer c.outMu.Unlock()
				due = true
				c.outCond.Broadcast()
			})
			defer timer.Stop()
		}
		c.outCond.Wait()
	}
	if c.ctx.Err() != nil {
		return nil, false
	}
	batch, c.out, c.octets = c.out, nil, 0
	c.outCond.Broadcast()
	return batch, due
}

func (c *conn) write(w *bufio.Writer, batch []outbound, beat bool) error {
	if beat {
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	for _, o := range batch {
		if err := c.writeFrame(w, o.f); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (c *conn) writeFrame(w *bufio.Writer, f *frame.Frame) error {
	fault := c.fault(c.b.faults.Load().Sent, f)
	if fault.Disconnect {
		_ = w.Flush() // what came before the fault arrives
		return errors.New("cut by a fault")
	}
	if fault.Drop {
		return nil
	}
	data := c.encode(f)
	if fault.Duplicate {
		data = append(data, data...)
	}
	_, err := w.Write(data)
	return err
}

// encode leaves out header lines that the client's version cannot express, rather than to keep
// a message from it for ever.
func (c *conn) encode(f *frame.Frame) []byte {
	limits := frame.Limits{Body: 1 << 30, HeaderLine: 1 << 20, Headers: 1 << 20}
	data, err := frame.Append(nil, f, c.version, limits)
	if err == nil {
		return data
	}
	plain := &frame.Frame{Command: f.Command, Body: f.Body}
	for _, x := range f.Header {
		one := &frame.Frame{Command: f.Command, Header: frame.Header{x}}
		if _, err := frame.Append(nil, one, c.version, limits); err == nil {
			plain.Header = append(plain.Header, x)
		}
	}
	data, _ = frame.Append(nil, plain, c.version, limits) // nothing is left that could fail
	return data
}
