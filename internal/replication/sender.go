package replication

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/mutant"
)

// sender publishes what the store's feed holds beyond the durable cursor.
type sender struct {
	l *link

	mu sync.Mutex
	// next is the feed position up to which everything is handed to the broker,
	// confirmed the one up to which it is confirmed.
	next, confirmed uint64
	// empty counts the times that the feed had nothing beyond next.
	empty uint64
	// moved is closed and replaced when any of the above changes.
	moved chan struct{}
	// look makes the packer read the feed again.
	look chan struct{}
	// slots has an item for each flight that is not confirmed; new in each session.
	slots chan struct{}
	// turn is taken by a session, or by who pauses the sender, and interrupt ends
	// the session that has it.
	turn      chan struct{}
	interrupt context.CancelCauseFunc
}

func newSender(l *link) *sender {
	return &sender{l: l, moved: make(chan struct{}), look: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// flight is a stretch of the feed and the messages of it that the broker has
// not confirmed: mostly one, none where nothing is ours to publish.
type flight struct {
	upTo              uint64
	confirmations     []Confirmation
	changesets, bytes int
}

// run publishes while the link is up, until ctx ends. After any error it starts
// again from the durable cursor.
func (s *sender) run(ctx context.Context) {
	wait := newBackoff(s.l.o)
	for {
		up, cancel, err := s.l.waitUp(ctx)
		if err != nil {
			return
		}
		progress, err := s.session(up)
		lost := up.Err() != nil
		cancel()
		if progress {
			wait.reset()
		}
		if lost || isPaused(err) {
			continue // the link is down, or ctx has ended, or somebody needs the feed to stand still
		}
		s.l.noteError(fmt.Errorf("publishing: %w", err))
		s.l.log.Warn("Stopped publishing, trying again from the cursor", slog.Any("error", err))
		wait.sleep(ctx)
	}
}

// session publishes from the durable cursor until something fails. progress is
// true when the broker confirmed anything.
func (s *sender) session(ctx context.Context) (progress bool, err error) {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	cursor, err := s.l.store.Cursor(s.l.cfg.Name)
	if err != nil {
		return false, fmt.Errorf("reading the cursor: %w", err)
	}
	s.set(func() { s.next, s.confirmed = cursor, cursor })
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	flights := make(chan flight, s.l.o.Window) // slots bound it: sending never blocks
	s.slots = make(chan struct{}, s.l.window())
	if mutant.On("window-ignored") {
		flights, s.slots = make(chan flight, 1000), make(chan struct{}, 1000)
	}
	var confirmer sync.WaitGroup
	confirmer.Go(func() {
		if err := s.confirm(ctx, cursor, flights); err != nil {
			cancel(err)
		}
	})
	err = s.pack(ctx, cursor, flights)
	cancel(err)
	confirmer.Wait()
	_, confirmed := s.position()
	return confirmed > cursor, context.Cause(ctx)
}

func (s *sender) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *sender) position() (next, confirmed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next, s.confirmed
}

// pack reads the feed, packs and publishes. It returns only with an error.
func (s *sender) pack(ctx context.Context, next uint64, flights chan<- flight) error {
	for {
		changed := s.l.store.Changed()
		more, err := s.read(ctx, next)
		if err != nil {
			return err
		}
		if more.upTo == next {
			s.set(func() { s.empty++ })
			if err := s.waitForMore(ctx, changed); err != nil {
				return err
			}
			continue
		}
		if next, err = s.fly(ctx, next, more, flights); err != nil {
			return err
		}
	}
}

// fly publishes one message, once the window has room for it, and returns the
// position up to which everything is handed to the broker.
func (s *sender) fly(ctx context.Context, next uint64, more stretch, flights chan<- flight) (uint64, error) {
	if err := s.l.waitReleased(ctx); err != nil {
		return next, err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return next, context.Cause(ctx)
	}
	more, err := s.gather(ctx, next, more)
	if err != nil {
		return next, err
	}
	f, err := s.publish(ctx, more.cut(s.portion(more.entries)))
	if err != nil {
		return next, err
	}
	s.set(func() { s.next = f.upTo })
	flights <- f
	return f.upTo, nil
}

func (s *sender) waitForMore(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
	case <-s.look:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// lookAgain makes the packer read the feed though nothing was announced.
func (s *sender) lookAgain() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// gather waits a moment for more to pack when little is there and the broker is
// busy with what it got before. With nothing in flight it does not wait: a
// lone write goes out at once.
func (s *sender) gather(ctx context.Context, next uint64, more stretch) (stretch, error) {
	s.mu.Lock()
	idle, moved := s.next == s.confirmed, s.moved
	s.mu.Unlock()
	if idle || len(more.entries) == 0 || more.bytes() >= s.l.o.FlushBytes {
		return more, nil
	}
	timer := time.NewTimer(s.l.o.FlushDelay)
	defer timer.Stop()
	for !idle {
		select {
		case <-timer.C:
			idle = true
		case <-moved:
			s.mu.Lock()
			idle, moved = s.next == s.confirmed, s.moved
			s.mu.Unlock()
		case <-ctx.Done():
			return more, context.Cause(ctx)
		}
	}
	return s.read(ctx, next)
}

// confirm waits for the confirmations in order and moves the cursor over what
// is confirmed. When it ends, it leaves the cursor durable.
func (s *sender) confirm(ctx context.Context, durable uint64, flights <-chan flight) error {
	c := cursorKeeper{s: s, durable: durable, at: durable}
	defer c.flush(ctx)
	for {
		select {
		case f := <-flights:
			if err := s.await(ctx, f); err != nil {
				return err
			}
			c.at, c.published = f.upTo, c.published || len(f.confirmations) > 0
			if c.published && s.l.ordered() != nil {
				if err := c.save(ctx); err != nil {
					return err
				}
			}
			<-s.slots
			s.set(func() { s.confirmed = f.upTo })
		case <-c.due():
			if err := c.save(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *sender) await(ctx context.Context, f flight) error {
	if len(f.confirmations) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.l.o.ConfirmTimeout,
		fmt.Errorf("the broker did not confirm a message within %v", s.l.o.ConfirmTimeout))
	defer cancel()
	for _, c := range f.confirmations {
		if err := c.Wait(ctx); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("waiting for the broker to confirm %d changesets: %w", f.changesets, err)
		}
	}
	s.l.metrics.published.WithLabelValues(s.l.cfg.Name).Add(float64(f.changesets))
	s.l.metrics.publishedBytes.WithLabelValues(s.l.cfg.Name).Add(float64(f.bytes))
	return nil
}

// drain waits until everything the feed had when it was called is confirmed.
// The feed must be found empty twice: the first time may have begun before.
// Without anything of the own branch to send there is nothing to wait for, and
// least of all for a broker that is away.
func (s *sender) drain(ctx context.Context) error {
	if left, _ := s.l.store.Outbox(s.l.cfg.Name); left == 0 && !s.l.cfg.Relay {
		return nil
	}
	s.mu.Lock()
	enough := s.empty + 2
	s.mu.Unlock()
	for {
		s.mu.Lock()
		empty, done, moved := s.empty, s.next == s.confirmed, s.moved
		s.mu.Unlock()
		if empty >= enough && done {
			return nil
		}
		if empty < enough {
			s.lookAgain()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
