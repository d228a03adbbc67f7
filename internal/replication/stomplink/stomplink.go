// Package stomplink carries a replication link over a STOMP broker. It holds
// two connections: what is received must not wait for what is sent, since a
// broker whose store is full stops reading from those who send.
package stomplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/frame"
)

const (
	// clientIDHeader carries the publisher's branch: selectors filter by it.
	clientIDHeader = "clientid"
	// farewell bounds the good-bye to the broker.
	farewell = 5 * time.Second
	// dataPrefetch and syncPrefetch bound the messages the broker sends ahead:
	// those of the data topic and the chunks of answers are large.
	dataPrefetch = 32
	syncPrefetch = 16
	// maxBody bounds a frame: a message holds at least one changeset, which may
	// be as large as 64 MiB.
	maxBody = 96 << 20
	// maxWhole is the largest body that is sent in one message whatever the
	// broker takes: brokers hold messages in memory.
	maxWhole = 16 << 20
)

// Options say where the broker is and how to talk to it.
type Options struct {
	// Hosts are the addresses, host:port, tried in order.
	Hosts []string
	// Branch is the client id of the receiving connection, and with "-send"
	// behind it that of the sending one.
	Branch branch.ID
	// Link is part of the client ids, so that a node can have several links to one
	// broker; "" for the only one.
	Link string
	// Flavor names the broker's profile; "" or "auto" chooses by what it says.
	Flavor string
	// VirtualHost is the one to connect to on brokers that have several; "" is
	// what the broker's make usually has.
	VirtualHost string
	// MaxMessage bounds the body of one message, in bytes, for a broker that
	// takes less than its make usually does; larger ones are sent in parts. 0
	// goes by the make.
	MaxMessage int
	// Credentials and TLS are asked at every connect; nil for none.
	Credentials stomp.CredentialSource
	TLS         stomp.TLSSource
	// HeartBeat is the interval offered, 0 for 10 s.
	HeartBeat time.Duration
	// NoSTOMPAck leaves acknowledging to the broker, for brokers that cannot do
	// it otherwise. What is lost then is repaired from peers.
	NoSTOMPAck bool
	// Backoff spaces the attempts to connect.
	Backoff stomp.Backoff
	Logger  *slog.Logger
}

// Transport is a replication.Transport over STOMP.
type Transport struct {
	o       Options
	profile *stomp.Profile
	// incomplete counts messages given up.
	incomplete atomic.Uint64

	mu                sync.Mutex
	sending           *stomp.Session
	observe           func(replication.State)
	sendAt, receiveAt stomp.Event
	// largest is the largest body sent on the current connection, taken what the
	// broker turned out to take at most; 0 while it refused none.
	largest, taken int
	// broken counts the connections that ended since brokenSince, and on which a body
	// was sent that could be smaller.
	broken      int
	brokenSince time.Time
}

// New checks the options. The error names the one that is wrong.
func New(o Options) (*Transport, error) {
	t := &Transport{o: o}
	if len(o.Hosts) == 0 {
		return nil, errors.New("no broker hosts are given")
	}
	if _, err := branch.ParseID(string(o.Branch)); err != nil {
		return nil, err
	}
	if o.Flavor != "" && o.Flavor != "auto" {
		p, err := stomp.ProfileNamed(o.Flavor)
		if err != nil {
			return nil, err
		}
		t.profile = &p
	}
	return t, nil
}

func (t *Transport) options(suffix string) stomp.Options {
	id := string(t.o.Branch)
	if t.o.Link != "" {
		id += "-" + t.o.Link
	}
	return stomp.Options{
		ClientID: id + suffix, Host: t.o.VirtualHost, Credentials: t.o.Credentials, TLS: t.o.TLS, Profile: t.profile,
		HeartBeat: t.o.HeartBeat, Limits: frame.Limits{Body: maxBody}, Logger: t.o.Logger,
	}
}

