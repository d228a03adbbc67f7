package replication

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// promptDelay bounds the random delay of the answer to a hello, promptGap is
	// the least time between two such answers.
	promptDelay = 300 * time.Millisecond
	promptGap   = time.Second
	// beaconCrowd is how many peers may beacon at the full rate; with more, the
	// interval grows in proportion. promptCrowd is about how many peers answer
	// one hello.
	beaconCrowd = 100
	promptCrowd = 32
	// beaconTimeout bounds the handing over of a beacon.
	beaconTimeout = 5 * time.Second
)

// beaconer tells the others what this node has, and hears them.
type beaconer struct {
	l     *link
	count uint64
	// prompt asks for a beacon soon, hello that it is a hello.
	prompt chan struct{}
	hello  atomic.Bool
}

func newBeaconer(l *link) *beaconer { return &beaconer{l: l, prompt: make(chan struct{}, 1)} }

// run sends beacons while the link is up, until ctx ends.
func (b *beaconer) run(ctx context.Context) {
	for {
		up, cancel, err := b.l.waitUp(ctx)
		if err != nil {
			return
		}
		b.send(up, true)
		b.beat(up)
		cancel()
	}
}

// beat sends a beacon at each interval and soon after each hello heard.
func (b *beaconer) beat(ctx context.Context) {
	last := time.Now()
	timer := time.NewTimer(b.interval())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-b.prompt:
			soonest := max(promptGap-time.Since(last), 0)
			if !sleep(ctx, soonest+b.l.chance.below(promptDelay)) {
				return
			}
		case <-ctx.Done():
			return
		}
		b.send(ctx, b.hello.Swap(false))
		last = time.Now()
		timer.Reset(b.interval())
	}
}

// every is the interval: the configured one, longer in a crowd.
func (b *beaconer) every() time.Duration {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	crowd := max(b.l.peers.alive(time.Now()), beaconCrowd)
	return b.l.o.BeaconInterval * time.Duration(crowd) / beaconCrowd
}

// interval is every with a fifth of jitter either way.
func (b *beaconer) interval() time.Duration {
	every := b.every()
	return every - every/5 + b.l.chance.below(2*every/5)
}

// soon asks for a beacon soon; hello asks the others to answer it.
func (b *beaconer) soon(hello bool) {
	if hello {
		b.hello.Store(true)
	}
	select {
	case b.prompt <- struct{}{}:
	default:
	}
}

func (b *beaconer) send(ctx context.Context, hello bool) {
	b.count++
	err := b.publish(ctx, b.compose(hello))
	if err != nil {
		if ctx.Err() == nil {
			b.l.noteError(err)
			b.l.log.Warn("Could not send a beacon", slog.Any("error", err))
		}
		return
	}
	b.l.metrics.beacons.WithLabelValues(b.l.cfg.Name, "sent").Inc()
}

func (b *beaconer) publish(ctx context.Context, beacon Beacon) error {
	body, err := EncodeBeacon(beacon)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, beaconTimeout)
	defer cancel()
	_, err = b.l.cfg.Transport.Publish(ctx, b.l.beaconTopic(), Message{
		From: b.l.store.Branch(), ContentType: BeaconContentType, TTL: messageTTL, Body: body,
	})
	if err != nil {
		return fmt.Errorf("sending a beacon: %w", err)
	}
	return nil
}

func (b *beaconer) compose(hello bool) Beacon {
	s := b.l.store
	revision, digest := s.Snapshot()
	pending, missing := s.Pending()
	return Beacon{
		Branch: s.Branch(), Incarnation: s.Incarnation(), Session: b.l.r.session, Count: b.count,
		Hello: hello, Every: b.every(), Revision: revision, Digest: digest.String(),
		Pending: uint64(pending), Missing: missing, Floor: floorOf(s),
	}
}

// deliver takes a beacon from the broker.
func (b *beaconer) deliver(ctx context.Context, d Delivery) {
	if d.Ack != nil {
		defer func() {
			if err := d.Ack(ctx); err != nil {
				b.l.log.Debug("Could not acknowledge a beacon", slog.Any("error", err))
			}
		}()
	}
	if d.ContentType != BeaconContentType {
		b.l.quarantined(Evidence{From: d.From, Error: fmt.Sprintf("content type %.100q is not %q", d.ContentType, BeaconContentType)}, d.Body)
		return
	}
	beacon, err := DecodeBeacon(d.Body)
	if err != nil {
		b.l.quarantined(Evidence{From: d.From, Error: err.Error()}, d.Body)
		return
	}
	if beacon.Session == b.l.r.session {
		return
	}
	b.l.metrics.beacons.WithLabelValues(b.l.cfg.Name, "heard").Inc()
	if beacon.Branch == b.l.store.Branch() {
		// If it lives, it answers a hello, and that makes it certain.
		if unsure := b.l.r.heardOwn(beacon); unsure || beacon.Hello {
			b.soon(unsure)
		}
		return
	}
	b.heard(beacon)
}

func (b *beaconer) heard(beacon Beacon) {
	now := time.Now()
	b.l.mu.Lock()
	p, fresh := b.l.peers.heard(now, beacon)
	crowd := b.l.peers.alive(now)
	b.l.mu.Unlock()
	if beacon.Hello && b.elected(crowd) {
		b.soon(false)
	}
	if fresh {
		b.l.log.Info("Heard a peer", slog.String("peer", string(beacon.Branch)), slog.String("incarnation", beacon.Incarnation))
	}
	b.compare(p, beacon)
	b.l.r.claim(beacon.Revision.At(b.l.store.Branch()))
	b.l.repairer.wake()
}

// elected decides whether this node answers a hello: about promptCrowd of all.
func (b *beaconer) elected(crowd int) (yes bool) {
	b.l.chance.with(func(rng *rand.Rand) { yes = crowd <= promptCrowd || rng.IntN(crowd) < promptCrowd })
	return yes
}

// compare looks for divergence: the same revision with another digest.
func (b *beaconer) compare(p *peer, beacon Beacon) {
	revision, state := b.l.store.Snapshot()
	if beacon.Digest == "" || !revision.Equal(beacon.Revision) {
		return
	}
	digest := state.String()
	diverged := digest != beacon.Digest
	b.l.mu.Lock()
	was := p.diverged
	p.diverged = diverged
	b.l.mu.Unlock()
	if diverged && !was {
		b.l.metrics.diverged.WithLabelValues(b.l.cfg.Name).Inc()
		b.l.log.Error("A peer has the same revision and another state: the two have diverged",
			slog.String("peer", string(beacon.Branch)), slog.String("revision", revision.String()),
			slog.String("digest", digest), slog.String("peerDigest", beacon.Digest))
	}
}
