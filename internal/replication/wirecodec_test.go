package replication

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

// singleWire sends one changeset a message, as text with a header, and has no
// form for some.
type singleWire struct {
	mu     sync.Mutex
	refuse func(branch.Dot) bool
	fail   error
}

func (w *singleWire) set(change func(*singleWire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func (w *singleWire) Pack(list []changeset.Envelope) (out []Message, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	for _, e := range list {
		if w.refuse != nil && w.refuse(e.Dot) {
			return nil, fmt.Errorf("packing: %w", &UnsendableError{Dot: e.Dot, Err: errors.New("no form for it")})
		}
		body, err := changeset.Pack([]changeset.Envelope{e})
		if err != nil {
			return nil, err
		}
		out = append(out, Message{From: e.Dot.Branch, Text: true, Header: map[string]string{"n": e.Dot.String()}, Body: body})
	}
	return out, nil
}

func (w *singleWire) Unpack(m Message) ([]changeset.Envelope, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	return changeset.Unpack(m.Body, changeset.DefaultLimits())
}

func sentDots(t *testing.T, sent []sentMessage) (out []string) {
	t.Helper()
	for _, m := range sent {
		out = append(out, dots(t, m)...)
	}
	return out
}

func TestPackedWireReadsOnlyWhatSaysThatItIsPacked(t *testing.T) {
	m, err := PackedWire{}.Pack(envelopesOf(t, newFakeStoreWith(t, "0A", 1), 1, 1))
	if err != nil || len(m) != 1 || m[0].ContentType != changeset.ContentType {
		t.Fatalf("%d messages, %v", len(m), err)
	}
	if list, err := (PackedWire{}).Unpack(m[0]); err != nil || len(list) != 1 {
		t.Fatalf("unpacked %d, %v", len(list), err)
	}
	m[0].ContentType = "application/json"
	if _, err := (PackedWire{}).Unpack(m[0]); err == nil || !strings.Contains(err.Error(), "application/json") {
		t.Errorf("got %v", err)
	}
}

func TestWireMayMakeSeveralMessagesAndTheCursorWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 3)
		_, tr := soloLink(t, s, LinkConfig{Wire: &singleWire{}}, Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 3 })
		sent := tr.on("CH")
		if m := sent[1].m; m.Header["n"] != "0A00002" || !m.Text || !m.Persistent || !m.Confirm || m.ContentType != "" {
			t.Errorf("message %+v", m)
		}
		sent[0].verdict <- nil
		sent[1].verdict <- nil
		time.Sleep(time.Minute)
		if at := cursorOf(t, s); at != 0 {
			t.Fatalf("cursor %d moved before the third was confirmed", at)
		}
		sent[2].verdict <- nil
		waitFor(t, "cursor moved", func() bool { return cursorOf(t, s) == 3 })
	})
}

func TestChangesetThatAWireHasNoFormForIsSetAsideAndTheRestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 7)
		w := &singleWire{refuse: func(d branch.Dot) bool { return d.Seq == 3 }}
		r, tr := soloLink(t, s, LinkConfig{Wire: w}, Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 6 })
		if got := sentDots(t, tr.on("CH")); slices.Contains(got, "0A00003") || got[0] != "0A00001" || got[5] != "0A00007" {
			t.Errorf("sent %v", got)
		}
		for _, m := range tr.on("CH") {
			m.verdict <- nil
		}
		waitFor(t, "cursor moved", func() bool { return cursorOf(t, s) == 7 })
		if q := r.Quarantine(); len(q) != 1 || q[0].Dot.Seq != 3 || !strings.Contains(q[0].Error, "no form for it") {
			t.Errorf("quarantine %+v", q)
		}
	})
}

func TestPassingErrorOfAWireLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 2)
		w := &singleWire{fail: errors.New("not now")}
		r, tr := soloLink(t, s, LinkConfig{Wire: w}, Options{})
		waitFor(t, "the error in the status", func() bool { return strings.Contains(r.Status().Links[0].LastError, "not now") })
		w.set(func(w *singleWire) { w.fail = nil })
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 2 })
		if q := r.Quarantine(); len(q) != 0 {
			t.Errorf("quarantine %+v", q)
		}
	})
}

func TestMessageThatAWireCannotReadWhileTheDiskFailsIsNotAcknowledgedButTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 0)
		w := &singleWire{fail: &store.StorageError{Op: "reading", Path: "x", Err: errors.New("input/output error")}}
		r, tr := soloLink(t, s, LinkConfig{Wire: w}, Options{})
		body, err := changeset.Pack(envelopesOf(t, newFakeStoreWith(t, "0B", 1), 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		acked := tr.deliver(t.Context(), dataTopic, Message{From: "0B", Body: body})
		waitFor(t, "storage failed", func() bool { return r.Status().Reason == nodestatus.ReasonStorageFailed })
		if len(acked) > 0 {
			t.Fatal("acknowledged before it was durable")
		}
		w.set(func(w *singleWire) { w.fail = nil })
		waitFor(t, "applied and acknowledged", func() bool { return len(acked) == 1 && s.Revision().At("0B") == 1 })
		if q := r.Quarantine(); len(q) != 0 {
			t.Errorf("quarantine %+v", q)
		}
	})
}

func TestChangesetLargerThanTheBrokerTakesIsSetAsideAndTheRestIsSentInSmallerMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 2)
		if _, err := s.write(incompressible(20_000)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := s.write(incompressible(3000)); err != nil {
				t.Fatal(err)
			}
		}
		r, tr := soloLink(t, s, LinkConfig{MaxMessage: func(string) int { return 8000 }}, Options{})
		waitFor(t, "published", func() bool { return len(sentDots(t, tr.on("CH"))) == 5 })
		for _, m := range tr.on("CH") {
			if len(m.m.Body) > 8000 {
				t.Errorf("a message of %d bytes", len(m.m.Body))
			}
			m.verdict <- nil
		}
		waitFor(t, "cursor moved", func() bool { return cursorOf(t, s) == 6 })
		if q := r.Quarantine(); len(q) != 1 || q[0].Dot.String() != "0A00003" || !strings.Contains(q[0].Error, "broker.maxMessage") {
			t.Errorf("quarantine %+v", q)
		}
	})
}

// incompressible is a text of random letters.
func incompressible(n int) string {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + rng.IntN(90))
	}
	return string(b)
}
