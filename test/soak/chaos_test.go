package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/nodetest"
)

const (
	// A kill comes every minGap to maxGap; what was killed stays down for at
	// most maxDown.
	minGap, maxGap = 2 * time.Second, 5 * time.Second
	maxDown        = 3 * time.Second
)

// chaos kills nodes and the broker and starts them again.
type chaos struct {
	t      *testing.T
	nodes  []*nodetest.Node
	broker *activemqtest.Broker
	chance *rand.Rand

	nodeKills, brokerKills int
}

// run kills until ctx ends, and returns when all that it killed runs again. Two
// may be down at once.
func (c *chaos) run(ctx context.Context) {
	var revivals sync.WaitGroup
	defer revivals.Wait()
	down := make([]chan struct{}, len(c.nodes)+1)
	for {
		select {
		case <-time.After(minGap + below(c.chance, maxGap-minGap)):
		case <-ctx.Done():
			return
		}
		victim := c.chance.IntN(len(down))
		delay := below(c.chance, maxDown)
		if down[victim] != nil {
			select {
			case <-down[victim]:
			default:
				continue // it is down still
			}
		}
		up := make(chan struct{})
		down[victim] = up
		c.kill(victim)
		revivals.Go(func() {
			defer close(up)
			time.Sleep(delay) // the downtime is the fault, nothing waits for it
			c.revive(victim)
		})
	}
}

func (c *chaos) kill(victim int) {
	if victim < len(c.nodes) {
		c.nodeKills++
		c.nodes[victim].Kill()
		return
	}
	c.brokerKills++
	c.broker.Kill()
}

func (c *chaos) revive(victim int) {
	if victim < len(c.nodes) {
		c.nodes[victim].Start()
		return
	}
	startBroker(c.t, c.broker)
}

// startBroker starts the broker again. Its port may be taken for a moment by a
// connection of somebody else.
func startBroker(t *testing.T, b *activemqtest.Broker) {
	var err error
	for range 3 {
		if err = b.Start(); err == nil {
			return
		}
	}
	t.Errorf("starting the broker again: %v", err)
}
