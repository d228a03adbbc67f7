package stomplink_test

import (
	"context"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/stomplink"
	"vesperdb.io/vesper/internal/store"
)

// startRelay runs a node with a link to each of two brokers.
func startRelay(t *testing.T, id branch.ID, brokers ...anyBroker) *node {
	t.Helper()
	n := newNode(t, brokers[0], id)
	s, err := store.Open(context.Background(), store.Options{Dir: n.dir, Branch: id, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	var links []replication.LinkConfig
	for i, b := range brokers {
		o := n.options
		name := []string{"main", "site"}[i]
		if o.Hosts, o.Logger = []string{b.Addr()}, quiet(); i > 0 {
			o.Link = name
		}
		transport, err := stomplink.New(o)
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, replication.LinkConfig{Name: name, Channel: n.channel, Hosts: o.Hosts, Relay: true, Transport: transport})
	}
	n.repl, err = replication.New(s, links, replication.Options{
		BeaconInterval: time.Second, DiscoveryWindow: 1500 * time.Millisecond, Grace: 500 * time.Millisecond, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.store = s
	n.run()
	return n
}

func TestRelayBetweenTwoRealBrokersCarriesBothWaysAndOneFrozenBrokerBlocksNothing(t *testing.T) {
	short(t)
	core, site := activemqtest.Start(t, activemqtest.Options{}), activemqtest.Start(t, activemqtest.Options{})
	a := newNode(t, activeMQ{core}, "0A").start()
	leaf := newNode(t, activeMQ{site}, "0C").start()
	relay := startRelay(t, "0B", activeMQ{core}, activeMQ{site})
	eventually(t, time.Minute, "ready", func() bool { return ready(a, relay, leaf) }, a, relay, leaf)
	a.write(5)
	leaf.write(5)
	relay.write(2)
	mustConverge(t, a, relay, leaf)

	site.Freeze()
	start := time.Now()
	leaf.write(5)
	relay.write(5)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("writes took %v while a broker was frozen", took)
	}
	eventually(t, 30*time.Second, "arrived over the other broker", func() bool { return a.store.Revision().At("0B") == 7 }, a, relay)
	site.Thaw()
	mustConverge(t, a, relay, leaf)
}
