package simulation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

// patience is how long after the last fault a cluster may take to be whole
// again: a few beacons, and the confirmations that were waited for.
const patience = 3 * time.Minute

// goroutinesPerLink and goroutinesPerNode bound what a node may have running,
// the simulation's own included.
const (
	goroutinesPerLink = 30
	goroutinesPerNode = 15
)

// guarantee is one of the twelve promises of replication. During is asserted at
// every look, finally after the run; either may be nil where the books notice a
// violation when it happens.
type guarantee struct {
	name, promise   string
	during, finally func(*world) error
}

var guarantees = []guarantee{
	{"G1", "no acknowledged write is lost", nil, (*world).G1},
	{"G2", "every dot was issued once, with one content", nil, (*world).G2},
	{"G3", "equal revision means equal state, answers and conflicts", (*world).digestsAgree, (*world).G3},
	{"G4", "any order of arrival, with any duplication, gives the same", nil, (*world).G4},
	{"G5", "no node shows a changeset before all that its base names", nil, (*world).G5},
	{"G6", "a change feed has each dot once, across crashes", nil, (*world).G6},
	{"G7", "what is applied has no holes, and nothing is pending when all is quiet", nil, (*world).G7},
	{"G8", "once faults stop, all nodes converge within a few beacons", nil, (*world).G8},
	{"G9", "who comes back converges, nothing deleted returns, nothing unsent is lost", (*world).unsent, (*world).G9},
	{"G10", "restoring a backup never reuses a dot", nil, (*world).G10},
	{"G11", "pending set, outbox, goroutines and descriptors stay bounded", (*world).bounded, (*world).G11},
	{"G12", "history at a revision is the state that was current then", (*world).sampleHistory, (*world).G12},
}

// during asserts what must hold at every moment.
func (w *world) during() {
	for _, g := range guarantees {
		if g.during == nil {
			continue
		}
		if err := g.during(w); err != nil {
			w.fail(g.name, "%v", err)
		}
	}
}

// conclude asserts all twelve at the end.
func (w *world) conclude() {
	for _, n := range w.nodes {
		n.reap()
		n.hardware.setDisk(nil, false)
		if n.now == nil { // what it holds can only be read while it runs
			n.start()
		}
		w.bury(n)
		if n.now != nil {
			n.volume.witness.follow(n, n.now.store)
		}
	}
	for _, g := range guarantees {
		if w.failed() {
			return
		}
		if err := g.finally(w); err != nil {
			w.fail(g.name, "%v", err)
		}
	}
	if !w.failed() && w.quiet() {
		if err := w.forge(); err != nil {
			w.fail("G2", "%v", err)
		}
	}
}

// running are the nodes that are up.
func (w *world) running() []*node {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n.now == nil || !n.now.alive() })
}

// G1 finds every acknowledged write: on every node once the cluster is whole,
// else on its author or on any other; and what it wrote is read, or was
// replaced by somebody who had seen it, or lost a conflict and is listed in it.
func (w *world) G1() error {
	if err := w.acknowledged(); err != nil {
		return err
	}
	return w.readings()
}

// acknowledged looks for every acknowledged write. One whose author has lost its
// volume may be gone with a broker that was the last to have it.
func (w *world) acknowledged() error {
	under := w.underWay()
	for d := range w.ledger.acked {
		var lacks []branch.ID
		for _, n := range w.nodes {
			if !n.volume.witness.vector.Covers(d) {
				lacks = append(lacks, n.id)
			}
		}
		switch {
		case len(lacks) == len(w.nodes) && !under[d] && w.lost(d.Branch):
			w.ledger.forget(func(g branch.Dot) bool { return g == d || w.ledger.sawGone(g) && !w.onVolume(g) })
		case len(lacks) == len(w.nodes) && !under[d]:
			return fmt.Errorf("acknowledged %s is nowhere", d)
		case len(lacks) > 0 && !w.plan.Forever:
			return fmt.Errorf("acknowledged %s is not on %v", d, lacks)
		}
	}
	return nil
}

