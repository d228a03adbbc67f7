package stomplink_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/stomp/broker"
)

// fill writes objects whose texts do not compress, so that a snapshot has
// several chunks.
func (n *node) fill(count, size int) {
	n.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(count), uint64(size)))
	for range count {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte('a' + rng.IntN(26))
		}
		if err := n.tryWriteText(string(text)); err != nil {
			n.t.Fatalf("node %s: %v", n.id, err)
		}
	}
}

// trimmed takes what all of them have off the logs of nodes, but for a last
// changeset each: what a node publishes moves its cursor over all before it at
// once.
func trimmed(t *testing.T, nodes ...*node) {
	t.Helper()
	have := nodes[0].store.Revision()
	for _, n := range nodes {
		n.write(1)
		mustConverge(t, nodes...)
	}
	for _, n := range nodes {
		eventually(t, 2*time.Minute, "the old log gone", func() bool {
			done, err := n.store.Trim(context.Background(), n.store.Revision(), time.Now().Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return !done.More && n.store.Floor().CoversAll(have)
		}, nodes...)
	}
}

func TestNewNodeIsBootstrappedBySnapshotThroughTheBroker(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		x, y := newNode(t, b, "0A").start(), newNode(t, b, "0B").start()
		eventually(t, time.Minute, "ready", func() bool { return ready(x, y) }, x, y)
		x.fill(40, 50_000)
		y.write(100)
		mustConverge(t, x, y)
		trimmed(t, x, y)
		z := newNode(t, b, "0C").start()
		mustConverge(t, x, y, z)
		if floor := z.store.Floor(); floor.At("0A") < 40 || floor.At("0B") < 100 {
			t.Errorf("floor %s: it did not come by snapshot", floor)
		}
		for _, n := range []*node{x, y, z} {
			n.write(20)
		}
		mustConverge(t, x, y, z)
		if left, err := os.ReadDir(z.dir + "/snapshots"); err != nil || len(left) > 0 {
			t.Errorf("left behind %v, %v", left, err)
		}
	})
}

func TestNodeBelowTheFloorComesBackWithAllItNeverSent(t *testing.T) {
	first := startEmbedded(t, broker.Options{})
	nodes := trio(t, first)
	x, y, z := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.write(20)
	}
	mustConverge(t, nodes...)
	z.stop()
	x.write(50)
	y.write(50)
	trimmed(t, x, y)
	first.kill()
	z.start()
	eventually(t, time.Minute, "takes writes without a broker", func() bool { return z.repl.Status().Writable }, z)
	z.write(30)
	z.stop()
	// The old broker, and with it all that it kept for 0C, is lost for good.
	second := startEmbedded(t, broker.Options{})
	x.stop()
	y.stop()
	for _, n := range nodes {
		n.options.Hosts = []string{second.Addr()}
		n.start()
	}
	mustConverge(t, nodes...)
	if got := x.store.Revision(); got.At("0C") != 50 {
		t.Errorf("%s: what 0C wrote alone is lost", got)
	}
	if floor := z.store.Floor(); floor.At("0A") < 70 {
		t.Errorf("floor %s: it did not come by snapshot", floor)
	}
	for _, n := range nodes {
		n.write(5)
	}
	mustConverge(t, nodes...)
}

func TestBrokerThatIsKilledWhileASnapshotTravelsDelaysItOnly(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		x := newNode(t, b, "0A").start()
		eventually(t, time.Minute, "ready", func() bool { return ready(x) }, x)
		x.fill(150, 60_000)
		eventually(t, time.Minute, "published", func() bool { n, _ := x.store.Outbox("main"); return n == 0 }, x)
		trimmed(t, x)
		z := newNode(t, b, "0C").start()
		eventually(t, time.Minute, "begun", func() bool { _, err := os.Stat(z.dir + "/snapshots/incoming.json"); return err == nil }, x, z)
		b.kill()
		time.Sleep(100 * time.Millisecond)
		b.back(t)
		mustConverge(t, x, z)
		if floor := z.store.Floor(); !floor.Covers(branch.Dot{Branch: "0A", Seq: 150}) {
			t.Errorf("floor %s", floor)
		}
	})
}