// Run implements replication.Transport.
func (t *Transport) Run(ctx context.Context, subs []replication.Subscription, observe func(replication.State)) error {
	t.mu.Lock()
	t.observe = observe
	t.mu.Unlock()
	sending, err := stomp.Open(stomp.SessionOptions{
		Hosts: t.o.Hosts, Conn: t.options("-send"), Backoff: t.o.Backoff,
		Observer: func(e stomp.Event) { t.event(&t.sendAt, e) },
	})
	if err != nil {
		return err
	}
	receiving, err := stomp.Open(stomp.SessionOptions{
		Hosts: t.o.Hosts, Conn: t.options(""), Backoff: t.o.Backoff, Subscriptions: t.subscriptions(subs),
		Observer: func(e stomp.Event) { t.event(&t.receiveAt, e) },
	})
	if err != nil {
		return errors.Join(err, closeSession(sending))
	}
	t.mu.Lock()
	t.sending = sending
	t.mu.Unlock()
	<-ctx.Done()
	t.leave(sending, receiving)
	return nil
}

// leave says good-bye on both connections at once. What goes wrong with it is
// only worth a line: the broker sees the connections end.
func (t *Transport) leave(sessions ...*stomp.Session) {
	var all sync.WaitGroup
	for _, s := range sessions {
		all.Go(func() {
			if err := closeSession(s); err != nil && t.o.Logger != nil {
				t.o.Logger.Debug("Left the broker without a good-bye", slog.Any("error", err))
			}
		})
	}
	all.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observe = func(replication.State) {}
}

// closeSession ends a session in bounded time.
func closeSession(s *stomp.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	err := s.Close(ctx)
	<-s.Done()
	return err
}

// event takes a change of one connection and tells what it means for the link.
func (t *Transport) event(which *stomp.Event, e stomp.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.State == stomp.StateConnecting {
		// Trying again does not make the last failure go away.
		e.Err, e.PossibleSecondCopy = which.Err, which.PossibleSecondCopy
	}
	*which = e
	if which == &t.sendAt && e.State == stomp.StateLost {
		t.learn(e.Err)
	}
	t.observe(combine(t.sendAt, t.receiveAt))
}

// combine makes one state of the two connections'.
func combine(sending, receiving stomp.Event) replication.State {
	s := replication.State{
		Connected:  sending.State == stomp.StateSubscribed && linked(receiving),
		Subscribed: receiving.State == stomp.StateSubscribed,
		Taken:      stomp.IsClientIDInUse(sending.Err) || stomp.IsClientIDInUse(receiving.Err),
		InUse:      sending.PossibleSecondCopy || receiving.PossibleSecondCopy,
	}
	if linked(receiving) {
		s.Address, s.Server = receiving.Addr, receiving.Server
	}
	for _, e := range []stomp.Event{receiving, sending} {
		if e.Err != nil {
			s.Err = e.Err
		}
	}
	return s
}

func linked(e stomp.Event) bool {
	return e.State == stomp.StateConnected || e.State == stomp.StateSubscribed
}

func (t *Transport) subscriptions(subs []replication.Subscription) []stomp.SessionSubscription {
	out := make([]stomp.SessionSubscription, 0, len(subs))
	for _, s := range subs {
		o := stomp.SubscribeOptions{
			Destination: destination(s.Destination), DurableName: s.Durable,
			Ack: stomp.AckClientIndividual, Prefetch: prefetch(s),
		}
		if s.AutoAck || t.o.NoSTOMPAck {
			o.Ack = stomp.AckAuto
		}
		if s.Except != "" {
			o.Selector = stomp.NotFrom(string(s.Except))
		}
		out = append(out, stomp.SessionSubscription{SubscribeOptions: o, Handler: t.handler(s, o.Ack)})
	}
	return out
}

func prefetch(s replication.Subscription) int {
	switch {
	case s.AutoAck:
		return stomp.DefaultPrefetch
	case s.Destination.Kind == replication.Queue:
		return syncPrefetch
	default:
		return dataPrefetch
	}
}

// handler hands a message on. Where the broker has no selectors, our own come
// back to us: they are left out here.
func (t *Transport) handler(s replication.Subscription, ack stomp.AckMode) func(context.Context, *stomp.Message) {
	parts := assembler{dropped: t.gaveUp}
	return func(ctx context.Context, m *stomp.Message) {
		d := delivery(m)
		if ack != stomp.AckAuto {
			d.Ack = m.Ack
		}
		if s.Except != "" && d.From == s.Except {
			if d.Ack != nil {
				_ = d.Ack(ctx) // an ACK that fails only brings it again
			}
			return
		}
		if parts.whole(ctx, &d) {
			s.Deliver(ctx, d)
		}
	}
}

// gaveUp counts a message of which some parts did not come.
func (t *Transport) gaveUp(from branch.ID, parts, of int) {
	t.incomplete.Add(1)
	t.logger().Warn("Gave up a message of which some parts did not come; what it held is fetched from peers",
		"from", from, "parts", parts, "of", of)
}

