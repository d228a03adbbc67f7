package stomplink_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/stomplink"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
	"vesperdb.io/vesper/internal/store"
)

func TestThreeNodesReplicateWhatAnyOfThemWrites(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		for _, n := range nodes {
			n.write(50)
		}
		mustConverge(t, nodes...)
		s := nodes[0].repl.Status()
		if len(s.Peers) != 2 || s.Links[0].Server == "" || s.Links[0].Address != b.Addr() {
			t.Errorf("status %+v", s)
		}
	})
}

func TestBrokerKilledUnderWritesLosesNothing(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		var done atomic.Bool
		var writers sync.WaitGroup
		for _, n := range nodes {
			writers.Go(func() {
				for !done.Load() {
					if err := n.tryWrite(); err != nil {
						t.Errorf("a write was refused because of the broker: %v", err)
						return
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
		for range 2 {
			time.Sleep(700 * time.Millisecond)
			b.kill()
			time.Sleep(500 * time.Millisecond)
			b.back(t)
		}
		time.Sleep(500 * time.Millisecond)
		done.Store(true)
		writers.Wait()
		mustConverge(t, nodes...)
		if n := nodes[0].repl.Status().Links[0].Reconnects; n == 0 {
			t.Error("the link never noticed that the broker was gone")
		}
	})
}

func TestNodeThatWasDownGetsWhatOthersWroteAndSendsWhatItHad(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		nodes[0].write(10)
		mustConverge(t, nodes...)
		nodes[2].write(5)
		nodes[2].stop()
		nodes[0].write(100)
		nodes[1].write(100)
		nodes[2].start()
		mustConverge(t, nodes...)
	})
}

func TestFourthNodeGetsAllTheOldData(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		for _, n := range nodes {
			n.write(200)
		}
		mustConverge(t, nodes...)
		fourth := newNode(t, b, "0D").start()
		eventually(t, 60*time.Second, "ready", func() bool { return ready(fourth) }, fourth)
		if lost := fourth.lacks(nodes...); len(lost) > 0 {
			t.Errorf("ready without %d old objects", len(lost))
		}
		fourth.write(1)
		mustConverge(t, append(nodes, fourth)...)
	})
}

func TestMessagesLostByTheBrokerAreRepaired(t *testing.T) {
	b := startEmbedded(t, broker.Options{})
	nodes := trio(t, b)
	var lost atomic.Int64
	b.SetFaults(broker.Faults{Sent: func(_ string, f *frame.Frame) broker.Fault {
		if f.Command == frame.Message && f.Header.Get("destination") == "/topic/"+channelOf(t) {
			lost.Add(1)
			return broker.Fault{Drop: true}
		}
		return broker.Fault{}
	}})
	nodes[0].write(20)
	eventually(t, 10*time.Second, "messages lost", func() bool { return lost.Load() >= 2 })
	mustConverge(t, nodes...)
}

func TestBrokerThatForgetsEverythingIsSurvived(t *testing.T) {
	b := startEmbedded(t, broker.Options{})
	nodes := trio(t, b)
	nodes[2].stop()
	nodes[0].write(30)
	eventually(t, 10*time.Second, "published", func() bool { n, _ := nodes[0].store.Outbox("main"); return n == 0 })
	if err := b.Wipe(); err != nil {
		t.Fatal(err)
	}
	nodes[2].start()
	mustConverge(t, nodes...)
}

// forgetful is a store whose cursor of the link never becomes durable: as if
// the process was killed between a publication and its record, every time.
type forgetful struct{ *store.Store }

func (f forgetful) SetCursor(ctx context.Context, link string, pos uint64) error {
	if link == "main" {
		return errors.New("killed before the cursor was saved")
	}
	return f.Store.SetCursor(ctx, link, pos)
}

func TestNodeKilledBetweenPublicationAndCursorLosesNothingAndRepeatsHarmlessly(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		nodes[0].stop()
		nodes[0].wrap = func(s *store.Store) replication.Store { return forgetful{s} }
		nodes[0].start()
		eventually(t, 30*time.Second, "writable", func() bool { return nodes[0].repl.Status().Writable }, nodes...)
		nodes[0].write(20)
		eventually(t, 30*time.Second, "published", func() bool { return level(nodes...) }, nodes...)
		nodes[0].stop()
		nodes[0].wrap = nil
		nodes[0].start()
		if n, _ := nodes[0].store.Outbox("main"); n != 20 {
			t.Errorf("%d changesets in the outbox of a node that lost its cursor", n)
		}
		mustConverge(t, nodes...)
		eventually(t, 30*time.Second, "sent again", func() bool { n, _ := nodes[0].store.Outbox("main"); return n == 0 }, nodes...)
	})
}

