package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/stomplink"
	"vesperdb.io/vesper/internal/replication/vesperwire"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/store"
)

// linksOf makes the links of a configuration, each with a transport of its own.
func linksOf(c nodeconfig.Config, s *store.Store, form *vesperwire.Form, log *slog.Logger) ([]replication.LinkConfig, error) {
	var out []replication.LinkConfig
	for _, l := range c.AllLinks() {
		transport, err := stomplink.New(transportOptions(c, l, log))
		if err != nil {
			return nil, fmt.Errorf("preparing the link %s: %w", l.Name, err)
		}
		wire, err := wireOf(l, c, s, form, log)
		if err != nil {
			return nil, fmt.Errorf("preparing the link %s: %w", l.Name, err)
		}
		link := replication.LinkConfig{Name: l.Name, Channel: l.Channel, Hosts: l.Hosts, Relay: l.Relay, Transport: transport, Wire: wire}
		if l.Wire != nodeconfig.WirePacked {
			// Packed messages go in parts where they are too large; nodes of the
			// original would not put them together again.
			link.MaxMessage = func(server string) int { return maxMessage(l.Broker, server) }
		}
		out = append(out, link)
	}
	return out, nil
}

// transportOptions say how to reach the broker of a link. The main link's client
// ids are the node's alone, those of others carry the link's name: one broker
// may serve several links of a node, and keeps a durable subscription under them.
func transportOptions(c nodeconfig.Config, l nodeconfig.Link, log *slog.Logger) stomplink.Options {
	o := stomplink.Options{
		Hosts: l.Hosts, Branch: c.BranchID, Flavor: string(l.Broker.Flavor), VirtualHost: l.Broker.VirtualHost,
		MaxMessage: int(l.Broker.MaxMessage), HeartBeat: l.Broker.HeartBeat, NoSTOMPAck: !l.SendSTOMPAck, Logger: log.With(slog.String("link", l.Name)),
	}
	if l.Name != nodeconfig.MainLink {
		o.Link = l.Name
	}
	if o.HeartBeat == 0 {
		o.HeartBeat = -1 // none, where 0 would be the default
	}
	if l.Broker.UsernameFile != "" {
		o.Credentials = stomp.CredentialFiles(l.Broker.UsernameFile, l.Broker.PasswordFile)
	}
	if t := l.Broker.TLS; t != nil {
		o.TLS = stomp.TLSFiles{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName}.Source()
	}
	return o
}

const (
	// frameRoom is left in a broker's limit for what is not the body.
	frameRoom = 16 << 10
	// unknownBroker is assumed of a broker that was not reached yet: the least
	// that any of the known ones takes.
	unknownBroker = 4 << 20
)

// maxMessage is the largest body that a broker takes: as configured, else by its
// flavor, else by what it calls itself; 0 for any.
func maxMessage(b nodeconfig.Broker, server string) int {
	limit := 0
	switch {
	case b.MaxMessage > 0:
		return int(b.MaxMessage)
	case b.Flavor != nodeconfig.FlavorAuto && b.Flavor != "":
		if p, err := stomp.ProfileNamed(string(b.Flavor)); err == nil {
			limit = p.MaxBody
		}
	case server != "":
		limit = stomp.ProfileOf(server).MaxBody
	default:
		limit = unknownBroker
	}
	return max(limit-frameRoom, 0)
}

// formOf is the form that a node's transactions need for a channel of original
// nodes, nil without one.
func formOf(c nodeconfig.Config) *vesperwire.Form {
	if !c.Legacy() {
		return nil
	}
	return vesperwire.NewForm(c.TrunkID, legacywire.Codec{ModelURI: c.ModelURI})
}

// wireOf makes the wire of a link.
func wireOf(l nodeconfig.Link, c nodeconfig.Config, s *store.Store, form *vesperwire.Form, log *slog.Logger) (replication.Wire, error) {
	if l.Wire != nodeconfig.WireVesper {
		return replication.PackedWire{}, nil
	}
	return vesperwire.New(vesperwire.Options{
		Store: s, Form: form, Dir: filepath.Join(c.StoragePath, "kept", l.Name), Logger: log,
	})
}

// forgetLinks drops what the store remembers of links that the configuration no
// longer has: it would hold back the trimming of the log for ever. Without a
// retention it holds back nothing, and spares a link that comes back the
// publishing of the whole log. A failure does so until the next start.
func forgetLinks(ctx context.Context, c nodeconfig.Config, s *store.Store, log *slog.Logger) {
	if c.Retention <= 0 {
		return
	}
	var keep []string
	for _, l := range c.AllLinks() {
		keep = append(keep, l.Name)
	}
	dropped, err := s.DropCursors(ctx, keep)
	if err != nil {
		log.Warn("Could not forget links that the configuration no longer has", "error", err)
	}
	if len(dropped) > 0 {
		log.Info("Forgot links that the configuration no longer has: the log need not be kept for them", "links", dropped)
	}
}

// linkTexts says in short what a node's links are, for its log.
func linkTexts(c nodeconfig.Config) []string {
	var out []string
	for _, l := range c.AllLinks() {
		out = append(out, fmt.Sprintf("%s: channel %s of %s", l.Name, l.Channel, strings.Join(l.Hosts, ", ")))
	}
	return out
}
