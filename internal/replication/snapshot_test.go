package replication

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication/snapshotfile"
)

// heavy writes changesets whose text does not compress.
func (n *testNode) heavy(count, size int) {
	n.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(count), uint64(size)))
	for range count {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte('a' + rng.IntN(26))
		}
		if _, err := n.store.write(string(text)); err != nil {
			n.t.Fatalf("node %s: %v", n.store.me, err)
		}
	}
}

// dir gives the node a place for snapshots that outlives its restarts.
func withDir(t *testing.T, n *testNode) *testNode {
	n.o.SnapshotDir = filepath.Join(t.TempDir(), "snapshots")
	return n
}

// trimmedPair is two nodes whose logs no longer have the first of what they hold.
func trimmedPair(t *testing.T, b *fakeBroker, size int) (x, y *testNode) {
	t.Helper()
	x, y = withDir(t, newTestNode(t, b, "0A", Options{Seed: 1})), withDir(t, newTestNode(t, b, "0B", Options{Seed: 2}))
	startAll(x, y)
	eventually(t, time.Minute, "ready", func() bool { return x.ready() && y.ready() })
	x.heavy(60, size)
	y.write(40)
	eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
	for _, n := range []*testNode{x, y} {
		n.store.setFloor(branch.Revision{{Branch: "0A", Seq: 50}, {Branch: "0B", Seq: 30}})
	}
	return x, y
}

// data counts the chunks of snapshots that are sent to a node from now on.
func data(b *fakeBroker, to branch.ID) *atomic.Int64 {
	var n atomic.Int64
	b.set(func(b *fakeBroker) {
		b.filter = func(d Destination, m Message) bool {
			if d.Name != "CH.sync."+string(to) {
				return false
			}
			s, err := DecodeSync(m.Body)
			if err != nil || s.SnapshotChunk == nil || s.SnapshotChunk.Verdict != SnapshotData {
				return false
			}
			n.Add(1)
			return false
		}
	})
	return &n
}

// leftovers lists the files in a node's directory of snapshots.
func leftovers(t *testing.T, n *testNode) (out []string) {
	t.Helper()
	list, err := os.ReadDir(n.o.SnapshotDir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func TestNewNodeBelowEveryLogGetsASnapshotAndThenWhatCameSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 40_000)
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3})).start()
		eventually(t, time.Minute, "ready", z.ready)
		if !converged(x, y, z) || !z.store.Bootstrapped() {
			t.Errorf("ready, but not level:%s", describe(x, y, z))
		}
		if _, installed := z.store.counts(); installed != 1 {
			t.Errorf("%d snapshots were installed", installed)
		}
		if err := z.store.check(); err != nil {
			t.Error(err)
		}
		z.write(3)
		x.write(3)
		eventually(t, time.Minute, "goes on", func() bool { return converged(x, y, z) })
		if left := leftovers(t, z); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		stopAll(x, y, z)
	})
}

func TestSnapshotIsFetchedThoughManyOfItsChunksAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 60_000)
		b.set(func(b *fakeBroker) { b.lose, b.repeat, b.shuffle = 0.2, 0.2, 0.2 })
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3})).start()
		eventually(t, 10*time.Minute, "level", func() bool { return converged(x, y, z) })
		if _, installed := z.store.counts(); installed != 1 {
			t.Errorf("%d snapshots were installed", installed)
		}
		stopAll(x, y, z)
	})
}

// TestAnswersThatComeTwiceDoNotMakeAStorm proves that a stray answer is not
// answered with a further question: each question would make the answer to the
// one before it a stray one, for ever.
func TestAnswersThatComeTwiceDoNotMakeAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 60_000)
		b.set(func(b *fakeBroker) { b.repeat, b.sent = 1, map[string]int{} })
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3})).start()
		time.Sleep(30 * time.Second)
		if !converged(x, y, z) {
			t.Errorf("not level:%s", describe(x, y, z))
		}
		b.set(func(b *fakeBroker) {
			if asked := b.sent["CH.sync.0A"] + b.sent["CH.sync.0B"]; asked > 60 {
				t.Errorf("asked %d times for a snapshot of about 20 chunks", asked)
			}
		})
		stopAll(x, y, z)
	})
}

