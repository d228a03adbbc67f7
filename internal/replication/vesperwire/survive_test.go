package vesperwire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// What the specification lists as deadly for the original (6.4), and what else
// a channel may bring. Ours takes every next message as if nothing had been.
func TestOursSurvivesEveryMessageThatKillsTheOriginal(t *testing.T) {
	theirs := newOriginal("0A", "0A")
	for i := range 3 {
		writeSome(t, theirs, i)
	}
	const t1 = `"context:add:context:txn:test:;0C00001;;"`
	odd := func(statement string) string {
		return fmt.Sprintf(`{"origin":"0C","timestamp":1,"statements":[%s],"baserevision":"0","revision":"0C00001"}`, statement)
	}
	tests := map[string]struct {
		message replication.Message
		// kills says that the stand-in dies of it, refused that ours refuses it.
		kills, refused bool
	}{
		"bad JSON":           {replication.Message{From: "0C", Body: []byte(`{"origin"`)}, true, true},
		"no clientid":        {replication.Message{Body: theirs.out[0]}, true, true},
		"another clientid":   {replication.Message{From: "0D", Body: theirs.out[0]}, false, true},
		"not ASCII":          {replication.Message{From: "0C", Body: []byte(odd(`["é","p","v","L",` + t1 + `]`))}, true, false},
		"a repetition":       {replication.Message{From: "0A", Body: theirs.out[0]}, true, false},
		"not the trunk's":    {replication.Message{From: "0C", Body: []byte(odd(""))}, true, false},
		"a statement of one": {replication.Message{From: "0C", Body: []byte(odd(`["a"]`))}, true, true},
		"an id too long": {replication.Message{From: "0C", Body: []byte(odd(
			`["` + strings.Repeat("x", 3000) + `","p","v","L",` + t1 + `],["fine","p","v","L",` + t1 + `]`))}, false, false},
		"half a character":  {replication.Message{From: "0C", Body: []byte(odd(`["a","p","\ud800","L",` + t1 + `]`))}, false, false},
		"a NUL":             {replication.Message{From: "0C", Body: []byte(odd(`["a","p","\u0000","L",` + t1 + `]`))}, false, false},
		"a huge place":      {replication.Message{From: "0C", Body: []byte(odd(`["bnode:j:proplist:a;p","http://www.w3.org/1999/02/22-rdf-syntax-ns#_99999999999","v","L",` + t1 + `]`))}, false, false},
		"a place of nobody": {replication.Message{From: "0C", Body: []byte(odd(`["bnode:j:proplist:","http://www.w3.org/1999/02/22-rdf-syntax-ns#_1","v","L",` + t1 + `]`))}, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n, o := newNode(t, "0B", "0A"), newOriginal("0B", "0A")
			n.receive(replication.Message{From: "0A", Body: theirs.out[0]})
			if name != "not the trunk's" {
				o.receive("0A", theirs.out[0])
				o.receive("0A", theirs.out[1])
			}
			n.receive(tt.message)
			o.receive(string(tt.message.From), tt.message.Body)
			if tt.kills && o.dead == nil {
				t.Error("the stand-in survives it")
			}
			if refused := len(n.broken) > 0; refused != tt.refused {
				t.Errorf("refused: %v", n.broken)
			}
			for _, i := range []int{1, 2} {
				n.receive(replication.Message{From: "0A", Body: theirs.out[i]})
			}
			if got := n.store.Revision().At("0A"); got != 3 {
				t.Errorf("afterwards the store is at %s", n.store.Revision())
			}
			if n.wire.Waiting() || len(n.rejected) > 0 {
				t.Errorf("something is kept, or rejected: %v", n.rejected)
			}
		})
	}
}

func TestStatementsThatCannotBeStoredAreLeftOutAndTheRestIsKept(t *testing.T) {
	const in = `"context:add:context:txn:test:;0A00001;;"`
	n := newNode(t, "0B", "0A")
	n.receive(replication.Message{From: "0A", Body: []byte(`{"origin":"0A","timestamp":1,"statements":[` +
		`["` + strings.Repeat("x", 3000) + `","p","v","L",` + in + `],["fine","p","v","L",` + in + `],["fine","q","\ud800","L",` + in + `]` +
		`],"baserevision":"0","revision":"0A00001"}`)})
	n.sound()
	if got := n.statements(); len(got) != 1 || got[0].Text != "v" {
		t.Errorf("the store holds %v", got)
	}
}

