package vesperwire

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/statement/original"
	"vesperdb.io/vesper/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(activemqtest.Shared(m)) }

var codec = legacywire.Codec{ModelURI: "test:"}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// node is one of ours, driven by hand: no goroutines, no broker.
type node struct {
	t      testing.TB
	id     branch.ID
	dir    string
	store  *store.Store
	wire   *Wire
	cursor uint64
	// rejected are changesets that the store refused, broken the messages that
	// could not be unpacked.
	rejected []store.Rejection
	broken   []error
}

func newNode(t testing.TB, id, trunk branch.ID) *node {
	t.Helper()
	n := &node{t: t, id: id, dir: t.TempDir()}
	n.open(trunk)
	t.Cleanup(func() { _ = n.store.Close() })
	return n
}

func (n *node) open(trunk branch.ID) {
	n.t.Helper()
	var err error
	form := NewForm(trunk, codec)
	n.store, err = store.Open(n.t.Context(), store.Options{
		Dir: n.dir, Branch: n.id, Trunk: trunk, NoSync: true, Logger: quiet(), Shape: form.Shape,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.wire, err = New(Options{Store: n.store, Form: form, Dir: filepath.Join(n.dir, "early"), Logger: quiet()})
	if err != nil {
		n.t.Fatal(err)
	}
}

// update runs one transaction.
func (n *node) update(fn func(*store.Tx) error) (store.Commit, error) {
	return n.store.Update(context.Background(), store.WriteOptions{}, fn)
}

// set updates objects by a pJSON document, which must succeed.
func (n *node) set(text string) store.Commit {
	n.t.Helper()
	c, err := n.update(func(tx *store.Tx) error { return tx.Update(document(n.t, text)) })
	if err != nil {
		n.t.Fatalf("%s writes %s: %v", n.id, text, err)
	}
	return c
}

func document(t testing.TB, text string) []pjson.Object {
	t.Helper()
	d, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Objects
}

// outgoing returns what the node has to publish.
func (n *node) outgoing() []replication.Message {
	n.t.Helper()
	entries, err := n.store.Feed(n.t.Context(), n.cursor, 1<<30)
	if err != nil {
		n.t.Fatal(err)
	}
	var out []replication.Message
	for _, e := range entries {
		n.cursor = e.Pos
		if e.Dot.Branch != n.id {
			continue
		}
		m, err := n.wire.Pack([]changeset.Envelope{e.Envelope})
		if err != nil {
			n.t.Fatalf("%s packs %s: %v", n.id, e.Dot, err)
		}
		out = append(out, m...)
	}
	return out
}

// receive does what the receiver of a link does.
func (n *node) receive(m replication.Message) {
	n.t.Helper()
	n.take(m)
	for {
		m, done, ok := n.wire.Kept()
		if !ok {
			return
		}
		n.take(m)
		done()
	}
}

func (n *node) take(m replication.Message) {
	list, err := n.wire.Unpack(m)
	if err != nil {
		n.broken = append(n.broken, err)
		return
	}
	n.apply(list)
}

func (n *node) apply(list []changeset.Envelope) {
	a, err := n.store.Apply(n.t.Context(), list)
	if err != nil {
		n.t.Fatal(err)
	}
	n.rejected = append(n.rejected, a.Rejected...)
}

// sound fails the test if the node refused anything.
func (n *node) sound() {
	n.t.Helper()
	for _, err := range n.broken {
		n.t.Errorf("%s could not read a message: %v", n.id, err)
	}
	for _, r := range n.rejected {
		n.t.Errorf("%s refused %s: %v", n.id, r.Dot, r.Err)
	}
	if n.wire.Waiting() {
		n.t.Errorf("%s keeps messages back", n.id)
	}
}

// log returns every changeset of the node, by dot.
func (n *node) log() map[branch.Dot][32]byte {
	entries, err := n.store.Feed(n.t.Context(), 0, 1<<30)
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[branch.Dot][32]byte{}
	for _, e := range entries {
		out[e.Dot] = e.Hash
	}
	return out
}

// statements returns all that can be read, in the original's form.
func (n *node) statements() []statement.Statement {
	n.t.Helper()
	var out []statement.Statement
	err := n.store.View(n.t.Context(), func(r *store.Reader) error {
		for o, err := range r.Objects("") {
			if err != nil {
				return err
			}
			out = append(out, o.Statements...)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return original.Expand(out, statement.AnonymousPrefix)
}

// statements returns the primary store of an original.
func (o *originalNode) statements() []statement.Statement {
	var out []statement.Statement
	for r := range o.primary {
		out = append(out, statement.Statement{Subject: r[0], Predicate: r[1], Term: statement.Term{Text: r[2], Type: r[3]}, Scope: r[4]})
	}
	return statement.Set(out)
}

// channel joins nodes of ours and originals: what one publishes, all the others
// get, in order.
type channel struct {
	t         testing.TB
	nodes     []*node
	originals []*originalNode
	// inbox has for each member what it has not got yet.
	inbox map[string][]replication.Message
	sent  map[string]int
	// count is how many messages were published.
	count int
}

func newChannel(t testing.TB, nodes []*node, originals ...*originalNode) *channel {
	return &channel{t: t, nodes: nodes, originals: originals, inbox: map[string][]replication.Message{}, sent: map[string]int{}}
}

func (c *channel) members() []string {
	var out []string
	for _, n := range c.nodes {
		out = append(out, string(n.id))
	}
	for _, o := range c.originals {
		out = append(out, o.id)
	}
	return out
}

func (c *channel) broadcast(m replication.Message) {
	c.count++
	for _, id := range c.members() {
		if id != string(m.From) {
			c.inbox[id] = append(c.inbox[id], m)
		}
	}
}

// publish puts everything on the channel that anyone has to say.
func (c *channel) publish() {
	for _, n := range c.nodes {
		for _, m := range n.outgoing() {
			c.broadcast(m)
		}
	}
	for _, o := range c.originals {
		for ; c.sent[o.id] < len(o.out); c.sent[o.id]++ {
			c.broadcast(replication.Message{From: branch.ID(o.id), Body: o.out[c.sent[o.id]]})
		}
	}
}

// deliver gives a member its next message, if there is one.
func (c *channel) deliver(id string) bool {
	if len(c.inbox[id]) == 0 {
		return false
	}
	m := c.inbox[id][0]
	c.inbox[id] = c.inbox[id][1:]
	for _, n := range c.nodes {
		if string(n.id) == id {
			n.receive(m)
		}
	}
	for _, o := range c.originals {
		if o.id == id {
			o.receive(string(m.From), m.Body)
		}
	}
	return true
}

// settle publishes and delivers until nothing is left, or for so many rounds.
func (c *channel) settle(rounds int) (quiet bool) {
	for range rounds {
		c.publish()
		busy := false
		for _, id := range c.members() {
			for c.deliver(id) {
				busy = true
			}
		}
		if !busy {
			return true
		}
	}
	return false
}

// agree fails the test unless all nodes of ours have the same envelopes and the
// same state, and nothing was refused.
func (c *channel) agree() {
	c.t.Helper()
	first := c.nodes[0]
	for _, n := range c.nodes {
		n.sound()
		want, got := first.log(), n.log()
		for d, hash := range want {
			if got[d] != hash {
				c.t.Errorf("%s has another %s than %s", n.id, d, first.id)
			}
		}
		if len(got) != len(want) || n.store.Digest() != first.store.Digest() {
			c.t.Errorf("%s at %s and %s at %s differ", n.id, n.store.Revision(), first.id, first.store.Revision())
		}
	}
}

// follow fails the test unless every original lives and holds what ours hold,
// read as data and lists: an original leaves parts of its list records behind.
func (c *channel) follow() {
	c.t.Helper()
	want := original.Fold(c.nodes[0].statements())
	for _, o := range c.originals {
		if o.dead != nil {
			c.t.Errorf("original %s died: %v", o.id, o.dead)
		}
		if len(o.pending) > 0 {
			c.t.Errorf("original %s keeps %v back", o.id, o.pending)
		}
		if got := original.Fold(o.statements()); !slices.EqualFunc(got, want, statement.Equal) {
			c.t.Errorf("original %s holds\n%v\nand ours hold\n%v", o.id, pretty(got), pretty(want))
		}
	}
}

func pretty(list []statement.Statement) string {
	out := ""
	for _, s := range list {
		line, _ := json.Marshal([]string{s.Subject, s.Predicate, s.Text, s.Type, s.Scope})
		out += string(line) + "\n"
	}
	return out
}
