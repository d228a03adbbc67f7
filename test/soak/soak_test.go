package soak

import (
	"context"
	"sync"
	"syscall"
	"testing"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/nodetest"
)

// TestNothingAcknowledgedIsLostAndAllNodesConvergeUnderKills is promises one
// and three against the real things: three processes, ActiveMQ, kill -9.
func TestNothingAcknowledgedIsLostAndAllNodesConvergeUnderKills(t *testing.T) {
	p := planned(t)
	broker := activemqtest.Start(t, activemqtest.Options{})
	var nodes []*nodetest.Node
	for _, id := range []string{"0A", "0B", "0C"} {
		n := newNode(t, id, broker.Addr())
		n.Start()
		nodes = append(nodes, n)
	}
	nodetest.Converged(t, nodes...)

	ctx, cancel := context.WithTimeout(t.Context(), p.duration)
	defer cancel()
	c := &chaos{t: t, nodes: nodes, broker: broker, chance: p.chance(0)}
	clients := make([]*writer, writers)
	var all sync.WaitGroup
	all.Go(func() { c.run(ctx) })
	for i := range clients {
		clients[i] = newWriter(t, i, nodes, p.chance(uint64(i)+1))
		all.Go(func() { clients[i].run(ctx) })
	}
	all.Wait()

	restartAll(t, nodes, broker)
	took := nodetest.Converged(t, nodes...)
	sum := total(t, clients)
	problems := judge(histories(clients), gather(t, nodes, clients))
	for _, p := range problems {
		t.Error(p)
	}
	stopAll(t, nodes)
	t.Logf("%d writes acknowledged (%d not answered, %d refused by their condition), %d reads; %d kills of nodes, %d of the broker; %d problems; converged in %v",
		sum.acknowledged, sum.unanswered, sum.conditions, sum.reads, c.nodeKills, c.brokerKills, len(problems), took)
	for why, n := range sum.refused {
		t.Logf("refused %d times: %s", n, why)
	}
	if c.nodeKills+c.brokerKills == 0 || sum.acknowledged == 0 || sum.reads == 0 || sum.conditions == 0 {
		t.Error("a soak without kills, writes, reads or conditions proves nothing")
	}
}

// restartAll kills whatever runs and starts it again, the nodes first.
func restartAll(t *testing.T, nodes []*nodetest.Node, broker *activemqtest.Broker) {
	t.Helper()
	for _, n := range nodes {
		n.Kill()
	}
	broker.Kill()
	for _, n := range nodes {
		n.Start()
	}
	startBroker(t, broker)
}

// stopAll ends the nodes as Kubernetes does, and reads their stores from end to end.
func stopAll(t *testing.T, nodes []*nodetest.Node) {
	t.Helper()
	for _, n := range nodes {
		if !n.End(syscall.SIGTERM) {
			t.Errorf("node %s was not running at the end", n.ID)
		}
		if err := n.Check(); err != nil {
			t.Error(err)
		}
	}
}
