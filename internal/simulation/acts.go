package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// do performs the act.
func (a Act) do(w *world) {
	n, b := w.nodes[a.Node], w.brokers[a.Broker]
	switch a.Kind {
	case "cut":
		b.isolate(n.id, a.In, a.Out)
	case "join":
		b.isolate(n.id, false, false)
	case "broker crash", "broker wipe":
		b.crash(a.Kind == "broker wipe")
	case "broker up":
		b.set(func() { b.down = false })
	case "broker blocks", "broker takes":
		b.set(func() { b.blocked = a.Kind == "broker blocks" })
	case "network":
		b.set(func() { b.rates = a.Rates })
	default:
		a.doTo(w, n)
	}
}

// doTo performs the act on a node.
func (a Act) doTo(w *world, n *node) {
	switch a.Kind {
	case "write":
		w.write(n, a.Count, rand.New(rand.NewPCG(a.Chance, 5)))
	case "crash":
		n.crash(a.For)
	case "stop":
		n.stop(false)
		n.back = time.Now().Add(a.For)
	case "fuse":
		if n.away = a.For; n.now != nil {
			n.now.light(a.Text, a.Count)
		}
	case "skew":
		n.hardware.setClock(a.For)
	case "disk full", "disk broken", "disk unsure", "disk works":
		n.hardware.setDisk(disks[a.Kind], a.Kind == "disk unsure")
	case "evict":
		w.evict(n)
	case "compact":
		w.compact(n)
	default:
		a.doToVolume(w, n)
	}
}

// doToVolume performs the act on the volume of a node.
func (a Act) doToVolume(w *world, n *node) {
	switch a.Kind {
	case "back up":
		w.backUp(n)
	case "restore":
		w.restore(n, a)
	case "lose volume":
		w.replaceVolume(n, nil, a.For)
	}
}

// evict takes a node off the list of members for which the others keep their
// logs, and the brokers messages, as happens to one that has been away for very long.
func (w *world) evict(n *node) {
	for _, b := range w.brokers {
		b.unsubscribe(n.id)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n.evicted = true
}

// compact has a node's file made small while everything goes on.
func (w *world) compact(n *node) {
	p := n.now
	if p == nil {
		return
	}
	w.writers.Go(func() {
		if _, err := p.store.Compact(context.Background(), 64<<20); err != nil {
			w.tell("%s did not compact its file: %v", p.id, err)
		}
	})
}

// write has a client of a node write in its own time.
func (w *world) write(n *node, count int, rng *rand.Rand) {
	p := n.now
	if p == nil {
		return
	}
	w.writers.Go(func() {
		for range count {
			if !w.writeOne(p, rng) {
				return
			}
			if rng.IntN(3) == 0 {
				time.Sleep(time.Duration(rng.Int64N(int64(50 * time.Millisecond))))
			}
		}
	})
}

// writeOne makes one write and reports whether the client goes on.
func (w *world) writeOne(p *process, rng *rand.Rand) bool {
	op, text := w.operation(rng)
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Second, errOutOfTime)
	defer cancel()
	commit, err := p.store.Update(ctx, store.WriteOptions{}, op)
	if err != nil {
		w.tell("%s did not take %s: %v", p.id, text, err)
		return false
	}
	if commit.Dot.IsZero() {
		return true
	}
	w.ledger.ack(commit.Dot)
	w.tell("%s wrote %s: %s", p.id, commit.Dot, text)
	w.mu.Lock()
	w.operations++
	w.mu.Unlock()
	return true
}

// operation is a random transaction, and what it does in words.
func (w *world) operation(rng *rand.Rand) (func(*store.Tx) error, string) {
	w.mu.Lock()
	w.writes++
	number := w.writes
	w.mu.Unlock()
	root := fmt.Sprintf("o%d", rng.IntN(6))
	text := fmt.Sprintf(`{"id":%q,"p%d":"w%d"}`, root, rng.IntN(3), number)
	does, name := (*store.Tx).Update, "update"
	switch p := rng.IntN(20); {
	case p < 11:
	case p < 14:
		does, name = (*store.Tx).Add, "add"
	case p < 15:
		does, name = (*store.Tx).Replace, "replace"
	case p < 18:
		return func(tx *store.Tx) error { _, err := tx.Delete(root); return err }, "delete " + root
	default:
		text = fmt.Sprintf(`[%s,{"id":"o%d","q":["w%d","x"]}]`, text, 6+rng.IntN(2), number)
	}
	doc, err := pjson.Parse([]byte(text), pjson.Options{IDs: pjson.Counter()})
	return func(tx *store.Tx) error {
		if err != nil {
			return err
		}
		return does(tx, doc.Objects)
	}, name + " " + text
}
