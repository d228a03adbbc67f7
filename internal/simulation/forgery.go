package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// forger is the branch id under which forgeries are sent.
const forger branch.ID = "ZY"

// forge sends everybody another content for a dot that all of them have, as a
// second copy of a node would, and asserts that each of them keeps what it has
// and says that the branch is forked. It is the last thing that happens: a
// forked branch stands still until somebody decides.
func (w *world) forge() error {
	e := w.victim()
	if e == nil {
		return nil
	}
	other := e.set
	other.Comment = "of another writer"
	env, err := changeset.Encode(other)
	if err != nil {
		return fmt.Errorf("forging %s: %w", e.env.Dot, err)
	}
	body, err := changeset.Pack([]changeset.Envelope{env})
	if err != nil {
		return fmt.Errorf("packing a forgery: %w", err)
	}
	w.tell("somebody else sends another %s", e.env.Dot)
	for _, b := range w.brokers {
		b.set(func() {
			b.route(replication.Destination{Kind: replication.Topic, Name: "CH"}, replication.Message{
				From: forger, ContentType: changeset.ContentType, Persistent: true, Body: body,
			})
		})
	}
	for began := time.Now(); time.Since(began) < 6*beaconInterval; time.Sleep(tick) {
		if err = w.contained(e.env.Dot); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	return w.G2()
}

// victim is a changeset that is in every log; nil when there is none.
func (w *world) victim() *entry {
	n := w.nodes[0]
	for _, head := range n.now.store.Revision() {
		d := branch.Dot{Branch: head.Branch, Seq: 1 + w.rng.Uint64N(head.Seq)}
		trimmed := slices.ContainsFunc(w.nodes, func(o *node) bool { return o.now.store.Floor().Covers(d) })
		if e := w.ledger.at(d); e != nil && !trimmed {
			return e
		}
	}
	return nil
}

// contained reports which node has not noticed yet that a branch is forked.
func (w *world) contained(d branch.Dot) error {
	for _, n := range w.running() {
		if !slices.ContainsFunc(n.now.store.Forks(), func(f store.Fork) bool { return f.Dot.Branch == d.Branch }) {
			return fmt.Errorf("%s got another %s and does not say that the branch is forked", n.id, d)
		}
		if n.id == d.Branch {
			if _, err := n.now.store.Update(context.Background(), store.WriteOptions{}, func(tx *store.Tx) error {
				_, err := tx.Delete("o0")
				return err
			}); err == nil {
				return fmt.Errorf("%s goes on writing under a forked branch", n.id)
			}
		}
	}
	return nil
}
