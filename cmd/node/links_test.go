package main

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/store"
)

// twoLinks is a node with two channels of one broker.
func twoLinks() nodeconfig.Config {
	c := nodeconfig.Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0B", "0A", "unused"
	core, site := nodeconfig.DefaultLink(), nodeconfig.DefaultLink()
	core.Name, core.Hosts, core.Channel = nodeconfig.MainLink, []string{"mq:1"}, "CORE"
	site.Name, site.Hosts, site.Channel, site.Relay = "site-12", []string{"mq:1"}, "SITE", false
	site.Broker.HeartBeat, site.SendSTOMPAck, site.Broker.MaxMessage, site.Broker.VirtualHost = 0, false, 1<<20, "v"
	c.Links = []nodeconfig.Link{core, site}
	return c
}

func TestEachLinkGetsATransportOfItsOwn(t *testing.T) {
	c := twoLinks()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.StoragePath = t.TempDir()
	s := openStore(t, c)
	links, err := linksOf(c, s, formOf(c), slog.New(slog.DiscardHandler))
	if err != nil || len(links) != 2 {
		t.Fatalf("%d links, %v", len(links), err)
	}
	if links[0].Name != "main" || links[0].Channel != "CORE" || !links[0].Relay || links[1].Name != "site-12" || links[1].Relay ||
		!cmp.Equal(links[1].Hosts, []string{"mq:1"}) || links[0].Transport == links[1].Transport {
		t.Errorf("links %+v", links)
	}
	if links[0].MaxMessage != nil || links[1].MaxMessage != nil {
		t.Error("packed messages are bounded, though they go in parts")
	}
	c.Links[1].Wire = nodeconfig.WireVesper
	if links, err = linksOf(c, s, formOf(c), slog.New(slog.DiscardHandler)); err != nil || links[1].MaxMessage("") != 1<<20 {
		t.Errorf("messages for nodes of the original are not bounded: %v", err)
	}
}

func TestLinksOfOneBrokerHaveDifferentClientIDsAndTheMainOneIsTheBranchAlone(t *testing.T) {
	c := twoLinks()
	first, second := transportOptions(c, c.Links[0], slog.Default()), transportOptions(c, c.Links[1], slog.Default())
	if first.Link != "" || second.Link != "site-12" {
		t.Errorf("client ids of %q and %q", first.Link, second.Link)
	}
	if first.HeartBeat != 10*time.Second || second.HeartBeat != -1 || first.NoSTOMPAck || second.MaxMessage != 1<<20 || !second.NoSTOMPAck ||
		first.VirtualHost != "" || second.VirtualHost != "v" {
		t.Errorf("options %+v and %+v", first, second)
	}
}

func TestTheLargestMessageFollowsTheFileThenTheFlavorThenTheBroker(t *testing.T) {
	for _, tt := range []struct {
		broker nodeconfig.Broker
		server string
		want   int
	}{
		{nodeconfig.Broker{MaxMessage: 1 << 20, Flavor: nodeconfig.FlavorActiveMQ}, "ActiveMQ/5.17.2", 1 << 20},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorRabbitMQ}, "ActiveMQ/5.17.2", stomp.RabbitMQ().MaxBody - frameRoom},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorActiveMQ}, "", 100<<20 - frameRoom},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorArtemis}, "", 0},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorAuto}, "", 4<<20 - frameRoom},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorAuto}, "RabbitMQ/3.10.8", stomp.RabbitMQ().MaxBody - frameRoom},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorAuto}, "ActiveMQ/5.17.2", 100<<20 - frameRoom},
		{nodeconfig.Broker{Flavor: nodeconfig.FlavorAuto}, "Something/1", 0},
	} {
		if got := maxMessage(tt.broker, tt.server); got != tt.want {
			t.Errorf("%+v, %q: %d, want %d", tt.broker, tt.server, got, tt.want)
		}
	}
}

func TestNodeOfAnOriginalChannelShapesItsWritesAndOthersDoNot(t *testing.T) {
	c := twoLinks()
	if storeOptions(c, formOf(c), slog.Default()).Shape != nil {
		t.Error("the writes of a node without an original channel are shaped")
	}
	c.Links[1].Wire = nodeconfig.WireVesper
	if storeOptions(c, formOf(c), slog.Default()).Shape == nil {
		t.Error("the writes of a node with an original channel are not shaped")
	}
}

// openStore opens a store for links.
func openStore(t *testing.T, c nodeconfig.Config) *store.Store {
	t.Helper()
	c.StoragePath = t.TempDir()
	s, err := store.Open(t.Context(), storeOptions(c, formOf(c), slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestLinksThatAreGoneAreForgottenAtTheStartOfANodeWithARetention(t *testing.T) {
	c := twoLinks()
	c.StoragePath, c.Listen, c.MembersFile = t.TempDir(), "127.0.0.1:0", filepath.Join(t.TempDir(), "members")
	s, err := store.Open(t.Context(), storeOptions(c, formOf(c), slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := pjson.Parse([]byte(`{"id":"x","v":1}`), pjson.Options{})
	if err == nil {
		_, err = s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) })
	}
	for _, name := range []string{"main", "gone", "!mark"} {
		err = errors.Join(err, s.SetCursor(t.Context(), name, 1))
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		retention nodeconfig.Retention
		gone      uint64
		logged    bool
	}{{nodeconfig.Forever, 1, false}, {nodeconfig.Retention(time.Hour), 0, true}} {
		c.Retention = tt.retention
		var log bytes.Buffer
		n, err := openNode(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]uint64{"main": 1, "gone": tt.gone, "!mark": 1} {
			if got, err := n.store.Cursor(name); err != nil || got != want {
				t.Errorf("retention %s: the cursor of %s is %d, want %d (%v)", tt.retention, name, got, want, err)
			}
		}
		if strings.Contains(log.String(), "links=[gone]") != tt.logged {
			t.Errorf("retention %s: logged %s", tt.retention, log.String())
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}
}