// interrupted fetches a snapshot of about 64 chunks, does something once 40 are
// there, and returns how many were sent in all.
func interrupted(t *testing.T, o Options, act func(b *fakeBroker, donors []*testNode, z *testNode)) int {
	b := newFakeBroker(1)
	x, y := trimmedPair(t, b, 200_000)
	z := withDir(t, newTestNode(t, b, "0C", o))
	b.set(func(b *fakeBroker) { b.delay = 100 * time.Millisecond })
	n := data(b, "0C")
	z.start()
	eventually(t, time.Minute, "40 chunks fetched", func() bool {
		return testutil.ToFloat64(z.repl.metrics.snapshotBytes.WithLabelValues("main", "received")) >= 40*snapshotChunk
	})
	act(b, []*testNode{x, y}, z)
	eventually(t, 10*time.Minute, "level", func() bool { return converged(x, y, z) })
	if _, installed := z.store.counts(); installed != 1 {
		t.Errorf("%d snapshots were installed", installed)
	}
	stopAll(x, y, z)
	return int(n.Load())
}

func TestFetchingGoesOnWhereItWasAfterTheLinkWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := interrupted(t, Options{Seed: 3}, func(b *fakeBroker, _ []*testNode, _ *testNode) {
			b.partition("0C", true)
			time.Sleep(20 * time.Second)
			b.partition("0C", false)
		})
		if sent > 100 {
			t.Errorf("%d chunks were sent of a snapshot of about 64: it began anew", sent)
		}
	})
}

func TestFetchingGoesOnWhereItWasAfterTheNodeCrashed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := interrupted(t, Options{Seed: 3}, func(_ *fakeBroker, _ []*testNode, z *testNode) {
			time.Sleep(500 * time.Millisecond)
			z.crash()
			z.start()
		})
		if sent > 100 {
			t.Errorf("%d chunks were sent of a snapshot of about 64: it began anew", sent)
		}
	})
}

func TestFetchingBeginsAnewAtAnotherDonorWhenTheFirstIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupted(t, Options{Seed: 3}, func(_ *fakeBroker, donors []*testNode, _ *testNode) {
			first := donors[0]
			if n, _ := first.store.counts(); n == 0 {
				first = donors[1]
			}
			first.crash()
			time.Sleep(5 * time.Minute)
			first.start()
		})
	})
}

func TestFetchingBeginsAnewWhenTheDonorWasRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupted(t, Options{Seed: 3}, func(_ *fakeBroker, donors []*testNode, _ *testNode) {
			for _, d := range donors {
				d.crash()
				d.start()
			}
		})
	})
}

func TestOneSnapshotServesSeveralReceiversAndIsRemovedWhenNobodyWantsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 40_000)
		y.stop() // one donor only
		var all []*testNode
		for i, id := range []branch.ID{"0C", "0D", "0E"} {
			all = append(all, withDir(t, newTestNode(t, b, id, Options{Seed: uint64(i) + 3})).start())
		}
		eventually(t, 5*time.Minute, "level", func() bool { return converged(append(all, x)...) })
		if n, _ := x.store.counts(); n != 1 {
			t.Errorf("%d snapshots were made for three", n)
		}
		if left := leftovers(t, x); len(left) != 1 {
			t.Errorf("the donor keeps %v", left)
		}
		time.Sleep(15 * time.Minute)
		if left := leftovers(t, x); len(left) != 0 {
			t.Errorf("after a quarter of an hour the donor still keeps %v", left)
		}
		stopAll(append(all, x)...)
	})
}

func TestDonorWithoutRoomSaysSoAndAnotherIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 1000)
		full := snapshotfile.Disk{Free: func(string) (int64, error) { return 1000, nil }}
		x.stop()
		x.o.SnapshotDisk = full
		x.start()
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3})).start()
		eventually(t, 5*time.Minute, "level", func() bool { return converged(x, y, z) })
		if n, _ := x.store.counts(); n != 0 {
			t.Error("a snapshot was written to a full disk")
		}
		stopAll(x, y, z)
	})
}

func TestReceiverWithoutRoomSaysSoAndFetchesOnceThereIsSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 1000)
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3}))
		var free atomic.Int64
		z.o.SnapshotDisk.Free = func(string) (int64, error) { return free.Load(), nil }
		z.start()
		eventually(t, time.Minute, "says so", func() bool { return strings.Contains(z.status().Message, "needs") })
		if s := z.status(); s.Ready || !strings.Contains(s.Message, "bytes of disk, 0 are free") {
			t.Errorf("status %s %q", s.Reason, s.Message)
		}
		free.Store(1 << 40)
		eventually(t, time.Minute, "level", func() bool { return converged(x, y, z) })
		stopAll(x, y, z)
	})
}

func TestSnapshotThatCannotBeReadIsThrownAwayAndAnotherDonorAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 1000)
		for _, n := range []*testNode{x, y} { // whoever is asked first
			n.store.spoil = func(text []byte) []byte {
				other := y
				if n == y {
					other = x
				}
				other.store.mu.Lock()
				defer other.store.mu.Unlock()
				if other.store.snapshots > 0 {
					return text
				}
				return text[:len(text)/2]
			}
		}
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3})).start()
		eventually(t, 5*time.Minute, "level", func() bool { return converged(x, y, z) })
		stopAll(x, y, z)
	})
}

