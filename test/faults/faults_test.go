// Package faults puts real vesper-node processes, a real ActiveMQ and real sockets through the
// faults that networks and disks have. Each case ends with all acknowledged writes on all nodes.
package faults

import (
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/nodetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the cases wait, most of the time
	goleak.VerifyTestMain(nodetest.Built(activemqtest.Shared(m)))
}

// site is a pair of nodes on a channel of their own: one behind the proxy, one beside the broker.
type site struct {
	t     *testing.T
	proxy *proxy
	nodes []*nodetest.Node // the first is behind the proxy

	mu    sync.Mutex
	acked []acked
}

// acked is a write that a node acknowledged.
type acked struct{ node, id, value string }

// newSite starts the pair on the shared broker and waits until it is at rest.
func newSite(t *testing.T, name string, heartBeat time.Duration) *site {
	t.Helper()
	broker := activemqtest.Get(t)
	s := &site{t: t, proxy: between(t, broker.Addr())}
	for i, id := range branches(name) {
		host := broker.Addr()
		if i == 0 {
			host = s.proxy.addr()
		}
		n := nodetest.New(t, nodetest.Options{ID: id, Hosts: []string{host}, Channel: "FAULTS." + name, HeartBeat: heartBeat})
		n.Start()
		s.nodes = append(s.nodes, n)
	}
	nodetest.Converged(t, s.nodes...)
	return s
}

// branches are the ids of a site's nodes: client ids are unique at the broker.
func branches(name string) []string {
	c := cases[name]
	return []string{fmt.Sprintf("%dA", c), fmt.Sprintf("%dB", c)}
}

// cases number the sites that share the broker.
var cases = map[string]int{
	"slow": 1, "silent": 2, "reset": 3, "halfclose": 4, "partition": 5, "narrow": 6, "sliced": 7, "refused": 8,
	"noack": 9,
}

// write has every node take writes; each must be acknowledged at once, whatever the broker does.
func (s *site) write(count int) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, n := range s.nodes {
		all.Go(func() {
			for range count {
				s.writeOne(n)
			}
		})
	}
	all.Wait()
}

func (s *site) writeOne(n *nodetest.Node) {
	s.t.Helper()
	s.mu.Lock()
	size := len(s.acked) % 500
	s.mu.Unlock()
	s.writeSized(n, size)
}

func (s *site) writeSized(n *nodetest.Node, size int) {
	s.t.Helper()
	s.mu.Lock()
	a := acked{node: n.ID, id: fmt.Sprintf("%s-%d", n.ID, len(s.acked)), value: noise(size)}
	s.acked = append(s.acked, a)
	s.mu.Unlock()
	began := time.Now()
	got, err := n.Do(http.MethodPut, "/v1/objects/"+a.id, fmt.Sprintf(`{"v":%q}`, a.value))
	if err != nil || got.Status != http.StatusCreated {
		s.t.Errorf("node %s did not take a write: %v, %d: %s", n.ID, err, got.Status, got.Body)
	}
	if took := time.Since(began); took > 10*time.Second {
		s.t.Errorf("node %s took %v to acknowledge a write", n.ID, took)
	}
}

// noise is a text of about n bytes that does not compress well.
func noise(n int) string {
	b := make([]byte, n*3/4)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// writeFor writes at a moderate pace for this long.
func (s *site) writeFor(d time.Duration) {
	s.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		s.write(1)
	}
}

// mustBeWhole waits until the nodes are at rest with equal revisions and digests, and checks that
// each has every acknowledged write.
func (s *site) mustBeWhole() {
	s.t.Helper()
	took := nodetest.Converged(s.t, s.nodes...)
	for _, n := range s.nodes {
		for _, a := range s.acked {
			var o struct{ V string }
			if err := n.Get("/v1/objects/"+a.id, &o); err != nil || o.V != a.value {
				s.t.Errorf("node %s does not have the acknowledged write %s: %v, %q", n.ID, a.id, err, o.V)
			}
		}
	}
	s.t.Logf("%d writes on all nodes, converged in %v", len(s.acked), took)
}

// reconnects is how often the node behind the proxy has lost its link.
func (s *site) reconnects() int64 {
	s.t.Helper()
	status, err := s.nodes[0].Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Links[0].Reconnects
}

// lost waits until the node behind the proxy knows that its link is down.
func (s *site) lost() {
	s.t.Helper()
	s.eventually("the node sees that the link is down", func() bool {
		status, err := s.nodes[0].Status()
		return err == nil && (!status.Links[0].Connected || !status.Links[0].Subscribed)
	})
}

func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(nodetest.Patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after %v still not: %s", nodetest.Patience, what)
		}
	}
}

func TestLatencyAndJitterDelayAndLoseNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "slow", 3*time.Second)
	s.proxy.set(network{latency: 150 * time.Millisecond, jitter: 300 * time.Millisecond})
	s.writeFor(8 * time.Second)
	s.mustBeWhole()
	if n := s.reconnects(); n != 0 {
		t.Errorf("latency alone cost %d connections", n)
	}
}

