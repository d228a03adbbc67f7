package stomp

import (
	"context"
	"errors"
	"time"
)

// SessionOptions say where and how a Session keeps itself connected.
type SessionOptions struct {
	// Hosts are broker addresses, host:port, tried in order; after a loss the search starts at
	// the one that worked last.
	Hosts []string
	// Conn is how each connection is made.
	Conn Options
	// Subscriptions are made on every connection before the session counts as ready.
	Subscriptions []SessionSubscription
	// Backoff spaces the attempts.
	Backoff Backoff
	// ConflictPatience is how long a refusal of the client id counts as the broker's slowness
	// to see our last connection's end. Past it Event.PossibleSecondCopy is set; attempts go on.
	// 0 is five heart-beats, since ActiveMQ was measured to take four.
	ConflictPatience time.Duration
	// Observer is told of every change of state, in order, from one goroutine. It must not
	// block and must not call the session.
	Observer func(Event)
}

// SessionSubscription is a subscription that outlives connections.
type SessionSubscription struct {
	SubscribeOptions
	// Handler gets one message at a time, in the broker's order. Its context ends with the
	// connection or the session; after that acknowledging has no effect, and the message comes
	// again on the next connection. Handlers of different subscriptions run concurrently.
	Handler func(ctx context.Context, m *Message)
}

// Backoff is exponential with full jitter over its upper half. Zero fields are defaults.
type Backoff struct {
	// Min is the wait after the first failed round over all hosts. Default 250 ms.
	Min time.Duration
	// Max bounds the wait. Default 10 s. A connection that was ready for as long as this ends
	// the growth.
	Max time.Duration
}

// State is what a session is doing.
type State int

// The states of a session.
const (
	StateConnecting State = iota // dialing Event.Addr
	StateConnected               // the broker said CONNECTED; subscriptions are being made
	StateSubscribed              // ready: every subscription has its receipt
	StateLost                    // an attempt failed or a connection ended: Event.Err says why
	StateClosed                  // Close was called; the last state
)

// String gives one lower case word.
func (s State) String() string {
	switch s {
	case StateConnecting:
		return "connecting"
	case StateConnected:
		return "connected"
	case StateSubscribed:
		return "subscribed"
	case StateLost:
		return "lost"
	case StateClosed:
		return "closed"
	}
	return "unknown"
}

// Event is a change of a session's state.
type Event struct {
	State State
	// At is when it happened.
	At time.Time
	// Addr is the host it is about.
	Addr string
	// Server is the broker's server header, Profile the profile's name and Version the agreed
	// protocol version, once connected.
	Server, Profile, Version string
	// Attempt counts failed attempts since the session was last ready.
	Attempt int
	// RetryIn is the wait before the next attempt, in StateLost.
	RetryIn time.Duration
	// Err says why, in StateLost.
	Err error
	// PossibleSecondCopy says that another connection has held the client id for longer than
	// a broker needs to notice a dead one: another copy of this program may be running.
	PossibleSecondCopy bool
}

func (o SessionOptions) withDefaults() (SessionOptions, error) {
	o.Conn = o.Conn.withDefaults()
	if o.Backoff.Min <= 0 {
		o.Backoff.Min = 250 * time.Millisecond
	}
	if o.Backoff.Max <= 0 {
		o.Backoff.Max = 10 * time.Second
	}
	o.Backoff.Max = max(o.Backoff.Max, o.Backoff.Min)
	if o.ConflictPatience <= 0 {
		o.ConflictPatience = 5 * max(o.Conn.HeartBeat, time.Second)
	}
	if o.Observer == nil {
		o.Observer = func(Event) {}
	}
	return o, o.validate()
}

func (o SessionOptions) validate() error {
	if len(o.Hosts) == 0 {
		return errors.New("no broker hosts are given")
	}
	for _, s := range o.Subscriptions {
		if s.Handler == nil {
			return errors.New("subscription to " + s.Destination + " has no handler")
		}
	}
	return o.Conn.validate()
}