func TestReturningNodeBelowTheFloorKeepsAndPublishesWhatItNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := withDir(t, newTestNode(t, b, "0A", Options{Seed: 1})), withDir(t, newTestNode(t, b, "0B", Options{Seed: 2}))
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3}))
		startAll(x, y, z)
		eventually(t, time.Minute, "ready", func() bool { return x.ready() && y.ready() && z.ready() })
		z.write(5)
		eventually(t, time.Minute, "level", func() bool { return converged(x, y, z) })
		b.partition("0C", true)
		z.write(7) // nobody hears of these
		x.write(50)
		y.write(10)
		eventually(t, time.Minute, "level without it", func() bool { return converged(x, y) })
		b.crash(true) // the broker forgets what it kept for it
		b.up()
		for _, n := range []*testNode{x, y} {
			n.store.setFloor(n.store.Revision())
		}
		b.partition("0C", false)
		eventually(t, 5*time.Minute, "level", func() bool { return converged(x, y, z) })
		if got := x.store.Revision(); got.At("0C") != 12 {
			t.Errorf("%s: what 0C wrote while it was away is lost", got)
		}
		if _, installed := z.store.counts(); installed != 1 {
			t.Errorf("%d snapshots were installed", installed)
		}
		if s := z.status(); !s.Writable {
			t.Errorf("refuses writes: %s", s.WritesRefused)
		}
		z.write(1)
		eventually(t, time.Minute, "goes on", func() bool { return converged(x, y, z) })
		stopAll(x, y, z)
	})
}

func TestLostVolumeThatComesBackBySnapshotDoesNotWriteOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := withDir(t, newTestNode(t, b, "0A", Options{Seed: 1})), withDir(t, newTestNode(t, b, "0B", Options{Seed: 2}))
		startAll(x, y)
		eventually(t, time.Minute, "ready", func() bool { return x.ready() && y.ready() })
		y.write(20)
		eventually(t, time.Minute, "level", func() bool { return converged(x, y) })
		y.crash()
		x.store.setFloor(x.store.Revision())
		y.store = newFakeStore("0B")
		y.start()
		eventually(t, 5*time.Minute, "fetched", func() bool { return y.store.Revision().At("0B") == 20 })
		time.Sleep(time.Minute)
		if s := y.status(); s.Writable || s.Reason != "BranchAhead" {
			t.Errorf("%s, writable %v: what the volume wrote last may be lost", s.Reason, s.Writable)
		}
		y.stop()
		y.start()
		time.Sleep(time.Minute)
		if s := y.status(); s.Writable || s.Reason != "BranchAhead" {
			t.Errorf("after a restart %s, writable %v", s.Reason, s.Writable)
		}
		if err := y.repl.AcceptBranch(t.Context()); err != nil {
			t.Fatal(err)
		}
		y.write(1)
		if got := y.store.Revision().At("0B"); got != 21 {
			t.Errorf("the next dot is %d", got)
		}
		stopAll(x, y)
	})
}

func TestEmptyStoreTakesASnapshotWhenThatIsCheaperThanTheLog(t *testing.T) {
	for lag, want := range map[int]int{20: 1, 5000: 0} {
		t.Run(fmt.Sprint(lag), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBroker(1)
				x := withDir(t, newTestNode(t, b, "0A", Options{Seed: 1})).start()
				eventually(t, time.Minute, "ready", x.ready)
				x.write(100)
				eventually(t, time.Minute, "sent", func() bool { n, _ := x.store.Outbox("main"); return n == 0 })
				time.Sleep(time.Second)
				z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3, SnapshotLag: lag})).start()
				time.Sleep(time.Minute)
				if !converged(x, z) {
					t.Errorf("not level:%s", describe(x, z))
				}
				if _, installed := z.store.counts(); installed != want {
					t.Errorf("%d snapshots were installed, want %d", installed, want)
				}
				stopAll(x, z)
			})
		})
	}
}

func TestNodeThatTakesNoSnapshotsSaysThatItNeedsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := trimmedPair(t, b, 100)
		z := newTestNode(t, b, "0C", Options{Seed: 3}).start()
		time.Sleep(time.Minute)
		if s := z.status(); s.Ready || !strings.Contains(s.Message, "a snapshot is needed") {
			t.Errorf("status %s %q", s.Reason, s.Message)
		}
		stopAll(x, y, z)
	})
}
