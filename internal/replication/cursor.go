package replication

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"vesperdb.io/vesper/internal/mutant"
)

// maxSkipAge is how late the cursor is made durable when it only passed over
// what is not ours to publish: sending that again costs nothing but a read.
const maxSkipAge = 30 * time.Second

// cursorKeeper makes the cursor durable now and then: each time costs a commit,
// and what a crash makes us send again costs little.
type cursorKeeper struct {
	s *sender
	// durable is the cursor in the store, at the one that is confirmed.
	durable, at uint64
	// published is true when a message was confirmed since.
	published bool
	timer     *time.Timer
	soon      bool
}

// due is a channel that fires when the cursor is to be saved; nil when it is saved.
func (c *cursorKeeper) due() <-chan time.Time {
	if c.at == c.durable {
		return nil
	}
	if c.timer == nil || c.published && !c.soon {
		c.stop()
		wait := maxSkipAge
		if c.published {
			wait = c.s.l.o.CursorInterval
		}
		c.timer, c.soon = time.NewTimer(wait), c.published
	}
	return c.timer.C
}

func (c *cursorKeeper) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = nil
}

func (c *cursorKeeper) save(ctx context.Context) error {
	c.stop()
	if mutant.On("cursor-early") {
		c.at, _ = c.s.position()
	}
	if c.at == c.durable {
		return nil
	}
	if err := c.s.l.store.SetCursor(ctx, c.s.l.cfg.Name, c.at); err != nil {
		return fmt.Errorf("saving the cursor %d: %w", c.at, err)
	}
	c.durable, c.published = c.at, false
	return nil
}

// flush saves the cursor at the end, also when ctx has ended.
func (c *cursorKeeper) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := c.save(ctx); err != nil {
		c.s.l.log.Warn("Could not save the cursor; some changesets will be sent again", slog.Any("error", err))
	}
}

const flushTimeout = 5 * time.Second
