package replication

import (
	"testing"
	"testing/synctest"
	"time"
)

// losePart loses one part of the first tries bodies that have at least so many,
// or, with part 0, as many parts as they come, and counts what the answers weigh.
type losePart struct {
	part, atLeast, tries int
	// lost counts the losses, bytes is what was sent to the peers.
	lost, bytes int
}

func (l *losePart) filter(_ Destination, m Message) bool {
	s, err := DecodeSync(m.Body)
	if err != nil || s.Chunk == nil {
		return false
	}
	l.bytes += len(m.Body)
	if (l.part == 0 || s.Chunk.Part == l.part) && s.Chunk.Parts >= l.atLeast && l.lost < l.tries {
		l.lost++
		return true
	}
	return false
}

// TestLookingAtWhatWaitsCostsNothing proves it of the fake store, which tests
// look at two hundred times in a virtual second: the one large changeset waits
// for the other, of which parts are lost again and again.
func TestLookingAtWhatWaitsCostsNothing(t *testing.T) {
	for name, lose := range map[string]*losePart{
		"one part of three answers": {part: 3, atLeast: 8, tries: 3},
		"five answers":              {atLeast: 8, tries: 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { lookAtWhatWaits(t, lose) })
		})
	}
}

func lookAtWhatWaits(t *testing.T, lose *losePart) {
	b := newFakeBroker(1)
	x := newTestNode(t, b, "0A", Options{Seed: 1}).start()
	eventually(t, time.Minute, "ready", x.ready)
	for _, size := range []int{10, 5 << 20, 10, 3 << 20, 10} {
		if _, err := x.store.write(noise(size)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "published", func() bool { n, _ := x.store.Outbox("main"); return n == 0 })
	b.set(func(b *fakeBroker) { b.filter = lose.filter })
	y := newTestNode(t, b, "0B", Options{Seed: 2}).start()
	eventually(t, 5*time.Minute, "something waits", func() bool { _, n := y.store.count(); return n > 0 })
	before := y.store.decoded()
	for range 1000 {
		y.store.Pending()
		y.store.Beyond()
	}
	if n := y.store.decoded() - before; n > 0 {
		t.Errorf("1000 looks decoded %d bodies", n)
	}
	start := time.Now()
	eventually(t, 30*time.Minute, "level", func() bool { return converged(x, y) })
	t.Logf("level after another %v", time.Since(start))
	if n := y.store.decoded(); n > 10 || lose.lost != lose.tries {
		t.Errorf("%d bodies were decoded for five changesets, after %d losses", n, lose.lost)
	}
	stopAll(x, y)
}
