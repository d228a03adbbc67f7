package stomp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// Conn is one connection to a broker. All methods may be called from any goroutine. It has two
// goroutines of its own, a reader and a writer, which end when the connection does.
type Conn struct {
	opts    Options
	addr    string
	nc      net.Conn
	dec     *frame.Decoder
	limits  frame.Limits // of what is sent: the options' and the profile's
	version frame.Version
	profile Profile
	server  string
	session string
	beats   beats

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	wg     sync.WaitGroup
	out    chan outbound
	window chan struct{} // one element for each windowed send without an answer

	// drainUntil is when the reader gives up after the writer has failed, in Unix nanoseconds;
	// 0 while the writer lives.
	drainUntil    atomic.Int64
	disconnecting atomic.Bool

	mu        sync.Mutex
	dead      error // *ConnectionError; set once
	complaint *ServerError
	writeErr  error
	lastID    uint64
	receipts  map[string]*Receipt
	subs      map[string]*Subscription
}

// Dial connects to addr, host:port, and completes the handshake. Errors are *ServerError within
// *ConnectionError when the broker refused, *ConnectionError otherwise.
func Dial(ctx context.Context, addr string, o Options) (*Conn, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, o.ConnectTimeout,
		fmt.Errorf("no connection within %v", o.ConnectTimeout))
	defer cancel()
	c, err := dial(ctx, addr, o)
	if better, ok := o.afterRefusal(err); ok {
		o = better
		c, err = dial(ctx, addr, o)
	}
	if err == nil && c.version > c.profile.MaxVersion {
		// This flavour's higher versions do not work: agree on a lower one.
		o.MaxVersion = c.profile.MaxVersion
		_ = c.Disconnect(ctx)
		c, err = dial(ctx, addr, o)
	}
	if err != nil {
		return nil, &ConnectionError{Addr: addr, Err: err}
	}
	return c, nil
}

// afterRefusal is what to try next when a broker of a make not yet known refused the first CONNECT
// in words of its own: it is known then, and how it wants to be asked.
func (o Options) afterRefusal(err error) (Options, bool) {
	refusal, ok := errors.AsType[*ServerError](err)
	if !ok || o.Host != "" || o.Profile != nil {
		return o, false
	}
	text := strings.ToLower(refusal.Message + "\n" + refusal.Detail)
	switch {
	case strings.Contains(text, "virtual host") && strings.Contains(text, "access denied"):
		o.Host = RabbitMQ().VirtualHost
	case strings.Contains(text, "virtual hosting is not supported"):
		p := CoilMQ() // which does not name itself
		o.Profile = &p
	default:
		return o, false
	}
	return o, true
}

func dial(ctx context.Context, addr string, o Options) (*Conn, error) {
	nc, err := o.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, because(ctx, err)
	}
	c, err := connect(ctx, addr, nc, o)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

// because adds to err why ctx ended, when it did for a reason that err does not say.
func because(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(err, why) {
		return fmt.Errorf("%w: %w", why, err)
	}
	return err
}

// Addr is the address that was dialed.
func (c *Conn) Addr() string { return c.addr }

// Server is the broker's server header, "" when it sent none.
func (c *Conn) Server() string { return c.server }

// SessionID is the broker's session header, "" when it sent none.
func (c *Conn) SessionID() string { return c.session }

// Version is the agreed protocol version.
func (c *Conn) Version() frame.Version { return c.version }

// Profile is the broker's capabilities as this connection takes them.
func (c *Conn) Profile() Profile { return c.profile }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why the connection ended, as a *ConnectionError; nil while it lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// Send sends m and waits for the broker's receipt. On *ConnectionError, or when ctx ended, the
// broker may or may not have the message.
func (c *Conn) Send(ctx context.Context, m Outgoing) error {
	r, err := c.SendAsync(ctx, m)
	if err != nil {
		return err
	}
	return r.Wait(ctx)
}

// SendAsync hands m to the writer and returns the receipt to wait for. It waits itself while
// Options.Window sends have no answer, or the writer's queue is full. Messages reach the broker
// in the order of calls; an error here means that m was not sent.
func (c *Conn) SendAsync(ctx context.Context, m Outgoing) (*Receipt, error) {
	return c.request(ctx, c.sendFrame(m, ""), true)
}

// SendNoReceipt hands m to the writer and asks for no receipt: nothing tells whether it arrived.
func (c *Conn) SendNoReceipt(ctx context.Context, m Outgoing) error {
	return c.post(ctx, c.sendFrame(m, ""))
}

func (c *Conn) sendFrame(m Outgoing, tx string) *frame.Frame {
	f := &frame.Frame{Command: frame.Send, Body: m.Body, Text: m.Text, Header: make(frame.Header, 0, len(m.Header)+6)}
	f.Header.Add(frame.HeaderDestination, m.Destination)
	if m.ContentType != "" {
		f.Header.Add(frame.HeaderContentType, m.ContentType)
	}
	if !m.NonPersistent && c.profile.PersistentHeader {
		f.Header.Add(frame.HeaderPersistent, "true")
	}
	c.profile.addExpiry(f, m.Expires)
	c.profile.addRouting(f, "destination-type", m.Destination)
	if tx != "" {
		f.Header.Add(frame.HeaderTransaction, tx)
	}
	f.Header = append(f.Header, m.Header...)
	return f
}

// Disconnect says goodbye and waits until the broker has confirmed that it received all that was
// sent before, then closes. The connection is closed in any case when it returns. The error is
// nil when the broker confirmed, or closed the connection instead; calling it again is harmless.
func (c *Conn) Disconnect(ctx context.Context) error {
	defer c.Close()
	if !c.disconnecting.CompareAndSwap(false, true) {
		return nil
	}
	id, r, err := c.expect(false)
	if err != nil {
		return nil // dead already: nothing to say goodbye to
	}
	f := frame.New(frame.Disconnect, frame.HeaderReceipt, id)
	if err := c.postLast(ctx, f); err != nil {
		return fmt.Errorf("saying goodbye to broker %s: %w", c.addr, err)
	}
	select {
	case <-r.Done():
		if server, ok := errors.AsType[*ServerError](r.err); ok {
			return fmt.Errorf("saying goodbye to broker %s: %w", c.addr, server)
		}
		return nil // a broker may close before its last receipt gets through
	case <-ctx.Done():
		return fmt.Errorf("waiting for broker %s to say goodbye: %w", c.addr, context.Cause(ctx))
	}
}

// Close ends the connection at once, without a goodbye, and waits until its goroutines are gone.
func (c *Conn) Close() {
	c.fail(net.ErrClosed)
	c.wg.Wait()
}

// fail ends the connection; only the first call counts. The broker's own complaint is a better
// reason than the broken socket that followed it.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.dead != nil {
		c.mu.Unlock()
		return
	}
	if c.complaint != nil && !errors.Is(err, net.ErrClosed) {
		err = c.complaint
	}
	dead := &ConnectionError{Addr: c.addr, Err: err}
	c.dead = dead
	receipts, subs := c.receipts, c.subs
	c.receipts, c.subs = nil, nil
	c.mu.Unlock()

	c.cancel()
	_ = c.nc.Close()
	for _, r := range receipts {
		c.finish(r, dead)
	}
	for _, s := range subs {
		s.close()
	}
	c.opts.Logger.Debug("Connection to the broker ended", slog.String("addr", c.addr), slog.Any("error", err))
}

// deadline returns when an operation of this length that starts now must be over.
func deadline(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
