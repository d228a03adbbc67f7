package vesperwire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// transact does something random to one of a few objects.
func (n *node) transact(chance *rand.Rand) {
	n.t.Helper()
	id := fmt.Sprintf("o%d", chance.IntN(3))
	v := chance.IntN(4)
	documents := []string{
		fmt.Sprintf(`{"id":%q,"p":%d}`, id, v),
		fmt.Sprintf(`{"id":%q,"p":[%d,%d]}`, id, v, v+1),
		fmt.Sprintf(`{"id":%q,"p":{"k":%d,"l":[["x",%d],%d]}}`, id, v, v, v),
		fmt.Sprintf(`{"id":%q,"q":%d.123456789012345,"context":"c%d"}`, id, v, v%2),
		fmt.Sprintf(`{"id":%q,"a;b":["x","y%d"],"q":[]}`, id, v),
		fmt.Sprintf(`{"id":%q,"p":["a",{"datatype":"lang:en","value":"b%d"},"a"]}`, id, v),
		fmt.Sprintf(`{"id":"%s;p","p":["a%d","b"]}`, id, v),
	}
	objects := document(n.t, documents[chance.IntN(len(documents))])
	_, err := n.update(func(tx *store.Tx) error {
		switch chance.IntN(6) {
		case 0:
			return tx.Add(objects)
		case 1:
			return tx.Replace(objects)
		case 2:
			return tx.Remove(objects)
		case 3:
			_, err := tx.Delete(id)
			return err
		default:
			return tx.Update(objects)
		}
	})
	if err != nil {
		n.t.Fatalf("%s writes: %v", n.id, err)
	}
}

// An original takes part that writes whatever it likes: what it publishes must
// become the same changesets everywhere, in whatever order it arrives, with
// repetitions, and with holes that are filled from a peer.
func TestEveryNodeMakesTheSameChangesetsOfWhateverArrivesInWhateverOrder(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 7))
			o := newOriginal("0A", "0A")
			nodes := []*node{newNode(t, "0B", "0A"), newNode(t, "0C", "0A"), newNode(t, "0D", "0A")}
			c := newChannel(t, nodes, o)
			writeSome(t, o, 0)
			c.settle(10)
			c.originals = nil // from here on it only writes, and hears nothing
			for i := range 30 {
				switch k := chance.IntN(5); k {
				case 0:
					writeSome(t, o, i)
					c.broadcast(replication.Message{From: "0A", Body: o.out[len(o.out)-1]})
				case 4:
					c.deliver(c.members()[chance.IntN(3)])
				default:
					nodes[k-1].transact(chance)
				}
				c.publish()
				c.disturb(chance)
			}
			c.settle(1000)
			c.repair()
			c.settle(1000)
			c.repair()
			c.agree()
		})
	}
}

// disturb reorders, repeats and loses what is under way.
func (c *channel) disturb(chance *rand.Rand) {
	for _, n := range c.nodes {
		box := c.inbox[string(n.id)]
		if len(box) < 2 {
			continue
		}
		i, j := chance.IntN(len(box)), chance.IntN(len(box))
		switch chance.IntN(6) {
		case 0:
			box[i], box[j] = box[j], box[i]
		case 1:
			box = append(box, box[i])
		case 2:
			// The last node loses nothing: of what an original said, somebody must know.
			if n != c.nodes[len(c.nodes)-1] {
				box = slices.Delete(box, i, i+1)
			}
		}
		c.inbox[string(n.id)] = box
	}
}

// repair gives each node what another has, as the sync queues do.
func (c *channel) repair() {
	for _, from := range c.nodes {
		entries, err := from.store.Feed(c.t.Context(), 0, 1<<30)
		if err != nil {
			c.t.Fatal(err)
		}
		var list []changeset.Envelope
		for _, e := range entries {
			list = append(list, e.Envelope)
		}
		for _, to := range c.nodes {
			to.apply(list)
			to.drain()
		}
	}
}

