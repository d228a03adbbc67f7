package replication

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"vesperdb.io/vesper/internal/branch"
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
	// awaitGap is the least time between two beacons that somebody waits for, and
	// awaitDelay bounds the random delay of one.
	awaitGap   = 20 * time.Millisecond
	awaitDelay = 2 * time.Millisecond
	// fullEvery is how often a beacon carries the whole revision at least, once
	// that has more than briefFrom components. Nothing is missed for longer.
	fullEvery = 6
	briefFrom = 16
	// beaconTimeout bounds the handing over of a beacon.
	beaconTimeout = 5 * time.Second
)

// beaconer tells the others what this node has, and hears them.
type beaconer struct {
	l     *link
	count uint64
	// prompt asks for a beacon soon, hello that it is a hello, and urgent for one
	// at once, which a writer waits for.
	prompt, urgent chan struct{}
	hello          atomic.Bool
	// awaited is the own sequence that a writer waits for peers to have, until a
	// beacon has carried it.
	awaited atomic.Uint64
	// full is the revision of the last beacon that carried all of it, fullCount
	// its number, fullFloor its floor.
	full, fullFloor branch.Revision
	fullCount       uint64
}

func newBeaconer(l *link) *beaconer {
	return &beaconer{l: l, prompt: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
}

// run sends beacons while the link is up, until ctx ends.
func (b *beaconer) run(ctx context.Context) {
	for {
		up, cancel, err := b.l.waitUp(ctx)
		if err != nil {
			return
		}
		b.send(up, true, true)
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
		var wait time.Duration
		whole := false
		select {
		case <-timer.C:
		case <-b.prompt:
			wait, whole = max(promptGap-time.Since(last), 0)+b.l.chance.below(promptDelay), true
		case <-b.urgent:
			wait = max(awaitGap-time.Since(last), 0) + b.l.chance.below(awaitDelay)
		case <-ctx.Done():
			return
		}
		if wait > 0 && !sleep(ctx, wait) {
			return
		}
		b.send(ctx, b.hello.Swap(false), whole)
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

// await asks the peers to say soon that they have the own changesets up to seq:
// with the next beacon, which goes out at once. A beacon may be lost, so whoever
// still waits asks again.
func (b *beaconer) await(seq uint64) {
	for was := b.awaited.Load(); was < seq && !b.awaited.CompareAndSwap(was, seq); was = b.awaited.Load() {
	}
	b.atOnce()
}

// atOnce asks for a beacon that somebody waits for.
func (b *beaconer) atOnce() {
	select {
	case b.urgent <- struct{}{}:
	default:
	}
}

// tell answers the peers that wait to hear that this node has what they wrote.
func (b *beaconer) tell(have branch.Revision) {
	b.l.mu.Lock()
	owing := b.l.peers.settleOwed(have)
	b.l.mu.Unlock()
	if owing {
		b.atOnce()
	}
}

func (b *beaconer) send(ctx context.Context, hello, whole bool) {
	b.count++
	err := b.publish(ctx, b.abridge(b.compose(hello), whole))
	if err != nil {
		b.fullCount = 0
		if ctx.Err() == nil {
			b.l.noteError(err)
			b.l.log.Warn("Could not send a beacon", slog.Any("error", err))
		}
		return
	}
	b.l.metrics.beacons.WithLabelValues(b.l.cfg.Name, "sent").Inc()
}

// abridge makes the beacon a brief one unless it must be whole: with a thousand
// branches a revision has nine kilobytes, of which little changes.
func (b *beaconer) abridge(beacon Beacon, whole bool) Beacon {
	changed := beacon.Revision.Since(b.full)
	if whole || beacon.Hello || b.fullCount == 0 || beacon.Count-b.fullCount >= fullEvery || len(beacon.Revision) <= briefFrom ||
		2*len(changed) > len(beacon.Revision) || !beacon.Floor.Equal(b.fullFloor) || !beacon.Revision.CoversAll(b.full) {
		b.full, b.fullFloor, b.fullCount = beacon.Revision, beacon.Floor, beacon.Count
		return beacon
	}
	beacon.Revision, beacon.Floor, beacon.Since = changed, nil, b.fullCount
	return beacon
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
		Hello: hello, Every: b.every(), Revision: revision, Digest: b.l.r.digests.text(digest),
		Pending: uint64(pending), Missing: missing, Beyond: s.Beyond(), Floor: floorOf(s),
		Await: b.awaited.Swap(0), Policy: b.l.o.Policy, Forks: b.l.r.forks(), Load: b.l.r.snapshotLoad(),
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
		b.l.quarantined(Evidence{From: d.From, Cause: CauseForeign, Error: (&foreignError{d.ContentType, BeaconContentType}).Error()}, d.Body)
		return
	}
	beacon, err := DecodeBeacon(d.Body)
	if err != nil {
		b.l.quarantined(Evidence{From: d.From, Cause: causeOf(err), Error: err.Error()}, d.Body)
		return
	}
	if beacon.Session == b.l.r.session {
		return
	}
	if own := b.l.store.Branch(); beacon.Branch.Width() != own.Width() {
		err := &strangerError{beacon.Branch, own}
		b.l.quarantined(Evidence{From: d.From, Cause: CauseUnknownBranch, Error: err.Error()}, d.Body)
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
	beacon.Revision, beacon.Digest = p.Revision, p.Digest // whole, if this one was brief
	crowd := b.l.peers.alive(now)
	b.l.mu.Unlock()
	b.tell(b.l.store.Revision())
	// First what it knows of our branch, then that it was heard: writes may be
	// taken as soon as all are heard that could know more.
	own := b.l.store.Branch()
	b.l.r.claim(max(beacon.Revision.At(own), beacon.Beyond.At(own)))
	b.l.r.memberHeard(now, beacon)
	if beacon.Hello && b.elected(crowd) {
		b.soon(false)
	}
	if fresh {
		b.l.log.Info("Heard a peer", slog.String("peer", string(beacon.Branch)), slog.String("incarnation", beacon.Incarnation))
	}
	b.compare(p, beacon)
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
	digest := b.l.r.digests.text(state)
	diverged := digest != beacon.Digest
	b.l.mu.Lock()
	was := p.diverged
	p.diverged = diverged
	b.l.mu.Unlock()
	if !diverged {
		b.l.drill.clear(beacon.Branch)
		return
	}
	b.l.drill.suspect(time.Now(), beacon.Branch, revision)
	if !was {
		b.l.metrics.diverged.WithLabelValues(b.l.cfg.Name).Inc()
		b.l.log.Error("A peer has the same revision and another state: the two have diverged",
			slog.String("peer", string(beacon.Branch)), slog.String("revision", revision.String()),
			slog.String("digest", digest), slog.String("peerDigest", beacon.Digest))
	}
}