// TestSilentConnectionIsFoundByHeartBeatsAndReplaced: bytes vanish both ways and no end comes; new
// connections are accepted, and as silent.
func TestSilentConnectionIsFoundByHeartBeatsAndReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t, "silent", time.Second)
	for range 2 {
		s.write(5)
		s.proxy.set(network{silent: true})
		began := time.Now()
		s.lost()
		// Twice the agreed heart-beat and a margin; the broker of the test rounds up to a second.
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %v to find out with a heart-beat of a second", took)
		}
		s.writeFor(3 * time.Second)
		s.proxy.set(network{})
		s.mustBeWhole()
	}
	if s.reconnects() < 2 {
		t.Error("the silence was not noticed")
	}
}

func TestResetsUnderWritesLoseNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "reset", 3*time.Second)
	cut := 0
	for range 15 {
		s.write(20)
		cut += s.proxy.reset()
		s.writeFor(300 * time.Millisecond)
	}
	if cut < 10 {
		t.Errorf("only %d connections were reset", cut)
	}
	s.mustBeWhole()
}

// TestSlowCloseIsTakenForTheEnd: the broker's side says that it is done while it still reads.
func TestSlowCloseIsTakenForTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, "halfclose", 3*time.Second)
	for range 5 {
		s.write(10)
		before := s.reconnects()
		if s.proxy.halfClose() == 0 {
			t.Error("there was no connection to close")
		}
		s.writeFor(500 * time.Millisecond)
		s.eventually("connected anew", func() bool { return s.reconnects() > before })
	}
	s.mustBeWhole()
}

// TestPartitionOfAMinuteIsSurvivedUnderWrites: both sides write all the time, and both have
// everything a moment after it ends.
func TestPartitionOfAMinuteIsSurvivedUnderWrites(t *testing.T) {
	t.Parallel()
	s := newSite(t, "partition", 3*time.Second)
	s.write(10)
	s.proxy.set(network{silent: true})
	s.writeFor(60 * time.Second)
	status, err := s.nodes[0].Status()
	if err != nil || !status.Writable || status.Links[0].Connected {
		t.Errorf("in the partition: writable %v, link %+v, %v", status.Writable, status.Links, err)
	}
	s.proxy.set(network{})
	s.mustBeWhole()
}

func TestNarrowLineCarriesAllInItsOwnTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, "narrow", 3*time.Second)
	s.proxy.set(network{bytesPerSecond: 20_000})
	s.write(200)
	s.mustBeWhole()
	if n := s.reconnects(); n != 0 {
		t.Errorf("a narrow line cost %d connections", n)
	}
}

func TestBytesInPiecesMakeTheSameFrames(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sliced", 3*time.Second)
	s.proxy.set(network{slice: 7})
	s.write(60)
	s.mustBeWhole()
	if n := s.reconnects(); n != 0 {
		t.Errorf("pieces cost %d connections", n)
	}
}

// TestBrokerBehindAClosedDoorIsReachedByItsOtherAddress: failover over several hosts.
func TestBrokerBehindAClosedDoorIsReachedByItsOtherAddress(t *testing.T) {
	t.Parallel()
	broker := activemqtest.Get(t)
	doors := []*proxy{between(t, broker.Addr()), between(t, broker.Addr())}
	s := &site{t: t, proxy: doors[0]}
	for i, id := range branches("refused") {
		hosts := []string{broker.Addr()}
		if i == 0 {
			hosts = []string{doors[0].addr(), doors[1].addr()}
		}
		n := nodetest.New(t, nodetest.Options{ID: id, Hosts: hosts, Channel: "FAULTS.refused"})
		n.Start()
		s.nodes = append(s.nodes, n)
	}
	nodetest.Converged(t, s.nodes...)
	for i := range 4 {
		shut, open := doors[i%2], doors[(i+1)%2]
		open.set(network{})
		shut.set(network{refuse: true})
		shut.reset()
		s.write(10)
		s.eventually("at the other address", func() bool {
			status, err := s.nodes[0].Status()
			return err == nil && status.Ready && status.Links[0].Address == open.addr()
		})
	}
	s.mustBeWhole()
}

// TestNodesThatLeaveAcknowledgingToTheBrokerConverge is send_stomp_ack: false from end to end.
func TestNodesThatLeaveAcknowledgingToTheBrokerConverge(t *testing.T) {
	t.Parallel()
	broker := activemqtest.Get(t)
	s := &site{t: t, proxy: between(t, broker.Addr())}
	for _, id := range branches("noack") {
		n := nodetest.New(t, nodetest.Options{
			ID: id, Hosts: []string{s.proxy.addr()}, Channel: "FAULTS.noack", More: "send_stomp_ack: false\n",
		})
		n.Start()
		s.nodes = append(s.nodes, n)
	}
	nodetest.Converged(t, s.nodes...)
	for range 3 {
		s.write(30)
		s.proxy.reset()
	}
	s.nodes[1].Kill()
	for range 20 {
		s.writeOne(s.nodes[0])
	}
	s.nodes[1].Start()
	s.mustBeWhole()
}
