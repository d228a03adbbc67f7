// Package subscriptions drops the durable subscriptions that nodes which are gone
// have left at their brokers: a broker keeps every message for them, for ever.
package subscriptions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/stomp"
)

// Patience is how long one attempt may take.
const Patience = 5 * time.Second

// Subscription is the durable subscription of one node to the topic of one channel.
type Subscription struct {
	// Hosts are the broker's addresses, host:port, tried in this order.
	Hosts []string
	// VirtualHost is the one to connect to, "" for the broker's usual one.
	VirtualHost string
	// Flavor is the make of the broker, "" or auto to go by what it says.
	Flavor string
	// Credentials are nil for no login.
	Credentials stomp.CredentialSource
	// Branch is the node's branch id.
	Branch branch.ID
	// Link is the link of a relay over which it subscribed, "" for its own channel's.
	Link string
	// Channel is what it subscribed to.
	Channel string
}

// Name is what nodes call their subscription to a channel.
func Name(id branch.ID, channel string) string { return string(id) + "-" + channel }

// ClientID is what a node's receiving connection is called, of a link beside that of
// its own channel or, without one, of that.
func ClientID(id branch.ID, link string) string {
	if link == "" {
		return string(id)
	}
	return string(id) + "-" + link
}

// Dropper drops durable subscriptions.
type Dropper interface {
	// Drop makes the broker forget the subscription and what it keeps for it. One
	// that does not exist is dropped. The error says what was tried at which host.
	Drop(ctx context.Context, s Subscription) error
}

// Client is a Dropper over STOMP. Its zero value is usable.
type Client struct{}

// Drop implements Dropper, within Patience.
func (Client) Drop(ctx context.Context, s Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if len(s.Hosts) == 0 {
		return fmt.Errorf("dropping the durable subscription of %s: no host of the broker is known", s.Branch)
	}
	options := stomp.Options{ClientID: ClientID(s.Branch, s.Link), Host: s.VirtualHost, Credentials: s.Credentials,
		HeartBeat: -1, ConnectTimeout: Patience, WriteTimeout: Patience}
	if s.Flavor != "" && s.Flavor != "auto" {
		profile, err := stomp.ProfileNamed(s.Flavor)
		if err != nil {
			return fmt.Errorf("dropping the durable subscription of %s: %w", s.Branch, err)
		}
		options.Profile = &profile
	}
	var failed []error
	for _, host := range s.Hosts {
		err := dropAt(ctx, host, options, s)
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("dropping the durable subscription of %s at %s: %w", s.Branch, host, err))
	}
	return errors.Join(failed...)
}

// dropAt drops the subscription at one host. It must not be in use: brokers refuse
// the client id of a node that is connected, and then nothing happens to it.
func dropAt(ctx context.Context, host string, options stomp.Options, s Subscription) error {
	conn, err := stomp.Dial(ctx, host, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.DeleteDurable(ctx, stomp.SubscribeOptions{Destination: "/topic/" + s.Channel, DurableName: Name(s.Branch, s.Channel),
		Ack: stomp.AckClientIndividual, Selector: stomp.NotFrom(string(s.Branch))})
	if err != nil && !unknown(err) {
		return err
	}
	_ = conn.Disconnect(ctx) // a good-bye; what was asked for is confirmed
	return nil
}

// unknown reports whether the broker says that there is no such subscription.
func unknown(err error) bool {
	refused, ok := errors.AsType[*stomp.ServerError](err)
	return ok && strings.Contains(refused.Message, "No durable subscription exists")
}