// drain takes what was kept back, as the receiver does when the store changes.
func (n *node) drain() {
	for {
		m, done, ok := n.wire.Kept()
		if !ok {
			return
		}
		n.take(m)
		done()
	}
}

func TestAMessageThatComesEarlyIsOnDiskAndAppliedOnceItsPastIsThere(t *testing.T) {
	o := newOriginal("0A", "0A")
	for i := range 4 {
		writeSome(t, o, i)
	}
	n := newNode(t, "0B", "0A")
	for _, i := range []int{3, 1, 2, 3, 1} {
		n.receive(replication.Message{From: "0A", Body: o.out[i]})
	}
	if !n.wire.Waiting() || len(n.store.Revision()) > 0 {
		t.Fatalf("the store is at %s with nothing kept", n.store.Revision())
	}
	if messages, missing := n.wire.Early(9); messages != 3 || len(missing) != 1 || missing[0].String() != "0A00001" {
		t.Errorf("%d messages are early and wait for %v", messages, missing)
	}
	// A restart forgets none of them.
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	n.open("0A")
	if got := n.wire.kept.len(); got != 3 {
		t.Fatalf("%d messages are kept after a restart", got)
	}
	n.receive(replication.Message{From: "0A", Body: o.out[0]})
	if got := n.store.Revision().String(); got != "0A00004" {
		t.Errorf("the store is at %s", got)
	}
	if messages, missing := n.wire.Early(9); messages != 0 || len(missing) != 0 {
		t.Errorf("%d messages are early and wait for %v", messages, missing)
	}
	n.sound()
	again, err := openShelf(n.wire.kept.dir)
	if err != nil || again.len() != 0 {
		t.Errorf("%d messages are left on disk, %v", again.len(), err)
	}
}

func TestADotWithAnotherContentIsAForkAndARepetitionIsNone(t *testing.T) {
	o, forged := newOriginal("0A", "0A"), newOriginal("0A", "0A")
	n := newNode(t, "0B", "0A")
	writeSome(t, o, 0)
	if err := forged.write([]row{lit("else", "p", "v")}, nil); err != nil {
		t.Fatal(err)
	}
	first := replication.Message{From: "0A", Body: o.out[0]}
	n.receive(first)
	n.receive(first)
	n.sound()
	n.receive(replication.Message{From: "0A", Body: forged.out[0]})
	if len(n.rejected) != 1 || n.rejected[0].Dot != (branch.Dot{Branch: "0A", Seq: 1}) {
		t.Fatalf("rejected %v", n.rejected)
	}
	if _, ok := errors.AsType[*store.ForkError](n.rejected[0].Err); !ok {
		t.Errorf("the second content is refused with %v", n.rejected[0].Err)
	}
}

