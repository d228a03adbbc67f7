package stomp

import (
	"context"
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"sync"
	"time"
)

// Session keeps a connection to one of several brokers: it connects again after a loss, makes
// its subscriptions again, and tells its observer. All methods may be called from any goroutine.
type Session struct {
	o    SessionOptions
	soft context.Context // ends when Close begins: no new work
	stop context.CancelFunc
	hard context.Context // ends when Close's patience ends: no work at all
	kill context.CancelFunc
	done chan struct{} // closed when the supervisor has ended
	find search

	mu      sync.Mutex
	conn    *Conn         // ready, or nil
	changed chan struct{} // closed when conn becomes ready
	last    Event
	why     error // of the latest loss; nil when ready
	goodbye error // outcome of Close's Disconnect
}

// Open checks o and starts to connect in the background; it does not wait for a broker. The
// error names what is wrong with o.
func Open(o SessionOptions) (*Session, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("opening a broker session: %w", err)
	}
	s := &Session{o: o, done: make(chan struct{}), changed: make(chan struct{}), find: newSearch(o)}
	s.soft, s.stop = context.WithCancel(context.Background())
	s.hard, s.kill = context.WithCancel(context.Background())
	go s.supervise()
	return s, nil
}

// Last returns the latest event.
func (s *Session) Last() Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Done is closed when the session has ended, which only Close makes it do.
func (s *Session) Done() <-chan struct{} { return s.done }

// Conn waits until the session is ready and returns its connection. The error is a
// *ConnectionError with net.ErrClosed when the session is closed, or the cause of ctx's end,
// and why there is no connection.
func (s *Session) Conn(ctx context.Context) (*Conn, error) {
	for {
		s.mu.Lock()
		conn, changed, addr := s.conn, s.changed, s.last.Addr
		s.mu.Unlock()
		if s.soft.Err() != nil {
			return nil, &ConnectionError{Addr: addr, Err: net.ErrClosed}
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-s.soft.Done():
		case <-ctx.Done():
			return nil, s.unready(context.Cause(ctx))
		}
	}
}

// unready adds to the end of a wait why there is no ready connection.
func (s *Session) unready(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		return err
	}
	return fmt.Errorf("%w: the broker session is not ready: %w", err, s.why)
}

// Send waits for a ready connection, sends m and waits for its receipt. It does not send again:
// on *ConnectionError the broker may or may not have m.
func (s *Session) Send(ctx context.Context, m Outgoing) error {
	r, err := s.SendAsync(ctx, m)
	if err != nil {
		return err
	}
	return r.Wait(ctx)
}

// SendAsync waits for a ready connection and hands m to it, see Conn.SendAsync. When the
// connection ends, the receipts of all that had no answer fail with *ConnectionError, and the
// caller sends again what it must. By then a later call may have used the next connection: who
// needs order sends on one Conn, and begins again at its first failure on the next.
func (s *Session) SendAsync(ctx context.Context, m Outgoing) (*Receipt, error) {
	c, err := s.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return c.SendAsync(ctx, m)
}

// SendNoReceipt waits for a ready connection and hands m to it without asking for a receipt.
func (s *Session) SendNoReceipt(ctx context.Context, m Outgoing) error {
	c, err := s.Conn(ctx)
	if err != nil {
		return err
	}
	return c.SendNoReceipt(ctx, m)
}

