package stomplink

import (
	"context"
	"errors"
	"testing"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestLinkIsConnectedOnlyWhenBothConnectionsAre(t *testing.T) {
	lost := errors.New("lost")
	for name, tc := range map[string]struct {
		sending, receiving stomp.Event
		want               replication.State
	}{
		"nothing yet": {stomp.Event{}, stomp.Event{}, replication.State{}},
		"both ready": {
			stomp.Event{State: stomp.StateSubscribed}, stomp.Event{State: stomp.StateSubscribed, Addr: "b:1", Server: "S/1"},
			replication.State{Connected: true, Subscribed: true, Address: "b:1", Server: "S/1"},
		},
		"subscribing": {
			stomp.Event{State: stomp.StateSubscribed}, stomp.Event{State: stomp.StateConnected, Addr: "b:1"},
			replication.State{Connected: true, Address: "b:1"},
		},
		"cannot send": {
			stomp.Event{State: stomp.StateLost, Err: lost}, stomp.Event{State: stomp.StateSubscribed, Addr: "b:1"},
			replication.State{Subscribed: true, Address: "b:1", Err: lost},
		},
		"cannot receive": {
			stomp.Event{State: stomp.StateSubscribed}, stomp.Event{State: stomp.StateLost, Addr: "b:1", Err: lost, PossibleSecondCopy: true},
			replication.State{Err: lost, InUse: true},
		},
		"closed": {
			stomp.Event{State: stomp.StateClosed}, stomp.Event{State: stomp.StateSubscribed},
			replication.State{Subscribed: true},
		},
	} {
		if got := combine(tc.sending, tc.receiving); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestTryingAgainKeepsTheLastErrorVisible(t *testing.T) {
	var last replication.State
	tr := &Transport{observe: func(s replication.State) { last = s }}
	lost := errors.New("lost")
	tr.event(&tr.receiveAt, stomp.Event{State: stomp.StateLost, Err: lost, PossibleSecondCopy: true})
	tr.event(&tr.receiveAt, stomp.Event{State: stomp.StateConnecting})
	if !errors.Is(last.Err, lost) || !last.InUse {
		t.Errorf("while trying again: %+v", last)
	}
	tr.event(&tr.receiveAt, stomp.Event{State: stomp.StateConnected, Addr: "b:1"})
	tr.event(&tr.receiveAt, stomp.Event{State: stomp.StateSubscribed, Addr: "b:1"})
	tr.event(&tr.sendAt, stomp.Event{State: stomp.StateSubscribed})
	if last.Err != nil || last.InUse || !last.Up() {
		t.Errorf("once it is up: %+v", last)
	}
}

func TestSubscriptionsAreTranslatedWithAStableSelectorAndBoundedPrefetch(t *testing.T) {
	tr := &Transport{}
	nothing := func(context.Context, replication.Delivery) {}
	got := tr.subscriptions([]replication.Subscription{
		{Destination: replication.Destination{Kind: replication.Topic, Name: "CH"}, Durable: "0A-CH", Except: "0A", Deliver: nothing},
		{Destination: replication.Destination{Kind: replication.Topic, Name: "CH.beacon"}, AutoAck: true, Deliver: nothing},
		{Destination: replication.Destination{Kind: replication.Queue, Name: "CH.sync.0A"}, Deliver: nothing},
	})
	data, beacons, sync := got[0], got[1], got[2]
	// ActiveMQ throws the backlog away when this text ever changes.
	if data.Selector != "clientid <> '0A'" || data.DurableName != "0A-CH" || data.Destination != "/topic/CH" {
		t.Errorf("data: %+v", data.SubscribeOptions)
	}
	if data.Ack != stomp.AckClientIndividual || data.Prefetch != dataPrefetch {
		t.Errorf("data: ack %s, prefetch %d", data.Ack, data.Prefetch)
	}
	if beacons.Selector != "" || beacons.DurableName != "" || beacons.Ack != stomp.AckAuto || beacons.Destination != "/topic/CH.beacon" {
		t.Errorf("beacons: %+v", beacons.SubscribeOptions)
	}
	if sync.Destination != "/queue/CH.sync.0A" || sync.Ack != stomp.AckClientIndividual || sync.Prefetch != syncPrefetch {
		t.Errorf("sync: %+v", sync.SubscribeOptions)
	}
}

func TestWithoutSTOMPAckNothingIsAcknowledged(t *testing.T) {
	tr := &Transport{o: Options{NoSTOMPAck: true}}
	var got replication.Delivery
	s := replication.Subscription{Deliver: func(_ context.Context, d replication.Delivery) { got = d }}
	sub := tr.subscriptions([]replication.Subscription{s})[0]
	if sub.Ack != stomp.AckAuto {
		t.Errorf("ack %s", sub.Ack)
	}
	sub.Handler(t.Context(), &stomp.Message{Body: []byte("x")})
	if got.Ack != nil || string(got.Body) != "x" {
		t.Errorf("delivery %+v", got)
	}
}

func TestOwnMessagesOfABrokerWithoutSelectorsAreLeftOut(t *testing.T) {
	tr := &Transport{}
	var from []branch.ID
	s := replication.Subscription{Except: "0A", Deliver: func(_ context.Context, d replication.Delivery) { from = append(from, d.From) }}
	handle := tr.handler(s, stomp.AckAuto)
	for _, id := range []string{"0A", "0B", ""} {
		m := &stomp.Message{}
		m.Header = frame.Header{{Key: clientIDHeader, Value: id}}
		handle(t.Context(), m)
	}
	if len(from) != 2 || from[0] != "0B" || from[1] != "" {
		t.Errorf("delivered %q", from)
	}
}

func TestReceivingAndSendingHaveClientIDsOfTheirOwn(t *testing.T) {
	tr, err := New(Options{Hosts: []string{"h:1"}, Branch: "0A", Flavor: "activemq"})
	if err != nil {
		t.Fatal(err)
	}
	receive, send := tr.options(""), tr.options("-send")
	if receive.ClientID != "0A" || send.ClientID != "0A-send" {
		t.Errorf("client ids %q and %q", receive.ClientID, send.ClientID)
	}
	if receive.Profile == nil || receive.Profile.Name != "activemq" {
		t.Errorf("profile %+v", receive.Profile)
	}
	if auto, err := New(Options{Hosts: []string{"h:1"}, Branch: "0A", Flavor: "auto"}); err != nil || auto.options("").Profile != nil {
		t.Errorf("auto chose a profile before the broker spoke: %v", err)
	}
}

func TestConfirmationOfWhatNeedsNoneIsImmediate(t *testing.T) {
	if err := (receipts)(nil).Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
