package stomp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

const (
	// writeStep is how much is written under one deadline, so that a large frame on a slow
	// line is not taken for a dead broker.
	writeStep = 64 << 10
	// drainTime is how long the reader may look for the broker's reason after the writer has
	// found the connection closed.
	drainTime = time.Second
)

// outbound is one encoded frame on its way to the writer.
type outbound struct {
	data []byte
	last bool // DISCONNECT: nothing may follow it
}

// post encodes f and hands it to the writer. Its order among posts is the order on the wire.
func (c *Conn) post(ctx context.Context, f *frame.Frame) error {
	if c.disconnecting.Load() {
		return &ConnectionError{Addr: c.addr, Err: net.ErrClosed}
	}
	return c.enqueue(ctx, f, false)
}

func (c *Conn) postLast(ctx context.Context, f *frame.Frame) error {
	return c.enqueue(ctx, f, true)
}

func (c *Conn) enqueue(ctx context.Context, f *frame.Frame, last bool) error {
	data, err := frame.Append(make([]byte, 0, sizeHint(f)), f, c.version, c.limits)
	if err != nil {
		return fmt.Errorf("encoding a %s frame: %w", f.Command, err)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	select {
	case c.out <- outbound{data: data, last: last}:
		return nil
	case <-c.ctx.Done():
		return c.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func sizeHint(f *frame.Frame) int {
	n := len(f.Command) + len(f.Body) + 40
	for _, x := range f.Header {
		n += len(x.Key) + len(x.Value) + 8
	}
	return n
}

// lifeReader reads from the socket and takes every octet for a sign of life, so that a large
// frame that comes slowly is not taken for silence.
type lifeReader struct{ c *Conn }

// Read waits as long as the peer may be silent.
func (r *lifeReader) Read(p []byte) (int, error) {
	c := r.c
	if until := c.drainUntil.Load(); until != 0 {
		_ = c.nc.SetReadDeadline(time.Unix(0, until))
	} else if c.beats.expect > 0 {
		_ = c.nc.SetReadDeadline(deadline(c.beats.silence()))
	}
	return c.nc.Read(p)
}

func (c *Conn) readLoop() {
	for {
		f, err := c.dec.Decode()
		if err != nil {
			c.fail(c.readError(err))
			return
		}
		if err := c.dispatch(f); err != nil {
			c.fail(err)
			return
		}
	}
}

// readError finds the best words for why reading ended.
func (c *Conn) readError(err error) error {
	c.mu.Lock()
	writeErr := c.writeErr
	c.mu.Unlock()
	switch {
	case writeErr != nil:
		return writeErr
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("broker was silent for %v, its heart-beat is %v", c.beats.silence(), c.beats.expect)
	case errors.Is(err, io.EOF):
		return errors.New("broker closed the connection")
	}
	return err
}

// dispatch must never wait: heart-beats and receipts are behind it.
func (c *Conn) dispatch(f *frame.Frame) error {
	switch f.Command {
	case frame.Message:
		return c.deliver(f)
	case frame.Receipt:
		if id := f.Header.Get(frame.HeaderReceiptID); !c.settle(id, nil) {
			c.opts.Logger.Debug("Ignored a receipt that nothing waits for", slog.String("receipt", id))
		}
		return nil
	case frame.Error:
		return c.refused(serverError(f))
	}
	return fmt.Errorf("broker sent a %s frame, which only clients send or which no one expects", f.Command)
}

// refused routes an ERROR frame to the call it answers. What answers no call is remembered as
// the reason, should the broker close the connection next.
func (c *Conn) refused(e *ServerError) error {
	if e.ReceiptID == "" || !c.settle(e.ReceiptID, e) {
		c.mu.Lock()
		c.complaint = e
		c.mu.Unlock()
		if c.opts.OnError != nil {
			c.opts.OnError(e)
		} else {
			c.opts.Logger.Warn("Broker sent an error", slog.String("addr", c.addr), slog.String("error", e.Error()))
		}
	}
	if c.profile.ErrorCloses {
		return e
	}
	return nil
}

// writeLoop is the only writer of the socket. The heart-beat lives here because only the writer
// knows when it last wrote, and because nothing but the socket can hold it up.
func (c *Conn) writeLoop() {
	w := bufio.NewWriterSize(&stepWriter{nc: c.nc, timeout: c.opts.WriteTimeout}, writeStep)
	beat := newBeat(c.beats.send)
	defer beat.stop()
	for {
		var err error
		last := false
		select {
		case <-c.ctx.Done():
			return
		case o := <-c.out:
			last, err = c.writeBatch(w, o)
		case <-beat.C:
			err = w.WriteByte('\n')
		}
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			c.writeFailed(err)
			return
		}
		if last {
			return
		}
		beat.reset()
	}
}

// writeBatch writes o and what else is queued; the caller flushes.
func (c *Conn) writeBatch(w *bufio.Writer, o outbound) (last bool, err error) {
	for {
		if _, err := w.Write(o.data); err != nil || o.last {
			return o.last, err
		}
		select {
		case o = <-c.out:
		default:
			return false, nil
		}
	}
}

// writeFailed leaves the reader a moment to find out why: a broker that closes a connection
// says so in an ERROR frame that may be in this side's receive buffer already.
func (c *Conn) writeFailed(err error) {
	err = fmt.Errorf("writing to the broker: %w", err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.fail(fmt.Errorf("broker took no data for %v: %w", c.opts.WriteTimeout, err))
		return
	}
	c.mu.Lock()
	c.writeErr = err
	c.mu.Unlock()
	until := time.Now().Add(drainTime)
	c.drainUntil.Store(until.UnixNano())
	_ = c.nc.SetReadDeadline(until)
}

// stepWriter writes with a fresh deadline for every step.
type stepWriter struct {
	nc      net.Conn
	timeout time.Duration
}

// Write writes all of p or fails.
func (w *stepWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		end := min(len(p), done+writeStep)
		if err := w.nc.SetWriteDeadline(deadline(w.timeout)); err != nil {
			return done, err
		}
		n, err := w.nc.Write(p[done:end])
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// beat fires half a heart-beat after the last reset; its channel is nil when there is none.
type beat struct {
	C     <-chan time.Time
	timer *time.Timer
	half  time.Duration
}

func newBeat(interval time.Duration) *beat {
	if interval <= 0 {
		return &beat{}
	}
	t := time.NewTimer(interval / 2)
	return &beat{C: t.C, timer: t, half: interval / 2}
}

func (b *beat) reset() {
	if b.timer != nil {
		b.timer.Reset(b.half)
	}
}

func (b *beat) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}
