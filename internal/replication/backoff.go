package replication

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// backoff doubles the wait after each failure, with jitter over its upper half.
type backoff struct {
	min, max, next time.Duration
	rng            *jitter
}

func newBackoff(o Options) *backoff {
	return &backoff{min: o.BackoffMin, max: o.BackoffMax, next: o.BackoffMin, rng: newJitter(o.Seed)}
}

func (b *backoff) reset() { b.next = b.min }

// sleep waits, and reports whether ctx has not ended.
func (b *backoff) sleep(ctx context.Context) bool {
	wait := b.next/2 + b.rng.below(b.next/2+1)
	b.next = min(2*b.next, b.max)
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter is a source of chance for several goroutines.
type jitter struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newJitter(seed uint64) *jitter { return &jitter{rng: rand.New(rand.NewPCG(seed, 0x5e5b))} }

// below returns a duration in [0, d).
func (j *jitter) below(d time.Duration) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Duration(j.rng.Int64N(int64(max(d, 1))))
}

// uint64 returns any number.
func (j *jitter) uint64() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rng.Uint64()
}

// with lends the source for one use.
func (j *jitter) with(use func(*rand.Rand)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	use(j.rng)
}