func TestSecondCopyOfABranchIsReportedAndTheFirstGoesOn(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		twin := newNode(t, b, "0A").start()
		if _, lets := b.(rabbitMQ); lets {
			// It lets a client id be used twice: beacons tell, and neither may write.
			eventually(t, 60*time.Second, "both refuse", func() bool {
				return nodes[0].repl.Status().Reason == nodestatus.ReasonBranchInUse && nodes[0].tryWrite() != nil && twin.tryWrite() != nil
			}, nodes[0], twin)
			return
		}
		eventually(t, 60*time.Second, "the second copy says what it is", func() bool {
			s := twin.repl.Status()
			return !s.Ready && strings.Contains(s.Message, "second copy")
		}, twin)
		if err := twin.tryWrite(); err == nil {
			t.Error("a new store whose branch is in use took a write")
		}
		if s := nodes[0].repl.Status(); !s.Ready || !s.Writable {
			t.Errorf("the first copy: %s %s", s.Reason, s.Message)
		}
	})
}

func TestTwoCopiesOnDifferentBrokersOfOneChannelBothRefuseWrites(t *testing.T) {
	// A broker that lets a client id be used twice: here one that is told another id.
	b := startEmbedded(t, broker.Options{})
	nodes := trio(t, b)
	nodes[0].write(1)
	mustConverge(t, nodes...)
	b.SetFaults(broker.Faults{Received: func(_ string, f *frame.Frame) broker.Fault {
		if id := f.Header.Get("client-id"); f.Command == frame.Connect && strings.HasPrefix(id, "0A") {
			f.Header.Set("client-id", id+"-copy")
		}
		return broker.Fault{}
	}})
	twin := newNode(t, b, "0A").start()
	inUse := func(n *node) bool { return n.repl.Status().Reason == nodestatus.ReasonBranchInUse }
	eventually(t, 20*time.Second, "both refuse", func() bool { return inUse(nodes[0]) && inUse(twin) }, nodes[0], twin)
	if nodes[0].tryWrite() == nil || twin.tryWrite() == nil {
		t.Error("a write was taken")
	}
}

func TestLostVolumeLearnsItsBranchBackAndRefusesWrites(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		nodes[0].write(10)
		mustConverge(t, nodes...)
		nodes[0].stop()
		nodes[0].dir = t.TempDir()
		nodes[0].start()
		eventually(t, 60*time.Second, "fetched back", func() bool { return level(nodes...) }, nodes...)
		eventually(t, 10*time.Second, "branch ahead", func() bool {
			return nodes[0].repl.Status().Reason == nodestatus.ReasonBranchAhead
		}, nodes[0])
		if err := nodes[0].tryWrite(); err == nil {
			t.Error("a node that lost its volume took a write under its old branch id")
		}
		if err := nodes[0].repl.AcceptBranch(context.Background()); err != nil {
			t.Fatal(err)
		}
		nodes[0].write(1)
		mustConverge(t, nodes...)
	})
}

func TestDrainEmptiesTheOutboxAgainstARealBroker(t *testing.T) {
	onEachBroker(t, func(t *testing.T, b anyBroker) {
		nodes := trio(t, b)
		nodes[0].write(300)
		nodes[0].store.RefuseWrites("stopping")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := nodes[0].repl.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		nodes[0].stop()
		eventually(t, 30*time.Second, "on the others", func() bool {
			return len(nodes[1].lacks(nodes[0])) == 0 && len(nodes[2].lacks(nodes[0])) == 0
		})
	})
}

func TestUnreachableBrokerIsNamedInTheStatusAndWritesOfAnOldStoreGoOn(t *testing.T) {
	b := startEmbedded(t, broker.Options{})
	n := newNode(t, b, "0A").start()
	eventually(t, 20*time.Second, "ready", func() bool { return ready(n) }, n)
	b.kill()
	eventually(t, 20*time.Second, "unreachable", func() bool {
		s := n.repl.Status()
		return s.Reason == nodestatus.ReasonBrokerUnreachable && strings.Contains(s.Message, b.Addr()) && s.Links[0].LastError != ""
	}, n)
	n.write(3)
	b.back(t)
	eventually(t, 20*time.Second, "ready again", func() bool { return ready(n) }, n)
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		o    stomplink.Options
		want string
	}{
		"no hosts":       {stomplink.Options{Branch: "0A"}, "hosts"},
		"no branch":      {stomplink.Options{Hosts: []string{"h:1"}}, "branch id"},
		"unknown flavor": {stomplink.Options{Hosts: []string{"h:1"}, Branch: "0A", Flavor: "kafka"}, "kafka"},
	} {
		if _, err := stomplink.New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to say %s", name, err, tc.want)
		}
	}
}

func TestPublishingBeforeTheTransportRunsFailsAtOnce(t *testing.T) {
	transport, err := stomplink.New(stomplink.Options{Hosts: []string{"127.0.0.1:1"}, Branch: "0A"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Publish(t.Context(), replication.Destination{Name: "x"}, replication.Message{}); err == nil {
		t.Error("published without a connection")
	}
}
