package subscriptions

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/internal/branch"
)

// maxAttempts is how many subscriptions are being dropped at the same time.
const maxAttempts = 8

// Key names a subscription that is to be dropped for a cluster.
type Key struct {
	Cluster types.NamespacedName
	Broker  string
	Branch  branch.ID
	Link    string
	Channel string
}

// Outcome is how the last attempt to drop a subscription ended.
type Outcome struct {
	// Err is nil when it is dropped.
	Err error
	// Ended is when.
	Ended time.Time
}

// Background drops subscriptions in goroutines of its own: a broker that is away
// never holds up anything else.
type Background struct {
	dropper Dropper
	changed func(context.Context, types.NamespacedName)
	slots   chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	ctx  context.Context // of Start; nil before
	jobs map[Key]*job
}

type job struct {
	under   bool
	ended   bool
	outcome Outcome
}

// NewBackground returns a Background that calls changed with the cluster of each
// attempt that has ended.
func NewBackground(dropper Dropper, changed func(context.Context, types.NamespacedName)) *Background {
	return &Background{dropper: dropper, changed: changed, slots: make(chan struct{}, maxAttempts), jobs: map[Key]*job{}}
}

// Start lets attempts be made until ctx ends, and returns when none is under way.
func (b *Background) Start(ctx context.Context) error {
	b.mu.Lock()
	b.ctx = ctx
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	b.ctx = nil
	b.mu.Unlock()
	b.running.Wait()
	return nil
}

// Drop returns how the last attempt ended, and whether one has. Unless it was a
// success, or is younger than pause, or one is under way, another is begun.
func (b *Background) Drop(key Key, s Subscription, pause time.Duration) (Outcome, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[key]
	if j == nil {
		j = &job{}
		b.jobs[key] = j
	}
	done := j.ended && j.outcome.Err == nil
	if b.ctx != nil && !j.under && !done && (!j.ended || time.Since(j.outcome.Ended) >= pause) {
		j.under = true
		ctx := b.ctx
		b.running.Go(func() { b.attempt(ctx, key, j, s) })
	}
	return j.outcome, j.ended
}

// Forget drops what is remembered of a subscription.
func (b *Background) Forget(key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.jobs, key)
}

func (b *Background) attempt(ctx context.Context, key Key, j *job, s Subscription) {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	err := b.dropper.Drop(ctx, s)
	<-b.slots
	if ctx.Err() != nil {
		return
	}
	b.mu.Lock()
	j.under, j.ended, j.outcome = false, true, Outcome{Err: err, Ended: time.Now()}
	b.mu.Unlock()
	b.changed(ctx, key.Cluster)
}
