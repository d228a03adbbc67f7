package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// messageTTL is how long the broker may keep beacons, requests and answers. It
// must exceed the error of two clocks; whether a message is stale is decided by
// its session and number, not by time.
const messageTTL = 90 * time.Minute

// link replicates the store over one channel of one broker.
type link struct {
	r       *Replicator
	cfg     LinkConfig
	o       Options
	store   Store
	log     *slog.Logger
	metrics *metrics
	chance  *jitter

	sender   *sender
	receiver *receiver
	beaconer *beaconer
	repairer *repairer
	answerer *answerer
	// snapshots gives peers snapshots, fetcher gets one, drill compares digests.
	snapshots *snapshotServer
	fetcher   *fetcher
	drill     *drill

	gate    gate
	origins origins

	mu sync.Mutex
	// up lives while the link is up; down ends it, and came is closed when the
	// next up exists.
	up   context.Context
	down context.CancelCauseFunc
	came chan struct{}

	state State
	// server is what the broker called itself when it last said so.
	server     string
	since      time.Time
	reconnects int64
	everUp     bool
	lastErr    error
	storageErr error

	peers   peers
	gaps    gaps
	catchup catchup
	// once is true when the link was caught up since the start.
	once bool
}

func newLink(r *Replicator, cfg LinkConfig) *link {
	if cfg.Wire == nil {
		cfg.Wire = PackedWire{}
	}
	cfg = forOrdered(cfg)
	l := &link{
		r: r, cfg: cfg, o: r.o, store: r.store, metrics: r.metrics,
		log:    r.o.Logger.With(slog.String("link", cfg.Name), slog.String("channel", cfg.Channel)),
		chance: newJitter(r.o.Seed), came: make(chan struct{}),
		gaps:    gaps{own: r.store.Branch()},
		catchup: catchup{window: r.o.DiscoveryWindow, patience: r.o.LagPatience},
	}
	l.sender, l.receiver = newSender(l), newReceiver(l)
	l.beaconer, l.repairer, l.answerer = newBeaconer(l), newRepairer(l), newAnswerer(l)
	l.snapshots, l.fetcher, l.drill = newSnapshotServer(l), newFetcher(l), newDrill(l)
	return l
}

func (l *link) dataTopic() Destination   { return Destination{Topic, l.cfg.Channel} }
func (l *link) beaconTopic() Destination { return Destination{Topic, l.cfg.Channel + ".beacon"} }

// syncQueue is where requests and answers for a node are sent.
func (l *link) syncQueue(to fmt.Stringer) Destination {
	return Destination{Queue, l.cfg.Channel + ".sync." + to.String()}
}

// run keeps the link going until ctx ends, or its transport cannot go on.
func (l *link) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){
		l.sender.run, l.receiver.run, l.beaconer.run, l.repairer.run, l.answerer.run,
		l.snapshots.run, l.fetcher.run, l.drill.run,
	} {
		parts.Go(func() { part(ctx) })
	}
	err := l.cfg.Transport.Run(ctx, l.subscriptions(ctx), l.observe)
	if err == nil && ctx.Err() == nil {
		err = errors.New("the transport ended by itself")
	}
	cancel(err)
	parts.Wait()
	if err != nil {
		return fmt.Errorf("running link %s: %w", l.cfg.Name, err)
	}
	return nil
}

// subscriptions are what the link listens to. Beacons come unfiltered: one with
// our own branch id from another process is what must not be missed. They are
// acknowledged though nobody needs that: ActiveMQ takes its own automatic
// acknowledgements for signs of life, and a node that died without a good-bye
// would keep its client id as long as its peers send beacons.
func (l *link) subscriptions(ctx context.Context) []Subscription {
	me := l.store.Branch()
	during := func(deliver func(context.Context, Delivery)) func(context.Context, Delivery) {
		return func(delivery context.Context, d Delivery) {
			delivery, cancel := context.WithCancel(delivery)
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			if d.Problem != nil {
				l.unreadable(delivery, d)
				return
			}
			deliver(delivery, d)
		}
	}
	return []Subscription{
		{
			Destination: l.dataTopic(), Durable: string(me) + "-" + l.cfg.Channel, Except: me,
			Deliver: during(l.receiver.deliver),
		},
		{Destination: l.beaconTopic(), Deliver: during(l.telling(l.beaconer.deliver))},
		{Destination: l.syncQueue(id(me)), Deliver: during(l.unlessHeld(l.repairer.deliver))},
	}
}

// unreadable puts a message that the transport could not read whole into quarantine.
func (l *link) unreadable(ctx context.Context, d Delivery) {
	l.quarantined(Evidence{From: d.From, Error: d.Problem.Error()}, d.Body)
	if d.Ack == nil {
		return
	}
	if err := d.Ack(ctx); err != nil {
		l.log.Debug("Could not acknowledge an unreadable message; it will come again", slog.Any("error", err))
	}
}

// observe takes each change of the transport's state.
func (l *link) observe(s State) {
	if l.observed(s) {
		l.r.limitWrites()
	}
	l.repairer.wake()
}

// observed reports whether the broker is another than before.
func (l *link) observed(s State) (other bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.state
	l.state = s
	if s.Server != "" {
		other, l.server = s.Server != l.server, s.Server
	}
	if s.Err != nil {
		l.lastErr = s.Err
	}
	switch {
	case s.Up() && !was.Up():
		l.nowUp()
	case !s.Up() && was.Up():
		l.nowDown(s.Err)
	}
	return other
}

func (l *link) nowUp() {
	now := time.Now()
	l.since = now
	if l.everUp {
		l.reconnects++
		l.metrics.reconnects.WithLabelValues(l.cfg.Name).Inc()
	}
	l.everUp, l.lastErr = true, nil
	l.up, l.down = context.WithCancelCause(context.Background())
	close(l.came)
	l.catchup.up(now)
	l.log.Info("Connected and subscribed", slog.String("address", l.state.Address), slog.String("server", l.state.Server))
}

func (l *link) nowDown(err error) {
	if err == nil {
		err = errors.New("the connection to the broker was lost")
	}
	l.down(err)
	l.came = make(chan struct{})
	l.catchup.down()
	l.log.Warn("Lost the broker; local writes go on", slog.Any("error", err))
}

// waitUp waits until the link is up and returns a context that ends with ctx,
// when the link goes down, or when cancel is called, which the caller must do.
func (l *link) waitUp(ctx context.Context) (up context.Context, cancel func(), err error) {
	for {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		l.mu.Lock()
		up, came := l.up, l.came
		l.mu.Unlock()
		if up != nil && up.Err() == nil {
			up, cancel := both(ctx, up)
			return up, cancel, nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// both returns a context with the values of parent that ends when either ends
// or when cancel is called.
func both(parent, other context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (l *link) noteError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastErr = err
}

// storageFailed records that the store does not take changesets now, or, with
// nil, that it does. The first failure is logged.
func (l *link) storageFailed(err error) {
	l.mu.Lock()
	was := l.storageErr
	l.storageErr = err
	l.mu.Unlock()
	switch {
	case err != nil:
		l.metrics.storageErrors.WithLabelValues(l.cfg.Name).Inc()
		if was == nil {
			l.log.Error("Could not store changesets; receiving is paused and tried again", slog.Any("error", err))
		}
	case was != nil:
		l.log.Info("Stored changesets again after a failure")
	}
}

// vitals are the figures of the gauges.
func (l *link) vitals() (up float64, peers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Up() {
		up = 1
	}
	return up, l.peers.alive(time.Now())
}
