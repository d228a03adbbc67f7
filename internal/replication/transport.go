package replication

import (
	"context"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// Kind says how a destination hands out messages.
type Kind int

const (
	// Topic delivers every message to every subscriber.
	Topic Kind = iota
	// Queue delivers every message to one subscriber, and keeps it until there is one.
	Queue
)

// Destination is where messages are published and subscribed to. Name has no
// broker's prefix: the transport maps it.
type Destination struct {
	Kind Kind
	Name string
}

// Message is what travels. Body is opaque to the transport.
type Message struct {
	// From is the publisher's branch; subscriptions filter by it.
	From branch.ID
	// ContentType says how to read Body; "" for none.
	ContentType string
	// Header holds further lines for the broker and the subscribers, by name.
	Header map[string]string
	// Text marks a body without NUL bytes that is sent without its length, which
	// some brokers tell their subscribers apart by.
	Text bool
	// Persistent messages survive a broker's restart, and are confirmed only
	// when they do.
	Persistent bool
	// Confirm asks for a confirmation that the broker has taken the message.
	Confirm bool
	// TTL is how long the broker keeps an undelivered message; 0 means for ever.
	// It is generous: the broker's clock may be an hour off ours.
	TTL  time.Duration
	Body []byte
}

// Confirmation is the broker's promise that it has a message.
type Confirmation interface {
	// Wait returns nil once the broker confirmed the message, and an error when
	// it refused it, the connection was lost, or ctx ended.
	Wait(ctx context.Context) error
}

// Delivery is one received message.
type Delivery struct {
	Message
	// Problem says why the message could not be read whole: it broke a limit of
	// size, say, and Body is nil. It is to be quarantined and acknowledged.
	Problem error
	// Ack tells the broker that it may forget the message. It is nil for
	// subscriptions that need none. An error means that it may come again.
	Ack func(ctx context.Context) error
}

// Subscription asks for the messages of a destination.
type Subscription struct {
	Destination Destination
	// Durable names a subscription for which the broker keeps messages while
	// we are away, where it can; "" for the messages of now only.
	Durable string
	// Except drops the messages of one publisher: our own. "" drops none.
	Except branch.ID
	// AutoAck marks messages that need no acknowledgement.
	AutoAck bool
	// Deliver is called for one message at a time, in order. While it blocks,
	// no more of this subscription is delivered (and the broker keeps it);
	// other subscriptions, heart-beats and Publish are not held up.
	Deliver func(ctx context.Context, d Delivery)
}

// State is what a transport tells about its connection.
type State struct {
	// Connected means that messages can be published.
	Connected bool
	// Subscribed means that the broker confirmed every subscription.
	Subscribed bool
	// Address is the host connected to, Server what the broker calls itself.
	Address, Server string
	// Err is why the connection is not up.
	Err error
	// Taken is set while the broker refuses us because a client with our branch
	// id is connected, which may be what is left of our former process.
	Taken bool
	// InUse is set when the broker goes on refusing us because a client with
	// our branch id is connected already.
	InUse bool
}

// Up reports whether the link can do its work.
func (s State) Up() bool { return s.Connected && s.Subscribed }

// Transport is one link's connection to one broker. It reconnects and
// subscribes again by itself. Its methods are safe for concurrent use.
type Transport interface {
	// Run connects, and stays connected until ctx ends; then it says good-bye
	// to the broker within a bounded time, leaves no goroutine and returns nil.
	// An error means that it cannot go on at all (bad options). observe is
	// called, one call at a time, at each change of state; a reconnection is
	// always visible as a state that is not Up. Run is called once.
	Run(ctx context.Context, subs []Subscription, observe func(State)) error
	// Publish hands a message to the broker, in the order of calls. ctx bounds
	// the handing over. It fails at once when not connected.
	Publish(ctx context.Context, to Destination, m Message) (Confirmation, error)
}

// PartsDropper is a transport that sends large messages in parts and gives up
// those of which some parts do not come.
type PartsDropper interface {
	// DroppedParts counts the messages that were given up since the start; what
	// they held is fetched from peers.
	DroppedParts() uint64
}
