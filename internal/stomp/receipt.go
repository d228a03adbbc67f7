package stomp

import (
	"context"
	"strconv"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// Receipt is a broker's answer that is still to come. Any number of goroutines may wait for it,
// any number of times; giving up a wait does not give up the answer.
type Receipt struct {
	done chan struct{}
	err  error // written before done is closed
	// windowed says that the answer holds a place in the connection's send window.
	windowed bool
}

// Done is closed when the answer has come or the connection has ended.
func (r *Receipt) Done() <-chan struct{} { return r.done }

// Err returns nil before Done is closed and when the broker confirmed; *ServerError when it
// refused; *ConnectionError when the connection ended first.
func (r *Receipt) Err() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Wait returns Err once it is known, or the cause of ctx's end.
func (r *Receipt) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// expect registers a receipt under a fresh id. It fails when the connection is dead.
func (c *Conn) expect(windowed bool) (string, *Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != nil {
		return "", nil, c.dead
	}
	c.lastID++
	id := "r" + strconv.FormatUint(c.lastID, 10)
	r := &Receipt{done: make(chan struct{}), windowed: windowed}
	c.receipts[id] = r
	return id, r, nil
}

// settle gives the receipt its outcome. It reports false for an id that nothing waits for.
func (c *Conn) settle(id string, err error) bool {
	c.mu.Lock()
	r, ok := c.receipts[id]
	delete(c.receipts, id)
	c.mu.Unlock()
	if ok {
		c.finish(r, err)
	}
	return ok
}

// finish is called once for each receipt: by whoever took it out of the map.
func (c *Conn) finish(r *Receipt, err error) {
	r.err = err
	close(r.done)
	if r.windowed {
		<-c.window
	}
}

// request sends f with a receipt header; the receipt tells the broker's answer.
func (c *Conn) request(ctx context.Context, f *frame.Frame, windowed bool) (*Receipt, error) {
	if windowed {
		if err := c.enterWindow(ctx); err != nil {
			return nil, err
		}
	}
	id, r, err := c.expect(windowed)
	if err != nil {
		if windowed {
			<-c.window
		}
		return nil, err
	}
	f.Header.Set(frame.HeaderReceipt, id)
	if err := c.post(ctx, f); err != nil {
		c.settle(id, err)
		return nil, err
	}
	return r, nil
}

func (c *Conn) enterWindow(ctx context.Context) error {
	select {
	case c.window <- struct{}{}:
		return nil
	case <-c.ctx.Done():
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// call sends f and waits for the broker's answer.
func (c *Conn) call(ctx context.Context, f *frame.Frame) error {
	r, err := c.request(ctx, f, false)
	if err != nil {
		return err
	}
	return r.Wait(ctx)
}
