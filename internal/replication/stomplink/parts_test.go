package stomplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestMessageThatFitsAndTextAreNotSplit(t *testing.T) {
	out := stomp.Outgoing{Body: make([]byte, 100)}
	if got := split(out, 100); len(got) != 1 || got[0].Header.Get(partHeader) != "" {
		t.Errorf("%d parts", len(got))
	}
	out.Text = true
	if got := split(out, 10); len(got) != 1 {
		t.Errorf("a text was split into %d", len(got))
	}
}

// arrival is a part on its way.
type arrival struct {
	from branch.ID
	part stomp.Outgoing
}

// TestPartsInAnyOrderWithRepetitionsMakeEachMessageWhole: parts of several
// messages mix, and a broker may repeat them.
func TestPartsInAnyOrderWithRepetitionsMakeEachMessageWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]bool{}
		var all []arrival
		for i := range rapid.IntRange(1, 4).Draw(t, "messages") {
			body := bytes.Repeat([]byte{byte(i)}, rapid.IntRange(2, 60).Draw(t, "size"))
			copy(body, fmt.Sprint(i))
			want[string(body)] = true
			parts := split(stomp.Outgoing{Body: body}, rapid.IntRange(1, len(body)-1).Draw(t, "part"))
			for _, p := range parts {
				all = append(all, arrival{branch.ID(fmt.Sprintf("0%c", 'A'+i%2)), p})
			}
		}
		all = rapid.Permutation(all).Draw(t, "order")
		var a assembler
		got := map[string]bool{}
		for _, x := range all {
			whole, complete, err := a.add(x.from, x.part.Header.Get(partHeader), x.part.Body)
			if err != nil {
				t.Fatal(err)
			}
			if complete {
				got[string(whole)] = true
				continue
			}
			// A part that comes twice changes nothing while its message is incomplete.
			if _, again, err := a.add(x.from, x.part.Header.Get(partHeader), x.part.Body); again || err != nil {
				t.Fatalf("a repeated part: %v, %v", again, err)
			}
		}
		if len(got) != len(want) || len(a.open) != 0 || a.held != 0 {
			t.Fatalf("%d of %d messages, %d open, %d bytes held", len(got), len(want), len(a.open), a.held)
		}
		for body := range want {
			if !got[body] {
				t.Fatalf("%q is missing", body)
			}
		}
	})
}