// Close lets running handlers finish, says goodbye to the broker with a receipt and ends the
// session. When ctx ends first, handlers' contexts are canceled, the connection is cut and the
// error says so. Calling it again waits for the same end.
func (s *Session) Close(ctx context.Context) error {
	s.stop()
	defer context.AfterFunc(ctx, s.kill)()
	select {
	case <-s.done:
	case <-ctx.Done():
		return fmt.Errorf("closing the broker session: %w", context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goodbye
}

// supervise is the session's goroutine: it serves one connection after the other.
func (s *Session) supervise() {
	defer close(s.done)
	defer s.kill()
	defer func() { s.tell(Event{State: StateClosed}) }()
	for s.soft.Err() == nil {
		addr := s.find.host()
		ready, err := s.serve(addr)
		if s.soft.Err() != nil {
			return
		}
		e := s.find.lost(addr, ready, err)
		s.log(e, ready)
		s.tell(e)
		sleep(s.soft, e.RetryIn)
	}
}

// log notes a loss. A broker that is away for days is normal for some, so that after the first
// attempt only the second, fourth, eighth and so on are worth a warning.
func (s *Session) log(e Event, ready time.Duration) {
	happened, level := "Lost the broker", slog.LevelWarn
	if ready == 0 {
		happened = "Could not connect to the broker"
	}
	if bits.OnesCount(uint(e.Attempt)) > 1 {
		level = slog.LevelDebug
	}
	s.o.Conn.Logger.Log(s.soft, level, happened, slog.String("addr", e.Addr), slog.Any("error", e.Err),
		slog.Int("attempt", e.Attempt), slog.String("retryIn", e.RetryIn.Round(time.Millisecond).String()),
		slog.Bool("possibleSecondCopy", e.PossibleSecondCopy))
}

// serve keeps one connection until it ends. ready is how long it was ready.
func (s *Session) serve(addr string) (ready time.Duration, err error) {
	s.tell(Event{State: StateConnecting, Addr: addr})
	c, err := Dial(s.soft, addr, s.o.Conn)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	e := Event{Addr: addr, Server: c.Server(), Profile: c.Profile().Name, Version: string(c.Version())}
	e.State = StateConnected
	s.tell(e)
	subs, err := s.subscribe(c)
	if err != nil {
		s.leave(c)
		return 0, err
	}
	since := time.Now()
	e.State = StateSubscribed
	s.tell(e)
	s.pump(c, subs)
	return time.Since(since), c.Err()
}

// subscribe makes every subscription and waits for their receipts.
func (s *Session) subscribe(c *Conn) ([]*Subscription, error) {
	ctx, cancel := context.WithTimeoutCause(s.soft, s.o.Conn.ConnectTimeout,
		fmt.Errorf("broker did not confirm the subscriptions within %v", s.o.Conn.ConnectTimeout))
	defer cancel()
	subs := make([]*Subscription, 0, len(s.o.Subscriptions))
	for _, want := range s.o.Subscriptions {
		sub, err := c.Subscribe(ctx, want.SubscribeOptions)
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	return subs, nil
}

// pump publishes c as ready and runs the handlers until c ends or the session closes.
func (s *Session) pump(c *Conn, subs []*Subscription) {
	ctx, cancel := context.WithCancel(s.hard)
	defer cancel()
	var handlers sync.WaitGroup
	for i, sub := range subs {
		handlers.Go(func() { s.handle(ctx, sub, s.o.Subscriptions[i].Handler) })
	}
	s.publish(c)
	select {
	case <-c.Done():
		s.publish(nil)
		cancel()
		handlers.Wait()
	case <-s.soft.Done():
		s.publish(nil)
		handlers.Wait()
		s.leave(c)
	}
}

// handle gives one subscription's messages to its handler, one at a time. What is queued when
// the connection ends is left: the broker sends it again.
func (s *Session) handle(ctx context.Context, sub *Subscription, handler func(context.Context, *Message)) {
	for {
		select {
		case <-s.soft.Done():
			return
		case <-ctx.Done():
			return
		case m, ok := <-sub.C():
			if !ok || s.soft.Err() != nil || sub.conn.Err() != nil {
				return
			}
			handler(ctx, m)
		}
	}
}

// leave says goodbye, for at most as long as connecting may take.
func (s *Session) leave(c *Conn) {
	ctx, cancel := context.WithTimeout(s.hard, s.o.Conn.ConnectTimeout)
	defer cancel()
	err := c.Disconnect(ctx)
	if s.soft.Err() == nil {
		return // not the goodbye that Close waits for
	}
	s.mu.Lock()
	s.goodbye = err
	s.mu.Unlock()
}

// publish makes c the connection that calls use, or nil for none.
func (s *Session) publish(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn = c; c != nil {
		close(s.changed)
		return
	}
	s.changed = make(chan struct{})
}

func (s *Session) tell(e Event) {
	e.At = time.Now()
	s.mu.Lock()
	if e.Addr == "" {
		e.Addr = s.last.Addr
	}
	s.last = e
	if e.State == StateLost || e.State == StateSubscribed {
		s.why = e.Err
	}
	s.mu.Unlock()
	s.o.Observer(e)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