// G2 compares what each log has under each dot with the ledger, and checks that
// no sequence number was left out.
func (w *world) G2() error {
	for _, n := range w.running() {
		revision := n.now.store.Revision()
		for _, head := range revision {
			list, err := n.now.store.Range(context.Background(), head.Branch, n.now.store.Floor().At(head.Branch)+1, head.Seq, 1<<30)
			if err != nil {
				return fmt.Errorf("reading branch %s of %s: %w", head.Branch, n.id, err)
			}
			for i, env := range list {
				if want := n.now.store.Floor().At(head.Branch) + uint64(i) + 1; env.Dot.Seq != want || env.Dot.Branch != head.Branch {
					return fmt.Errorf("%s has %s where %s%05d should be", n.id, env.Dot, head.Branch, want)
				}
				w.seen(n.id, env)
			}
		}
	}
	return nil
}

// digestsAgree compares revisions and digests.
func (w *world) digestsAgree() error {
	for _, n := range w.running() {
		revision, digest := n.now.store.Snapshot()
		if err := compare(&w.states.digests, revision.String(), digest.String()); err != nil {
			return fmt.Errorf("(%s) %w", n.id, err)
		}
	}
	return nil
}

// G3 compares everything that can be read at equal revisions.
func (w *world) G3() error {
	for _, n := range w.running() {
		revision, text, err := printAll(n.now.store, len(n.now.store.Floor()) == 0)
		if err != nil {
			return fmt.Errorf("reading %s: %w", n.id, err)
		}
		if len(n.now.store.Floor()) > 0 {
			revision = append(slices.Clone(revision), branch.Dot{Branch: "trimmed"})
		}
		if err := compare(&w.states.texts, revision.String(), text); err != nil {
			return fmt.Errorf("(%s) %w", n.id, err)
		}
	}
	return w.digestsAgree()
}

// G4 hands all changesets of a node to a new store, in no order at all and some
// of them several times.
func (w *world) G4() error {
	running := w.running()
	if len(running) == 0 {
		return nil
	}
	n := running[w.rng.IntN(len(running))]
	revision, want, err := printAll(n.now.store, false)
	if err != nil || len(revision) == 0 {
		return err
	}
	var list []changeset.Envelope
	for _, head := range revision {
		for seq := uint64(1); seq <= head.Seq; seq++ {
			e := w.ledger.at(branch.Dot{Branch: head.Branch, Seq: seq})
			if e == nil {
				return nil // it left this log before anybody looked
			}
			for range 1 + w.rng.IntN(8)/7 {
				list = append(list, e.env)
			}
		}
	}
	w.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	got, digest, err := w.reapply(list)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the changesets of %s, in another order, give\n%s\nand not\n%s", n.id, got, want)
	}
	// A disk that took a commit and did not say so: what is read may be ahead of
	// what others are told.
	if told, have := n.now.store.Snapshot(); told.Equal(revision) && digest != have {
		return fmt.Errorf("the changesets of %s, in another order, give another digest", n.id)
	}
	return nil
}

// reapply gives changesets to a new store and returns what can be read then.
func (w *world) reapply(list []changeset.Envelope) (text string, digest store.Digest, err error) {
	st, err := store.Open(context.Background(), store.Options{
		Dir: filepath.Join(w.dir, "another"), Branch: "ZZ", Logger: w.log, NoSync: true, ConflictPolicy: store.ConflictPolicy(w.plan.Policy),
	})
	if err != nil {
		return "", digest, err
	}
	defer func() {
		if closing := st.Abandon(); err == nil {
			err = closing
		}
	}()
	for len(list) > 0 {
		piece := list[:min(len(list), 1+w.rng.IntN(20))]
		list = list[len(piece):]
		a, err := st.Apply(context.Background(), piece)
		if err != nil || len(a.Rejected) > 0 {
			return "", digest, fmt.Errorf("applying in another order: %v, %w", a.Rejected, err)
		}
	}
	if n, missing := st.Pending(); n > 0 {
		return "", digest, fmt.Errorf("applied in another order, %d changesets wait for %v", n, missing)
	}
	_, text, err = printAll(st, false)
	_, digest = st.Snapshot()
	return text, digest, err
}