func (t *Transport) logger() *slog.Logger {
	if t.o.Logger == nil {
		return slog.Default()
	}
	return t.o.Logger
}

// DroppedParts implements replication.PartsDropper.
func (t *Transport) DroppedParts() uint64 { return t.incomplete.Load() }

var _ replication.PartsDropper = (*Transport)(nil)

func delivery(m *stomp.Message) replication.Delivery {
	d := replication.Delivery{Message: replication.Message{
		From: branch.ID(m.Header.Get(clientIDHeader)), ContentType: m.ContentType, Body: m.Body,
		Header: make(map[string]string, len(m.Header)),
	}, Problem: m.Problem}
	for _, x := range m.Header {
		if _, repeated := d.Header[x.Key]; !repeated {
			d.Header[x.Key] = x.Value
		}
	}
	_, counted := d.Header[frame.HeaderContentLength]
	d.Text = !counted
	return d
}

func destination(d replication.Destination) string {
	if d.Kind == replication.Queue {
		return "/queue/" + d.Name
	}
	return "/topic/" + d.Name
}

// Publish implements replication.Transport.
func (t *Transport) Publish(ctx context.Context, to replication.Destination, m replication.Message) (replication.Confirmation, error) {
	t.mu.Lock()
	sending := t.sending
	t.mu.Unlock()
	if sending == nil {
		return nil, errors.New("not connected to the broker")
	}
	out := outgoing(to, m)
	// All parts go to one connection: what a lost one had of them is void.
	c, err := sending.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("sending to %s: %w", out.Destination, err)
	}
	var answers receipts
	for _, part := range split(out, t.partSize(c.Profile(), len(m.Body))) {
		if !m.Confirm {
			err = c.SendNoReceipt(ctx, part)
		} else {
			var r *stomp.Receipt
			if r, err = c.SendAsync(ctx, part); err == nil {
				answers = append(answers, r)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("sending to %s: %w", out.Destination, err)
		}
	}
	return answers, nil
}

func outgoing(to replication.Destination, m replication.Message) stomp.Outgoing {
	out := stomp.Outgoing{
		Destination: destination(to), ContentType: m.ContentType, Body: m.Body, Text: m.Text, NonPersistent: !m.Persistent,
	}
	out.Header.Add(clientIDHeader, string(m.From))
	for _, key := range slices.Sorted(maps.Keys(m.Header)) {
		out.Header.Add(key, m.Header[key])
	}
	if m.TTL > 0 {
		out.Expires = time.Now().Add(m.TTL)
	}
	return out
}

// partSize is the largest body that the broker takes, and notes that one of
// this size is about to be sent.
func (t *Transport) partSize(p stomp.Profile, body int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	size := maxWhole
	for _, limit := range []int{p.MaxBody, t.o.MaxMessage, t.taken} {
		if limit > 0 {
			size = min(size, limit)
		}
	}
	size = max(size, minPart)
	t.largest = max(t.largest, min(size, body))
	return size
}

// brokenOften is how many connections end within brokenWithin before the size of
// what they carried is blamed.
const (
	brokenOften  = 3
	brokenWithin = time.Minute
)

// suspect counts the end of a connection that says nothing of size, and reports
// whether there were so many that size is the likely cause.
func (t *Transport) suspect(now time.Time) bool {
	if now.Sub(t.brokenSince) > brokenWithin {
		t.broken, t.brokenSince = 0, now
	}
	t.broken++
	return t.broken >= brokenOften
}

// learn takes the end of the sending connection: where the broker ended it over
// the size of a frame, the next ones are half as large. A broker that closes before
// it has read the whole frame may take its words back with it, since the reset of the
// connection overtakes them; so several ends in a short time are as good as words.
func (t *Transport) learn(err error) {
	refused := t.largest
	t.largest = 0
	if refused <= minPart || !stomp.IsTooLarge(err) && !t.suspect(time.Now()) {
		return
	}
	t.broken = 0
	t.taken = max(refused/2, minPart)
	if t.o.Logger != nil {
		t.o.Logger.Warn("The broker refused a message for its size, or ended the connection again and again while one was sent; larger ones are sent in parts from now on",
			slog.Int("refused", refused), slog.Int("part", t.taken), slog.Any("error", err))
	}
}