func TestIncompleteMessagesAreBounded(t *testing.T) {
	var a assembler
	for i := range 10 * maxOpen {
		if _, _, err := a.add("0A", fmt.Sprintf("m%d.1.2", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.open) > maxOpen || a.held > maxOpen {
		t.Errorf("%d open, %d bytes", len(a.open), a.held)
	}
	if _, complete, err := a.add("0A", fmt.Sprintf("m%d.2.2", 10*maxOpen-1), []byte("y")); !complete || err != nil {
		t.Errorf("the latest was dropped: %v, %v", complete, err)
	}
	a.open[0].since = a.open[0].since.Add(-2 * maxAge)
	old := a.open[0].id
	if _, _, err := a.add("0A", "fresh.1.2", []byte("x")); err != nil || a.find("0A", old, 2).missed != 2 {
		t.Errorf("one that waited for too long was kept: %v", err)
	}
	a = assembler{}
	piece := make([]byte, maxBody/2+1)
	for i := range 6 {
		if _, _, err := a.add("0A", fmt.Sprintf("l%d.1.3", i), piece); err != nil {
			t.Fatal(err)
		}
	}
	if a.held > maxHeld+len(piece) {
		t.Errorf("%d bytes are held", a.held)
	}
	if _, _, err := a.add("0A", "l5.2.3", piece); err == nil {
		t.Error("a message of more than the largest was not refused")
	}
}

func TestWhatIsNoPartIsRefusedAndHandedOnWithItsProblem(t *testing.T) {
	for _, header := range []string{
		"", "a", "a.1", "a.1.2.3", ".1.2", "a.0.2", "a.3.2", "a.-1.2", "a.1.99999999", "a.x.2", "a.1.x",
		strings.Repeat("a", 99) + ".1.2",
	} {
		var a assembler
		acked := false
		d := replication.Delivery{
			Message: replication.Message{From: "0A", Header: map[string]string{partHeader: header}, Body: []byte("x")},
			Ack:     func(context.Context) error { acked = true; return nil },
		}
		if !a.whole(t.Context(), &d) || d.Problem == nil || acked || len(a.open) != 0 {
			t.Errorf("%q: problem %v, acknowledged %v, %d open", header, d.Problem, acked, len(a.open))
		}
	}
	var a assembler
	if _, _, err := a.add("0A", "a.1.2", nil); err == nil {
		t.Error("an empty part was taken")
	}
	if _, _, err := a.add("0A", "a.1.2", []byte("x")); err != nil {
		t.Error(err)
	}
	if _, _, err := a.add("0A", "a.1.3", []byte("x")); err == nil {
		t.Error("a part of a message with another count was taken")
	}
}

func TestPartsAreAcknowledgedAsTheyComeAndTheLastOnlyByTheReceiver(t *testing.T) {
	var a assembler
	acked := 0
	var got []replication.Delivery
	for _, p := range split(stomp.Outgoing{Body: []byte("abcdefg")}, 3) {
		d := replication.Delivery{
			Message: replication.Message{From: "0A", Header: map[string]string{partHeader: p.Header.Get(partHeader)}, Body: p.Body},
			Ack:     func(context.Context) error { acked++; return nil },
		}
		if a.whole(t.Context(), &d) {
			got = append(got, d)
		}
	}
	if len(got) != 1 || string(got[0].Body) != "abcdefg" || got[0].Ack == nil || acked != 2 {
		t.Errorf("%d messages, %d parts acknowledged: %+v", len(got), acked, got)
	}
}

func TestPartSizeFollowsTheProfileTheOptionsAndWhatTheBrokerRefused(t *testing.T) {
	tr := &Transport{o: Options{MaxMessage: 1 << 20}}
	if n := tr.partSize(stomp.RabbitMQ(), 10); n != 1<<20 {
		t.Errorf("by the options: %d", n)
	}
	tr.o.MaxMessage = 0
	if n := tr.partSize(stomp.RabbitMQ(), 10<<20); n != stomp.RabbitMQ().MaxBody {
		t.Errorf("by the profile: %d", n)
	}
	tooLarge := &stomp.ConnectionError{Err: &stomp.ServerError{Message: "The maximum frame size was exceeded"}}
	tr.learn(errors.New("connection reset")) // says nothing of size
	if n := tr.partSize(stomp.Generic(), 1<<20); n != maxWhole {
		t.Errorf("after another loss: %d", n)
	}
	tr.learn(tooLarge)
	if n := tr.partSize(stomp.Generic(), 9<<20); n != 1<<19 {
		t.Errorf("after a refusal of a megabyte: %d", n)
	}
	for range 30 {
		tr.learn(tooLarge)
		tr.partSize(stomp.Generic(), 9<<20)
	}
	if n := tr.partSize(stomp.Generic(), 1); n != minPart {
		t.Errorf("after many refusals: %d", n)
	}
}

func TestConnectionsThatEndAgainAndAgainOverALargeMessageMakePartsSmaller(t *testing.T) {
	reset := errors.New("connection reset")
	tr := &Transport{}
	for range brokenOften - 1 {
		tr.partSize(stomp.Generic(), 1<<20)
		tr.learn(reset)
	}
	if n := tr.partSize(stomp.Generic(), 9<<20); n != maxWhole {
		t.Errorf("after too few losses: %d", n)
	}
	tr.largest = 1 << 20
	tr.learn(reset)
	if n := tr.partSize(stomp.Generic(), 9<<20); n != 1<<19 {
		t.Errorf("after as many losses as tell: %d", n)
	}
	tr.brokenSince = tr.brokenSince.Add(-2 * brokenWithin)
	for range brokenOften - 1 {
		tr.learn(reset)
		tr.partSize(stomp.Generic(), 9<<20)
	}
	if n := tr.partSize(stomp.Generic(), 9<<20); n != 1<<19 {
		t.Errorf("after losses long after: %d", n)
	}
	small := &Transport{}
	for range 10 * brokenOften {
		small.partSize(stomp.Generic(), 10)
		small.learn(reset)
	}
	if n := small.partSize(stomp.Generic(), 9<<20); n != maxWhole {
		t.Errorf("losses with nothing large on its way: %d", n)
	}
}

func TestHeadersAndTextPassBothWays(t *testing.T) {
	out := outgoing(replication.Destination{Name: "CH"}, replication.Message{From: "0A", Text: true, Header: map[string]string{"origin": "0A", "a": "b"}})
	if !out.Text || !slices.Equal(out.Header, frame.Header{{Key: "clientid", Value: "0A"}, {Key: "a", Value: "b"}, {Key: "origin", Value: "0A"}}) {
		t.Errorf("sent %+v", out)
	}
	m := &stomp.Message{Header: frame.Header{{Key: "clientid", Value: "0B"}, {Key: "origin", Value: "x"}, {Key: "origin", Value: "y"}}}
	d := delivery(m)
	if d.From != "0B" || d.Header["origin"] != "x" || !d.Text {
		t.Errorf("received %+v", d)
	}
	m.Header.Add("content-length", "0")
	if delivery(m).Text {
		t.Error("a counted body passed for text")
	}
}

// FuzzParts: whatever headers and bodies strangers send, what is held stays bounded and is counted
// right, and only whole messages come out.
func FuzzParts(f *testing.F) {
	f.Add("a.1.2 a.2.2 b.1.1", []byte("xyz"))
	f.Add("a.1.3 a.1.4 a.4096.4096 .1.1 a.0.0 a.1.2.3", []byte("0123456789"))
	f.Fuzz(func(t *testing.T, headers string, body []byte) {
		var a assembler
		for i, h := range strings.Fields(headers) {
			part := body[min(i, len(body)):]
			whole, complete, err := a.add(branch.ID(fmt.Sprint(i%3)), h, part)
			if complete && (err != nil || len(whole) < len(part)) || err != nil && whole != nil {
				t.Fatalf("part %q of %d bytes made %d bytes, %v", h, len(part), len(whole), err)
			}
			held := 0
			for _, m := range a.open {
				held += m.bytes
			}
			if len(a.open) > maxOpen+1 || held != a.held {
				t.Fatalf("%d messages are open, %d bytes are held, %d counted", len(a.open), held, a.held)
			}
		}
	})
}

func TestMessagesThatAreGivenUpIncompleteAreCountedAndOthersAreNot(t *testing.T) {
	tr, err := New(Options{Hosts: []string{"h:1"}, Branch: "0B", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := assembler{dropped: tr.gaveUp}
	for i := range maxOpen + 3 {
		if _, _, err := a.add("0A", fmt.Sprintf("m%d.1.2", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if got := tr.DroppedParts(); got != 3 {
		t.Errorf("%d are counted, 3 gave way", got)
	}
	if _, complete, err := a.add("0A", fmt.Sprintf("m%d.2.2", maxOpen), []byte("y")); !complete || err != nil || tr.DroppedParts() != 3 {
		t.Errorf("complete %v, %v, %d counted", complete, err, tr.DroppedParts())
	}
	var delivered int
	handle := tr.handler(replication.Subscription{Deliver: func(context.Context, replication.Delivery) { delivered++ }}, stomp.AckAuto)
	for i := range maxOpen + 2 {
		m := &stomp.Message{Body: []byte("x")}
		m.Header.Add(clientIDHeader, "0A")
		m.Header.Add(partHeader, fmt.Sprintf("h%d.1.2", i))
		handle(t.Context(), m)
	}
	if got := tr.DroppedParts(); got != 5 || delivered != 0 {
		t.Errorf("%d are counted, %d delivered: the subscription's are not counted", got, delivered)
	}
}