// G5 walks through each feed in its order: everything that the author of a
// changeset had seen must come before it.
func (w *world) G5() error {
	for _, n := range w.nodes {
		have := branch.Revision(nil)
		if n.volume.witness.first > 1 {
			continue // the beginning has left the log; it was asserted as it came
		}
		for _, d := range n.volume.witness.order {
			if base, known := w.ledger.base(d); known && !have.CoversAll(base) {
				return fmt.Errorf("%s had %s when it applied %s, whose author had seen %s", n.id, have, d, base)
			}
			have = have.With(d)
		}
	}
	return nil
}

// G6 compares each feed with what the store says it has applied.
func (w *world) G6() error {
	for _, n := range w.running() {
		v := n.volume.witness
		if revision := n.now.store.Revision(); !v.vector.Equal(revision) && w.quiet() {
			return fmt.Errorf("the feed of %s adds up to %s, its revision is %s", n.id, v.vector, revision)
		}
		if len(v.seen) != len(v.order) && v.first == 1 {
			return fmt.Errorf("the feed of %s has %d entries of %d changesets", n.id, len(v.order), len(v.seen))
		}
	}
	return nil
}

// quiet reports whether nothing moves any more.
func (w *world) quiet() bool { return !w.plan.Forever }

// G7 finds nothing pending once the cluster is whole. Holes are noticed by the
// witnesses.
func (w *world) G7() error {
	if !w.quiet() {
		return nil
	}
	for _, n := range w.running() {
		if count, missing := n.now.store.Pending(); count > 0 && !w.ledger.hopeless(missing) {
			return fmt.Errorf("%d changesets wait on %s for %v", count, n.id, missing)
		}
	}
	return nil
}

// G8 finds the cluster whole.
func (w *world) G8() error {
	if !w.quiet() {
		return nil
	}
	if broken, what := w.trouble(); broken == "G8" {
		return fmt.Errorf("the cluster is not whole any more: %s", what)
	}
	return nil
}

// trouble says what keeps the cluster from being whole, and which guarantee that
// breaks; "" for nothing. Something that waits while all have the same and have
// sent it waits for nothing: that is no matter of time any more.
func (w *world) trouble() (guarantee, what string) {
	if what := w.underWayStill(); what != "" {
		return "G8", what
	}
	if err := w.G7(); err != nil {
		return "G7", err.Error()
	}
	for _, n := range w.nodes {
		if s := n.now.repl.Status(); !n.settled(s) {
			return "G8", fmt.Sprintf("%s is not ready: %s %s", n.id, s.Reason, s.Message)
		}
	}
	if err := w.acknowledged(); err != nil {
		return "G8", err.Error()
	}
	return "", ""
}

// underWayStill says which node lacks something, or has something to send; "" if
// none does.
func (w *world) underWayStill() string {
	for _, n := range w.nodes {
		if n.now == nil {
			return fmt.Sprintf("%s is down", n.id)
		}
		st, first := n.now.store, w.nodes[0].now.store
		if have, want := st.Revision(), first.Revision(); !have.Equal(want) {
			return fmt.Sprintf("%s is at %s, %s at %s", n.id, have, w.nodes[0].id, want)
		}
		for i := range n.links {
			if left, _ := st.Outbox(fmt.Sprintf("link-%d", i)); left > 0 {
				return fmt.Sprintf("%s has %d changesets to send over link %d", n.id, left, i)
			}
		}
	}
	return ""
}

// settled reports whether a node is ready and takes writes, or is rightly
// refused them: a volume was lost with changesets that nobody else has.
func (n *node) settled(s nodestatus.Status) bool {
	if s.Ready && s.Writable {
		return true
	}
	return n.bereft && (s.Reason == nodestatus.ReasonBranchAhead || s.Reason == nodestatus.ReasonVolumeCopied)
}

