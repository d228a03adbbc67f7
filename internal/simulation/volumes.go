package simulation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// backup is a copy of a volume's file.
type backup struct {
	n    *node
	id   branch.ID
	path string
}

// backUp copies the file of a node: at its next commit, or now when it is down.
func (w *world) backUp(n *node) {
	path := filepath.Join(w.dir, fmt.Sprintf("backup-%d", len(w.backups)), store.FileName)
	if n.now != nil {
		n.now.mu.Lock()
		n.now.backup = path
		n.now.mu.Unlock()
	} else if copyFile(n.volume.file(), path) != nil {
		return
	}
	w.backups = append(w.backups, &backup{n: n, id: n.id, path: path})
}

// restore puts an old backup in the place of a node's volume, if there is one.
func (w *world) restore(n *node, a Act) {
	of := slices.DeleteFunc(slices.Clone(w.backups), func(b *backup) bool {
		_, err := os.Stat(b.path)
		return b.n != n || b.id != n.id || err != nil
	})
	if len(of) > 0 {
		w.replaceVolume(n, of[a.Chance%uint64(len(of))], a.For)
	}
}

// replaceVolume takes a node's volume away and gives it one made of a backup,
// or an empty one.
func (w *world) replaceVolume(n *node, from *backup, away time.Duration) {
	n.stop(true)
	n.lost = append(n.lost, n.volume)
	n.volume = w.newVolume()
	n.copied = from != nil
	w.mu.Lock()
	w.restored[n.id] = true
	w.mu.Unlock()
	if from == nil && (away%2 == 0 || !w.allHeard(n)) {
		w.rename(n)
	}
	if from != nil {
		if err := copyFile(from.path, n.volume.file()); err != nil {
			w.fail("G10", "restoring a backup of %s: %v", n.id, err)
		}
	}
	n.back = time.Now().Add(away)
}

// allHeard reports whether a node can hear everybody: only then may it begin
// anew under its old id. Otherwise an operator gives it another one.
func (w *world) allHeard(n *node) bool {
	for _, o := range w.nodes {
		if o != n && (o.now == nil || !o.now.alive() || len(o.lost) > 0 || len(o.former) > 0 || o.hardware.doubts() != nil) {
			return false
		}
	}
	return !slices.ContainsFunc(w.brokers, (*broker).troubled)
}

// inBrokersOnly reports whether changesets of a node that lost its volume are on
// their way to somebody and nowhere else. Nobody can tell a node with an empty
// volume that they exist, and so it is not started until somebody has them: an
// operator gives it another branch id, or waits. One with an old volume is
// started: it notices that by itself, and takes no writes.
func (w *world) inBrokersOnly(n *node) bool {
	if len(n.lost) == 0 || n.copied {
		return false
	}
	for d := range w.underWay() {
		if d.Branch == n.id && !w.onVolume(d) {
			return true
		}
	}
	return false
}

// onVolume reports whether a changeset is on any volume that is in use.
func (w *world) onVolume(d branch.Dot) bool {
	return slices.ContainsFunc(w.nodes, func(o *node) bool { return o.volume.witness.vector.Covers(d) })
}

// rename gives a node that has lost its volume another branch id, as the
// operator of a cluster does.
func (w *world) rename(n *node) {
	last := branch.ID("")
	for _, o := range w.nodes {
		last = max(last, o.id, w.retired)
	}
	n.former = append(n.former, n.id)
	for _, b := range w.brokers {
		b.unsubscribe(n.id)
	}
	n.id, _ = last.Next()
	w.retired, n.bereft, n.volume = n.id, false, w.newVolume()
	w.tell("node %d is %s from now on", n.index, n.id)
}

// bury strikes out of the books what a node's lost volumes took with them: the
// changesets that are on no other volume, and in no broker. Nobody can give them
// back, and nobody can tell when their dots are used again.
func (w *world) bury(n *node) {
	if len(n.lost) == 0 {
		return
	}
	for _, other := range w.nodes {
		if other.now != nil {
			other.volume.witness.follow(other, other.now.store)
		}
	}
	under := w.underWay()
	closed := slices.ContainsFunc(w.nodes, func(o *node) bool { return o != n && len(o.lost) > 0 && o.copied })
	gone := w.strikeOut(func(d branch.Dot) bool {
		if closed || under[d] || w.onVolume(d) { // nobody has looked yet at what is on a restored volume
			return false
		}
		return w.lost(d.Branch) || slices.ContainsFunc(n.lost, func(v *volume) bool { return v.witness.vector.Covers(d) })
	})
	if gone > 0 {
		n.bereft = len(n.former) == 0
		w.tell("%d changesets were on a lost volume of %s alone, and are gone", gone, n.id)
	}
	n.lost = nil
}

// buryLate strikes out what was spared since it was in a broker, and is not there
// any more either. A broker that forgets its messages takes it with it; and a node
// that has no room for more that waits acknowledges it nevertheless, since whoever
// wrote it can send it again: only that here the volume of who did is lost, and
// what the node keeps of what comes after it waits for ever. Nothing is struck out
// before all nodes have the same, and while a broker holds anything that could
// make ready what waits; and nothing of a branch that has lost no volume.
func (w *world) buryLate() {
	if w.underWayStill() != "" {
		return
	}
	for d := range w.underWay() {
		if w.lost(d.Branch) && !w.onVolume(d) {
			return
		}
	}
	of := map[branch.ID]bool{}
	gone := w.strikeOut(func(d branch.Dot) bool {
		nowhere := w.lost(d.Branch) && !w.onVolume(d)
		of[d.Branch] = of[d.Branch] || nowhere
		return nowhere
	})
	if gone == 0 {
		return
	}
	for _, n := range w.nodes {
		n.bereft = n.bereft || of[n.id]
	}
	w.tell("%d changesets of lost volumes were in a broker alone, and are gone from there too", gone)
}

// strikeOut strikes changesets out of the books, and counts them. With them go
// those that are only under way and have seen any of them: they can never be
// applied.
func (w *world) strikeOut(gone func(branch.Dot) bool) int {
	n := w.ledger.forget(gone)
	n += w.ledger.forget(func(d branch.Dot) bool { return !w.onVolume(d) && w.ledger.sawGone(d) })
	if n > 0 {
		w.history.records, w.states = nil, states{} // their revisions may come to mean something else
	}
	return n
}

// underWay are the changesets in the brokers.
func (w *world) underWay() map[branch.Dot]bool {
	out := map[branch.Dot]bool{}
	for _, b := range w.brokers {
		b.set(func() {
			for _, x := range b.boxes {
				for _, p := range x.queue {
					for _, env := range cargo(p.Message) {
						out[env.Dot] = true
					}
				}
			}
		})
	}
	return out
}
