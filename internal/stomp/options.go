package stomp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// Options say how to make and keep one connection. The zero value is usable.
type Options struct {
	// ClientID goes into CONNECT as client-id; durable subscriptions belong to it. Two live
	// connections must not share one. "" sends none.
	ClientID string
	// Host is the virtual host; "" sends the profile's, or the host of the address.
	Host string
	// Credentials is asked at every connect; nil sends none.
	Credentials CredentialSource
	// TLS is asked at every connect; nil speaks plain TCP.
	TLS TLSSource
	// Profile overrides the choice by the server header.
	Profile *Profile
	// MaxVersion is the highest protocol version to offer; "" is 1.2, or the profile's.
	MaxVersion frame.Version
	// HeartBeat is offered in both directions: this side sends at least so often, and wants to
	// hear so often. The peer is taken for dead after 2.5 times the agreed interval without
	// an octet (twice and 500 ms if that is more). 0 is 10 s; negative offers none, and then only TCP's keep-alive finds a dead peer.
	HeartBeat time.Duration
	// ConnectTimeout bounds dialing, TLS and the handshake together. 0 is 10 s.
	ConnectTimeout time.Duration
	// WriteTimeout bounds one write to the socket. A broker that reads nothing for so long is
	// taken for dead. 0 is 30 s.
	WriteTimeout time.Duration
	// Window is the greatest number of sends without an answer; the next one waits. 0 is 1000.
	Window int
	// Limits bound frames in both directions.
	Limits frame.Limits
	// Dial makes the TCP connection; nil uses net.Dialer with keep-alive.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// OnError is told of ERROR frames that name no receipt, from the reader's goroutine; it
	// must not block. nil logs them.
	OnError func(*ServerError)
	// Logger gets what is worth a line; nil discards.
	Logger *slog.Logger
}

// Defaults of Options.
const (
	DefaultHeartBeat      = 10 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultWriteTimeout   = 30 * time.Second
	DefaultWindow         = 1000
)

func (o Options) withDefaults() Options {
	if o.HeartBeat == 0 {
		o.HeartBeat = DefaultHeartBeat
	}
	o.HeartBeat = max(o.HeartBeat, 0)
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	if o.Window <= 0 {
		o.Window = DefaultWindow
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = defaultDial
	}
	o.Limits = o.Limits.OrDefault()
	return o
}

func defaultDial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	return d.DialContext(ctx, network, addr)
}

// validate names what cannot work.
func (o Options) validate() error {
	if o.MaxVersion != "" {
		if _, err := frame.ParseVersion(string(o.MaxVersion)); err != nil {
			return err
		}
	}
	if o.HeartBeat > 0 && o.HeartBeat < time.Millisecond {
		return fmt.Errorf("heart-beat of %v is less than the protocol's unit, 1ms", o.HeartBeat)
	}
	return nil
}

// AckMode is how a subscription's messages are acknowledged.
type AckMode int

// The protocol's modes.
const (
	AckAuto             AckMode = iota // the broker forgets a message when it has sent it
	AckClient                          // Ack covers the message and all before it on its subscription
	AckClientIndividual                // Ack covers one message
)

// String gives the wire form.
func (m AckMode) String() string {
	switch m {
	case AckAuto:
		return "auto"
	case AckClient:
		return "client"
	case AckClientIndividual:
		return "client-individual"
	}
	return fmt.Sprintf("AckMode(%d)", int(m))
}

// Outgoing is a message to send.
type Outgoing struct {
	// Destination such as /topic/NAME or /queue/NAME.
	Destination string
	// ContentType goes into content-type; "" sends none.
	ContentType string
	// Body may hold any octets. It must not change until the send has returned.
	Body []byte
	// NonPersistent lets the broker keep the message in memory only. The zero value asks for
	// persistence, without which a receipt proves nothing.
	NonPersistent bool
	// Expires is when the broker may drop the message; the zero time is never. Brokers without
	// Profile.Expiry keep it.
	Expires time.Time
	// Text sends the body without its length, by which some brokers tell text from octets. It must
	// hold no NUL.
	Text bool
	// Header holds further lines, such as clientid for selectors.
	Header frame.Header
}

// SubscribeOptions say what to subscribe to and how.
type SubscribeOptions struct {
	// Destination such as /topic/NAME or /queue/NAME.
	Destination string
	// DurableName makes a durable subscription on a topic, belonging to Options.ClientID. On a
	// broker without durable topics it has no effect.
	DurableName string
	// Ack is the mode wanted; a profile may have to fall back, see Subscription.Ack.
	Ack AckMode
	// Selector filters at the broker, see NotFrom. Where the profile has no selectors none is
	// sent, and the consumer gets everything.
	Selector string
	// Prefetch bounds the messages the broker may send ahead of acknowledgements. 0 is 64.
	Prefetch int
	// Header holds further lines of the SUBSCRIBE frame.
	Header frame.Header
}

// DefaultPrefetch is the prefetch of SubscribeOptions with none.
const DefaultPrefetch = 64

func (o SubscribeOptions) prefetch() int {
	if o.Prefetch <= 0 {
		return DefaultPrefetch
	}
	return o.Prefetch
}