// G9 finds nothing that was deleted: an object of which every other write had
// been seen by whoever deleted it is nowhere. That nothing unsent is lost is G1.
func (w *world) G9() error {
	for _, n := range w.running() {
		revision := n.now.store.Revision()
		for i := range 8 {
			root := fmt.Sprintf("o%d", i)
			if !w.deletedForGood(root, revision) {
				continue
			}
			err := n.now.store.View(context.Background(), func(r *store.Reader) error {
				if o, exists, err := r.Object(root); err != nil || exists {
					return fmt.Errorf("%s was deleted and is on %s: %s (%w)", root, n.id, show(o), err)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// unsent asserts what lets nothing get lost on the way.
func (w *world) unsent() error {
	return errors.Join(w.handedOver(), w.trimmedTogether(), w.ownKept())
}

// ownKept asserts that a store which was never lost has all of its own branch
// that its peers know of.
func (w *world) ownKept() error {
	for _, n := range w.running() {
		if s := n.now.repl.Status(); s.Reason == nodestatus.ReasonBranchAhead && !w.lost(n.id) {
			return fmt.Errorf("%s kept its volume and lacks what it wrote: %s", n.id, s.Message)
		}
	}
	return nil
}

// G10 finds no dot in use twice after a volume was lost or restored: the ledger
// noticed it, or a node knows of it.
func (w *world) G10() error {
	for _, n := range w.running() {
		for _, e := range n.now.repl.Quarantine() {
			if w.lost(e.Dot.Branch) && w.ledger.at(e.Dot) != nil {
				return fmt.Errorf("%s refused %s: %s", n.id, e.Dot, e.Error)
			}
		}
	}
	return nil
}

// bounded measures.
func (w *world) bounded() error {
	limit := w.goroutines + 16
	for _, n := range w.nodes {
		limit += goroutinesPerNode + len(n.links)*goroutinesPerLink
	}
	if w.most = max(w.most, runtime.NumGoroutine()); w.most > limit {
		return fmt.Errorf("%d goroutines, the bound is %d", w.most, limit)
	}
	for _, n := range w.running() {
		if count, _ := n.now.store.Pending(); count > pendingLimit {
			return fmt.Errorf("%d changesets wait on %s, the bound is %d", count, n.id, pendingLimit)
		}
	}
	for _, b := range w.brokers {
		if b.most > 2*window { // those given up just now, and those sent again
			return fmt.Errorf("a node had %d messages unconfirmed at %s, the window is %d", b.most, b.name, window)
		}
	}
	return nil
}

// G11 counts open files: one for each store that is open.
func (w *world) G11() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil //nolint:nilerr // no such system: the goroutines were counted
	}
	count := 0
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && filepath.Base(to) == store.FileName {
			count++
		}
	}
	open := 0
	for _, n := range w.nodes {
		if n.now != nil {
			open++
		}
	}
	if count > open {
		return fmt.Errorf("%d files of stores are open for %d nodes", count, open)
	}
	return w.bounded()
}

// sampleHistory notes what an object is now, and compares what another was.
func (w *world) sampleHistory() error {
	running := w.running()
	if len(running) == 0 || w.rng.IntN(4) > 0 {
		return nil
	}
	n := running[w.rng.IntN(len(running))]
	if err := w.history.remember(n, w.rng); err != nil {
		return fmt.Errorf("reading from %s: %w", n.id, err)
	}
	if records := w.history.records; len(records) > 0 {
		return records[w.rng.IntN(len(records))].recall(n)
	}
	return nil
}

// G12 compares what was remembered with the history of every node.
func (w *world) G12() error {
	for _, n := range w.running() {
		for range min(len(w.history.records), 8) {
			if err := w.history.records[w.rng.IntN(len(w.history.records))].recall(n); err != nil {
				return err
			}
		}
	}
	return nil
}
