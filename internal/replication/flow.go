package replication

import (
	"context"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

// flowWindow is how many messages of an answer the broker may have left
// unconfirmed: enough to keep it busy, and little enough that a slow broker
// slows the answer down and not the node.
const flowWindow = 4

// flow sends the messages of one answer to a peer's queue.
type flow struct {
	l       *link
	to      branch.ID
	waiting []Confirmation
}

func newFlow(l *link, to branch.ID) *flow { return &flow{l: l, to: to} }

// send publishes one message, once the window has room for it.
func (f *flow) send(ctx context.Context, body []byte) error {
	if len(f.waiting) >= flowWindow {
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.l.o.RequestTimeout)
	defer cancel()
	c, err := f.l.cfg.Transport.Publish(ctx, f.l.syncQueue(id(f.to)), Message{
		From: f.l.store.Branch(), ContentType: SyncContentType, Confirm: true, TTL: messageTTL, Body: body,
	})
	if err != nil {
		return fmt.Errorf("answering %s: %w", f.to, err)
	}
	f.waiting = append(f.waiting, c)
	return nil
}

// settle waits for the oldest confirmation.
func (f *flow) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.l.o.RequestTimeout)
	defer cancel()
	c := f.waiting[0]
	f.waiting = f.waiting[1:]
	if err := c.Wait(ctx); err != nil {
		return fmt.Errorf("answering %s: %w", f.to, err)
	}
	return nil
}

// finish waits until the broker has everything.
func (f *flow) finish(ctx context.Context) error {
	for len(f.waiting) > 0 {
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}
