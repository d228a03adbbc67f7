package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxSending is how long the client of one query may keep the store's snapshot
// from being let go, which what is deleted meanwhile takes up room for.
const maxSending = 5 * time.Minute

var (
	errTooLong = errors.New("the query ran too long")
	errTooSlow = errors.New("the client took too long")
)

// queryClock ends a query that runs too long. While it is paused, its client is
// being waited for: that has a time of its own.
type queryClock struct {
	ctx     context.Context //nolint:containedctx // of one query, as the clock is
	end     context.CancelCauseFunc
	limit   time.Duration
	making  countdown
	sending countdown
}

// countdown calls what it was given when it has run for so long.
type countdown struct {
	timer *time.Timer
	left  time.Duration
	since time.Time
}

func newCountdown(left time.Duration, end func()) countdown {
	return countdown{timer: time.AfterFunc(left, end), left: left, since: time.Now()}
}

func (c *countdown) halt() {
	if c.timer.Stop() {
		c.left -= time.Since(c.since)
	}
}

func (c *countdown) run() {
	c.since = time.Now()
	c.timer.Reset(c.left)
}

// startClock starts a clock; it must be stopped.
func startClock(ctx context.Context, limit time.Duration) *queryClock {
	c := &queryClock{limit: limit}
	c.ctx, c.end = context.WithCancelCause(ctx)
	c.making = newCountdown(limit, func() { c.end(errTooLong) })
	c.sending = newCountdown(maxSending, func() { c.end(errTooSlow) })
	c.sending.halt()
	return c
}

func (c *queryClock) pause() {
	c.making.halt()
	c.sending.run()
}

func (c *queryClock) resume() {
	c.sending.halt()
	c.making.run()
}

func (c *queryClock) stop() {
	c.making.halt()
	c.sending.halt()
	c.end(nil)
}

// explain says which time was up, if that is what ended the query.
func (c *queryClock) explain(err error) error {
	switch cause := context.Cause(c.ctx); {
	case errors.Is(cause, errTooLong):
		return problem(kindBadQuery, "%v", tooLong(c.limit))
	case errors.Is(cause, errTooSlow):
		return problem(kindSlowClient, "the rows were not taken within %s: ask for fewer with limit and offset", maxSending)
	}
	return err
}

func tooLong(limit time.Duration) error {
	return fmt.Errorf("the query ran longer than %s: narrow it with where, or raise limits.queryTime in the node's configuration", limit)
}
