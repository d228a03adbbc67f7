package replication

import (
	"context"
	"log/slog"
	"sync"

	"vesperdb.io/vesper/internal/nodestatus"
)

// gate stops a link's data both ways while something is wrong with the system
// that the link belongs to. Beacons go on: they tell when it is right again.
type gate struct {
	mu      sync.Mutex
	reason  nodestatus.Reason
	message string
	// released is closed when the gate opens; nil while it is open.
	released chan struct{}
}

// hold stops publishing, applying, asking and answering on this link until
// release, and shows why. Local writes go on.
func (l *link) hold(reason nodestatus.Reason, message string) {
	l.gate.mu.Lock()
	news := l.gate.reason != reason || l.gate.message != message
	l.gate.reason, l.gate.message = reason, message
	if l.gate.released == nil {
		l.gate.released = make(chan struct{})
	}
	l.gate.mu.Unlock()
	if news {
		l.log.Error("Stopped replicating over a link; local writes go on", slog.String("reason", string(reason)), slog.String("why", message))
	}
}

// release lets data flow again.
func (l *link) release() {
	l.gate.mu.Lock()
	was := l.gate.released
	l.gate.reason, l.gate.message, l.gate.released = "", "", nil
	l.gate.mu.Unlock()
	if was != nil {
		close(was)
		l.log.Info("Replicated over a link again")
		l.repairer.wake()
	}
}

// held reports whether the link is stopped, and why.
func (l *link) held() (nodestatus.Reason, string, bool) {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	return l.gate.reason, l.gate.message, l.gate.released != nil
}

// unlessHeld drops what comes while the link is stopped: requests and answers
// that nobody gets are made again.
func (l *link) unlessHeld(deliver func(context.Context, Delivery)) func(context.Context, Delivery) {
	return func(ctx context.Context, d Delivery) {
		if _, _, held := l.held(); !held {
			deliver(ctx, d)
			return
		}
		if d.Ack != nil {
			_ = d.Ack(ctx) // an acknowledgement that fails only brings it again
		}
	}
}

// waitReleased waits until the link is not stopped, or ctx ends.
func (l *link) waitReleased(ctx context.Context) error {
	for {
		l.gate.mu.Lock()
		released := l.gate.released
		l.gate.mu.Unlock()
		if released == nil {
			return nil
		}
		select {
		case <-released:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