// What is written is what is read afterwards, whatever the form in which it
// had to be committed.
func TestTheFormOfAChangesetDoesNotChangeWhatItSays(t *testing.T) {
	for seed := range uint64(10) {
		chance, same := rand.New(rand.NewPCG(seed, 3)), rand.New(rand.NewPCG(seed, 3))
		shaped := newNode(t, "0A", "0A")
		plain := &node{t: t, id: "0A", dir: t.TempDir()}
		var err error
		if plain.store, err = store.Open(t.Context(), store.Options{Dir: plain.dir, Branch: "0A", NoSync: true, Logger: quiet()}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = plain.store.Close() })
		for range 60 {
			shaped.transact(chance)
			plain.transact(same)
		}
		got, want := withoutIDs(pretty(shaped.statements())), withoutIDs(pretty(plain.statements()))
		if got != want {
			t.Errorf("seed %d: written for the channel\n%s, else\n%s", seed, got, want)
		}
	}
}

// withoutIDs takes out what differs by chance or by the digits of doubles.
func withoutIDs(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, ":j:e:") {
			out = append(out, strings.ReplaceAll(line, ".123456789012345", ".123456789012"))
		}
	}
	joined := strings.Join(out, "")
	return strings.NewReplacer(".12345678901\"", ".123456789012\"", ".1234567890\"", ".123456789012\"").Replace(joined)
}

func TestWritesThatTheOriginalHasNoFormForAreRefused(t *testing.T) {
	n := newNode(t, "0A", "0A")
	for _, text := range []string{
		`{"id":"bnode:j:proplist:x;p","a":"b"}`,
		`{"id":"x","pjson:schema#propseq":{"$ref":"bnode:j:proplist:x;p"}}`,
	} {
		_, err := n.update(func(tx *store.Tx) error { return tx.Update(document(t, text)) })
		if _, invalid := errors.AsType[*store.InvalidError](err); !invalid || !strings.Contains(err.Error(), "order of lists") {
			t.Errorf("%s: the error is %v", text, err)
		}
	}
	n.set(`{"id":"x","p":["the","list"]}`)
}

// stub is a transport whose broker confirms when it is told to.
type stub struct {
	mu   sync.Mutex
	sent []*stubbed
}

type stubbed struct {
	to   replication.Destination
	m    replication.Message
	done chan struct{}
}

// Run implements replication.Transport.
func (s *stub) Run(ctx context.Context, _ []replication.Subscription, observe func(replication.State)) error {
	observe(replication.State{Connected: true, Subscribed: true})
	<-ctx.Done()
	return nil
}

// Publish implements replication.Transport.
func (s *stub) Publish(_ context.Context, to replication.Destination, m replication.Message) (replication.Confirmation, error) {
	b := &stubbed{to: to, m: m, done: make(chan struct{})}
	if !m.Confirm {
		close(b.done)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, b)
	return b, nil
}

// Wait implements replication.Confirmation.
func (b *stubbed) Wait(ctx context.Context) error {
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// data returns the messages of the data topic.
func (s *stub) data() (out []*stubbed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.sent {
		if b.to.Name == "C" {
			out = append(out, b)
		}
	}
	return out
}

func TestTheNextMessageGoesOutOnlyWhenTheCursorIsPastTheLast(t *testing.T) {
	n := newNode(t, "0A", "0A")
	for i := range 3 {
		n.set(fmt.Sprintf(`{"id":"x","p":%d}`, i))
	}
	s := &stub{}
	repl, err := replication.New(n.store, []replication.LinkConfig{{Name: "main", Channel: "C", Transport: s, Wire: n.wire, Relay: true}},
		replication.Options{DiscoveryWindow: 10 * time.Millisecond, CursorInterval: time.Hour, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- repl.Run(ctx) }()
	for i := range 3 {
		eventually(t, "a message", func() bool { return len(s.data()) > i })
		sent := s.data()
		if cursor, err := n.store.Cursor("main"); err != nil || len(sent) != i+1 || cursor != uint64(i) {
			t.Fatalf("%d messages are out with the cursor at %d, %v", len(sent), cursor, err)
		}
		if m := sent[i].m; m.From != "0A" || !m.Text || m.ContentType != "" || !m.Persistent {
			t.Errorf("message %d is %+v", i, m)
		}
		if m, err := legacywire.Parse(sent[i].m.Body); err != nil || m.Dot().Seq != uint64(i+1) {
			t.Errorf("message %d is %s, %v", i, m.Dot(), err)
		}
		close(sent[i].done)
	}
	eventually(t, "the last cursor", func() bool {
		cursor, err := n.store.Cursor("main")
		return err == nil && cursor == 3
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAWireOfOriginalsStandsBesideNoOtherLink(t *testing.T) {
	n := newNode(t, "0A", "0A")
	_, err := replication.New(n.store, []replication.LinkConfig{
		{Name: "main", Channel: "C", Transport: &stub{}, Wire: n.wire}, {Name: "more", Channel: "D", Transport: &stub{}},
	}, replication.Options{Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "main") {
		t.Errorf("two links: %v", err)
	}
}
