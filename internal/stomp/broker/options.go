// Package broker is a STOMP 1.0, 1.1 and 1.2 broker in memory, for development and fast tests.
// It does what ActiveMQ Classic does where the client of this project depends on it: durable
// subscriptions by client id and name with selectors, receipts, acknowledgements, redelivery in
// order, and the wording of its refusals. It keeps nothing over the end of its process.
package broker

import (
	"context"
	"log/slog"
	"net"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// Options of a broker. The zero value listens on a free loopback port.
type Options struct {
	// Addr to listen on; "" is 127.0.0.1:0.
	Addr string
	// Version goes into the server header as Vesper/<version>; "" is "dev".
	Version string
	// Users maps logins to passcodes; none means that the broker asks for nothing.
	Users map[string]string
	// MaxMemory bounds the octets of messages that are kept; a send beyond it is refused with an
	// ERROR. 0 is 256 MiB.
	MaxMemory int64
	// MaxConnections bounds connections; one more is closed at once. 0 is 1000.
	MaxConnections int
	// Prefetch of subscriptions that ask for none. 0 is 100.
	Prefetch int
	// Limits bound the frames that clients send.
	Limits frame.Limits
	// ConnectTimeout is how long a client may take to say CONNECT. 0 is 30 s.
	ConnectTimeout time.Duration
	// WriteTimeout is how long a client may take no data. 0 is 30 s.
	WriteTimeout time.Duration
	// Faults are what goes wrong, for tests.
	Faults Faults
	// Logger gets what is worth a line; nil discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = 256 << 20
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 1000
	}
	if o.Prefetch <= 0 {
		o.Prefetch = 100
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.OrDefault()
	return o
}

// Faults are hooks that make a broker misbehave. A nil hook does nothing. Hooks may be called
// from several goroutines at once.
type Faults struct {
	// Accept decides about a new TCP connection; false closes it at once.
	Accept func(remote net.Addr) bool
	// Received is asked about each frame that came from a client, CONNECT included.
	Received func(clientID string, f *frame.Frame) Fault
	// Sent is asked about each frame before it goes to a client. It may read f, not change it.
	Sent func(clientID string, f *frame.Frame) Fault
}

// Fault is what befalls one frame. The zero value is nothing. Delay comes first; Disconnect
// happens instead of the frame.
type Fault struct {
	Delay      time.Duration
	Drop       bool
	Duplicate  bool // of frames that are sent
	Disconnect bool
}

func (f Fault) wait(ctx context.Context) {
	if f.Delay <= 0 {
		return
	}
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