func TestAWriteWaitsUntilWhatItBuildsOnHasBeenOnTheChannel(t *testing.T) {
	x, y := newNode(t, "0A", "0A"), newNode(t, "0B", "0A")
	x.set(`{"id":"x","p":1}`)
	entries, err := x.store.Feed(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	y.apply([]changeset.Envelope{entries[0].Envelope}) // from the peer, not from the channel
	commit := y.set(`{"id":"x","p":2}`)
	entries, err = y.store.Feed(t.Context(), 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	own := []changeset.Envelope{entries[0].Envelope}
	if _, err := y.wire.Pack(own); err == nil {
		t.Fatalf("%s goes out before what it builds on", commit.Dot)
	}
	y.receive(x.outgoing()[0])
	if _, err := y.wire.Pack(own); err != nil {
		t.Errorf("%s does not go out after what it builds on: %v", commit.Dot, err)
	}
}

func TestAWriteDoesNotWaitForEverForWhatItBuildsOn(t *testing.T) {
	x, y := newNode(t, "0A", "0A"), newNode(t, "0B", "0A")
	x.set(`{"id":"x","p":1}`)
	entries, err := x.store.Feed(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	y.apply([]changeset.Envelope{entries[0].Envelope})
	y.set(`{"id":"x","p":2}`)
	y.wire.o.Patience = 1
	if entries, err = y.store.Feed(t.Context(), 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	own := []changeset.Envelope{entries[0].Envelope}
	_, first := y.wire.Pack(own)
	_, second := y.wire.Pack(own)
	if first == nil || second != nil {
		t.Errorf("packing gave %v and then %v", first, second)
	}
}

func TestOnlyTheTrunkWritesFirst(t *testing.T) {
	n := newNode(t, "0B", "0A")
	_, err := n.update(func(tx *store.Tx) error { return tx.Update(document(t, `{"id":"x","p":1}`)) })
	if _, refused := errors.AsType[*store.RefusedError](err); !refused {
		t.Fatalf("a write before the trunk's: %v", err)
	}
	o := newOriginal("0A", "0A")
	writeSome(t, o, 0)
	n.receive(replication.Message{From: "0A", Body: o.out[0]})
	n.set(`{"id":"x","p":1}`)
}

func TestWhatWasWrittenForAnotherWireIsNotSent(t *testing.T) {
	n := newNode(t, "0A", "0A")
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Dir: n.dir, Branch: "0A", NoSync: true, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`{"id":"x","p":["a"]}`, `{"id":"y","p":"a"}`} {
		if _, err := s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Update(document(t, text)) }); err != nil {
			t.Fatal(err)
		}
	}
	// Told as an addition, where its message will be read as an assignment.
	if _, err := s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error {
		return tx.Add(document(t, `{"id":"z","p":"b"}`))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n.open("0A")
	entries, err := n.store.Feed(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	last := entries[len(entries)-1].Envelope
	_, err = n.wire.Pack([]changeset.Envelope{last})
	if unsendable, ok := errors.AsType[*replication.UnsendableError](err); !ok || unsendable.Dot != last.Dot {
		t.Errorf("packing %s gave %v", last.Dot, err)
	}
}

func TestAMessageIsTheSameRememberedAndMadeAgain(t *testing.T) {
	chance := rand.New(rand.NewPCG(5, 5))
	n := newNode(t, "0A", "0A")
	for range 40 {
		n.transact(chance)
	}
	entries, err := n.store.Feed(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := n.wire.o.Form.recent[e.Dot]; !ok {
			t.Fatalf("the message of %s is not remembered", e.Dot)
		}
		first, err := n.wire.Pack([]changeset.Envelope{e.Envelope})
		if err != nil {
			t.Fatal(err)
		}
		again, err := n.wire.Pack([]changeset.Envelope{e.Envelope})
		if err != nil || string(again[0].Body) != string(first[0].Body) {
			t.Errorf("%s: %v\n%s\n%s", e.Dot, err, first[0].Body, again[0].Body)
		}
	}
	if f := n.wire.o.Form; len(f.recent)+len(f.order)+f.rows != 0 {
		t.Errorf("%d messages of %d rows are remembered after they were sent", len(f.recent), f.rows)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	f := NewForm("0A", codec)
	big := legacywire.Message{Rows: make([]legacywire.Row, recentRows/2)}
	for i := range 2 * recentMessages {
		c := changeset.Changeset{Branch: "0A", Seq: uint64(i) + 1, Clock: 1, Objects: []changeset.ObjectChange{{Root: "x", Delete: true}}}
		if i > 0 {
			c.Prev[0] = 1
		}
		m := legacywire.Message{}
		if i%100 == 0 {
			m = big
		}
		if err := f.remember(c, m); err != nil {
			t.Fatal(err)
		}
		if len(f.recent) > recentMessages || f.rows > recentRows || len(f.order) != len(f.recent) {
			t.Fatalf("%d messages of %d rows in an order of %d", len(f.recent), f.rows, len(f.order))
		}
	}
	if len(f.recent) < 50 {
		t.Errorf("only %d are remembered", len(f.recent))
	}
}
