package stomp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// windowOctets is the window of a broker that counts octets. Messages are of 300 octets at least
// with their header, so that fewer than unboundedQueue fit.
const windowOctets = 1 << 20

// unboundedQueue is the room for messages of a broker that cannot be told a prefetch.
const unboundedQueue = 4096

// Subscription is a subscription on one connection.
type Subscription struct {
	conn    *Conn
	id      string
	options SubscribeOptions
	ack     AckMode
	dropped atomic.Uint64

	mu     sync.Mutex
	closed bool
	queue  chan *Message
}

// Message is a message that was received.
type Message struct {
	// Destination is where it was sent to.
	Destination string
	// ID is the broker's message-id; a redelivered message has the same one on ActiveMQ.
	ID string
	// ContentType is the sender's, "" when there is none.
	ContentType string
	// Header is the whole header of the MESSAGE frame.
	Header frame.Header
	// Body belongs to the receiver.
	Body []byte
	// Problem says what of the message was left out since it broke the limits or the protocol's
	// rules: a body, which is nil then, or header lines. Such a message must be acknowledged like any
	// other, or it comes again.
	Problem error

	sub *Subscription
}

// Subscribe makes a subscription and returns when the broker has confirmed it.
func (c *Conn) Subscribe(ctx context.Context, o SubscribeOptions) (*Subscription, error) {
	s, f, err := c.newSubscription(o)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.dead != nil {
		defer c.mu.Unlock()
		return nil, c.dead
	}
	c.lastID++
	if s.id == "" {
		s.id = "s" + strconv.FormatUint(c.lastID, 10)
	}
	if _, taken := c.subs[s.id]; taken {
		defer c.mu.Unlock()
		return nil, fmt.Errorf("subscribing to %s: subscription id %s is in use on this connection", o.Destination, s.id)
	}
	c.subs[s.id] = s
	c.mu.Unlock()
	f.Header.Set(frame.HeaderID, s.id)
	if err := c.call(ctx, f); err != nil {
		c.abandon(s, err)
		return nil, fmt.Errorf("subscribing to %s: %w", o.Destination, err)
	}
	return s, nil
}

// newSubscription translates o into what the profile wants.
func (c *Conn) newSubscription(o SubscribeOptions) (*Subscription, *frame.Frame, error) {
	p := c.profile
	s := &Subscription{conn: c, options: o, ack: p.ackMode(o.Ack)}
	f := frame.New(frame.Subscribe,
		frame.HeaderID, "", frame.HeaderDestination, o.Destination, frame.HeaderAck, s.ack.String())
	if o.DurableName != "" && p.DurableTopics {
		if c.opts.ClientID == "" {
			return nil, nil, fmt.Errorf("subscribing to %s: a durable subscription needs a client id", o.Destination)
		}
		c.addDurable(s, f)
	}
	p.addRouting(f, "subscription-type", o.Destination)
	if o.Selector != "" && p.Selectors {
		f.Header.Add(frame.HeaderSelector, o.Selector)
	}
	room := unboundedQueue
	if p.PrefetchHeader != "" {
		f.Header.Add(p.PrefetchHeader, strconv.Itoa(o.prefetch()))
		room = 2*o.prefetch() + 16
	}
	if p.WindowHeader != "" && s.ack != AckAuto {
		f.Header.Add(p.WindowHeader, strconv.Itoa(windowOctets))
	}
	f.Header = append(f.Header, o.Header...)
	s.queue = make(chan *Message, room)
	return s, f, nil
}

func (c *Conn) addDurable(s *Subscription, f *frame.Frame) {
	p, name := c.profile, s.options.DurableName
	if p.DurableNameHeader != "" {
		f.Header.Add(p.DurableNameHeader, name)
	} else {
		s.id = c.opts.ClientID + "." + name
	}
	f.Header = append(f.Header, p.DurableHeaders...)
}

// abandon forgets a subscription whose receipt did not come in time; the broker may have made
// it all the same, so it is told without waiting.
func (c *Conn) abandon(s *Subscription, err error) {
	c.forget(s)
	var server *ServerError
	if errors.As(err, &server) || c.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.post(ctx, s.unsubscribeFrame())
}

func (c *Conn) forget(s *Subscription) {
	c.mu.Lock()
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
	}
	c.mu.Unlock()
	s.close()
}

// deliver puts a MESSAGE into its subscription's queue, and never waits.
func (c *Conn) deliver(f *frame.Frame) error {
	s := c.subscriptionOf(f)
	if s == nil {
		return nil // unsubscribed meanwhile
	}
	return s.put(&Message{
		Destination: f.Header.Get(frame.HeaderDestination),
		ID:          f.Header.Get(frame.HeaderMessageID),
		ContentType: f.Header.Get(frame.HeaderContentType),
		Header:      f.Header,
		Body:        f.Body,
		Problem:     f.Problem,
		sub:         s,
	})
}

func (c *Conn) subscriptionOf(f *frame.Frame) *Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := f.Header.Lookup(frame.HeaderSubscription)
	if ok {
		return c.subs[id]
	}
	// Brokers of 1.0 need not name the subscription.
	destination := f.Header.Get(frame.HeaderDestination)
	for _, s := range c.subs {
		if s.options.Destination == destination {
			return s
		}
	}
	return nil
}

