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
	w.backups = append(w.backups, &backup{n: n, path: path})
}

// restore puts an old backup in the place of a node's volume, if there is one.
func (w *world) restore(n *node, a Act) {
	of := slices.DeleteFunc(slices.Clone(w.backups), func(b *backup) bool {
		_, err := os.Stat(b.path)
		return b.n != n || err != nil
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
	w.restored[n.id] = true
	if from != nil {
		if err := copyFile(from.path, n.volume.file()); err != nil {
			w.fail("G10", "restoring a backup of %s: %v", n.id, err)
		}
	}
	n.back = time.Now().Add(away)
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
	gone := w.ledger.forget(func(d branch.Dot) bool {
		if under[d] || slices.ContainsFunc(w.nodes, func(o *node) bool { return o.volume.witness.vector.Covers(d) }) {
			return false
		}
		return d.Branch == n.id || slices.ContainsFunc(n.lost, func(v *volume) bool { return v.witness.vector.Covers(d) })
	})
	if gone > 0 {
		n.bereft = true
		w.tell("%d changesets were on a lost volume of %s alone, and are gone", gone, n.id)
	}
	n.lost = nil
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
