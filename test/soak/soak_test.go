package soak

import (
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"vesperdb.io/vesper/internal/activemqtest"
)

// TestNothingAcknowledgedIsLostAndAllNodesConvergeUnderKills is promises one
// and three against the real things: three processes, ActiveMQ, kill -9.
func TestNothingAcknowledgedIsLostAndAllNodesConvergeUnderKills(t *testing.T) {
	p := planned(t)
	broker := activemqtest.Start(t, activemqtest.Options{})
	var nodes []*node
	for _, id := range []string{"0A", "0B", "0C"} {
		n := newNode(t, id, broker.Addr())
		n.start()
		nodes = append(nodes, n)
	}
	converged(t, nodes)

	ctx, cancel := context.WithTimeout(t.Context(), p.duration)
	defer cancel()
	c := &chaos{t: t, nodes: nodes, broker: broker, chance: p.chance(0)}
	clients := make([]*writer, writers)
	var all sync.WaitGroup
	all.Go(func() { c.run(ctx) })
	for i := range clients {
		clients[i] = &writer{t: t, number: i, nodes: nodes, chance: p.chance(uint64(i) + 1), refused: map[string]int{}}
		all.Go(func() { clients[i].run(ctx) })
	}
	all.Wait()

	restartAll(t, nodes, broker)
	took := converged(t, nodes)
	v := verifier{t: t, nodes: nodes, clients: clients}
	v.verify()
	stopAll(t, nodes)
	t.Logf("%d writes acknowledged (%d not answered), %d kills of nodes, %d of the broker; %d lost, %d diverged; converged in %v",
		v.acknowledged, v.unanswered, c.nodeKills, c.brokerKills, v.lost, v.diverged, took)
	for why, n := range v.refused {
		t.Logf("refused %d times: %s", n, why)
	}
	if c.nodeKills+c.brokerKills == 0 || v.acknowledged == 0 {
		t.Error("a soak without kills or without writes proves nothing")
	}
}

// restartAll kills whatever runs and starts it again, the nodes first.
func restartAll(t *testing.T, nodes []*node, broker *activemqtest.Broker) {
	t.Helper()
	for _, n := range nodes {
		n.kill()
	}
	broker.Kill()
	for _, n := range nodes {
		n.start()
	}
	startBroker(t, broker)
}

// stopAll ends the nodes as Kubernetes does, and reads their stores from end to end.
func stopAll(t *testing.T, nodes []*node) {
	t.Helper()
	for _, n := range nodes {
		if !n.end(syscall.SIGTERM) {
			t.Errorf("node %s was not running at the end", n.id)
		}
		out, err := exec.Command(program, "check", "--data", n.dir).CombinedOutput()
		if err != nil {
			t.Errorf("the store of node %s is not sound: %v: %s", n.id, err, out)
		}
	}
}