// put queues m. When there is no room a message that the broker has forgotten already makes
// room by dropping the oldest; one that it would send again ends the connection.
func (s *Subscription) put(m *Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for {
		select {
		case s.queue <- m:
			return nil
		default:
		}
		if s.ack != AckAuto {
			return &OverflowError{Destination: s.options.Destination, Capacity: cap(s.queue)}
		}
		select {
		case <-s.queue:
			s.dropped.Add(1)
		default:
		}
	}
}

func (s *Subscription) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
}

// C delivers the messages in the broker's order. It is closed when the subscription ends or the
// connection dies; Conn.Err says which.
func (s *Subscription) C() <-chan *Message { return s.queue }

// ID is the subscription's id on the wire.
func (s *Subscription) ID() string { return s.id }

// Ack is the mode in force, which the broker's profile may have lowered.
func (s *Subscription) Ack() AckMode { return s.ack }

// Dropped counts messages of an AckAuto subscription that were dropped since the consumer was
// slower than the broker. In the other modes nothing is dropped.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Unsubscribe ends the subscription and waits for the broker's receipt. A durable subscription
// goes on collecting messages, see Conn.DeleteDurable.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	defer s.conn.forget(s)
	if err := s.conn.call(ctx, s.unsubscribeFrame()); err != nil {
		return fmt.Errorf("unsubscribing from %s: %w", s.options.Destination, err)
	}
	return nil
}

func (s *Subscription) unsubscribeFrame() *frame.Frame {
	f := frame.New(frame.Unsubscribe, frame.HeaderID, s.id)
	if s.conn.profile.UnsubscribeDestination {
		f.Header.Add(frame.HeaderDestination, s.options.Destination)
	}
	return f
}

// DeleteDurable makes the broker forget the durable subscription that Subscribe with the same
// options made, and its backlog. It must not be active on any connection.
func (c *Conn) DeleteDurable(ctx context.Context, o SubscribeOptions) error {
	p := c.profile
	if !p.DurableTopics || o.DurableName == "" {
		return nil // nothing is kept
	}
	f := frame.New(frame.Unsubscribe, frame.HeaderID, "delete")
	if p.DurableNameHeader != "" {
		f.Header.Add(p.DurableNameHeader, o.DurableName)
	} else {
		// A broker that goes by the id knows only subscriptions of this connection.
		s, err := c.Subscribe(ctx, o)
		if err != nil {
			return fmt.Errorf("deleting durable subscription %s: %w", o.DurableName, err)
		}
		defer c.forget(s)
		f = s.unsubscribeFrame()
	}
	f.Header = append(f.Header, p.DurableHeaders...)
	if err := c.call(ctx, f); err != nil {
		return fmt.Errorf("deleting durable subscription %s: %w", o.DurableName, err)
	}
	return nil
}

// Ack hands the acknowledgement to the writer and does not wait for the broker: should it be
// lost with the connection, the message comes again. With AckAuto there is nothing to do.
func (m *Message) Ack(ctx context.Context) error {
	f := m.answer(frame.Ack, "")
	if f == nil {
		return nil
	}
	return m.sub.conn.post(ctx, f)
}

// AckAsync acknowledges and asks for a receipt.
func (m *Message) AckAsync(ctx context.Context) (*Receipt, error) {
	f := m.answer(frame.Ack, "")
	if f == nil {
		done := make(chan struct{})
		close(done)
		return &Receipt{done: done}, nil
	}
	return m.sub.conn.request(ctx, f, true)
}

// Nack refuses the message, with the effect that Profile.Nack names. On ActiveMQ it goes to the
// dead letter queue at once: to have a message again, drop the connection instead.
func (m *Message) Nack(ctx context.Context) error {
	c := m.sub.conn
	if c.profile.Nack == NackUnsupported || c.version == frame.V10 {
		return &UnsupportedError{What: "NACK", Profile: c.profile.Name, Version: c.version}
	}
	f := m.answer(frame.Nack, "")
	if f == nil {
		return nil
	}
	return c.post(ctx, f)
}

// Header "redelivered" is not here on purpose: brokers do not set it reliably.

// answer makes an ACK or NACK frame with the headers each version needs; nil when the
// subscription acknowledges by itself.
func (m *Message) answer(command, tx string) *frame.Frame {
	s := m.sub
	if s.ack == AckAuto {
		return nil
	}
	f := frame.New(command)
	switch s.conn.version {
	case frame.V12:
		f.Header.Add(frame.HeaderID, m.Header.Get(frame.HeaderAck))
	case frame.V11, frame.V10:
		f.Header.Add(frame.HeaderMessageID, m.ID)
		f.Header.Add(frame.HeaderSubscription, s.id)
	}
	if tx != "" {
		f.Header.Add(frame.HeaderTransaction, tx)
	}
	return f
}

// String shows where a message came from, its id and its size, never its body.
func (m *Message) String() string {
	return strings.Join([]string{"message", m.ID, "from", m.Destination, strconv.Itoa(len(m.Body)), "octets"}, " ")
}
