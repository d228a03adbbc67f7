package bench

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// missed is how many changesets a node that comes back lacks.
const missed = 100_000

// donor is a store with many changesets, made once a run.
type donor struct {
	dir string
	n   int
}

func (w *world) theDonor() (*donor, error) {
	if w.donor != nil {
		return w.donor, nil
	}
	dir, _, err := w.fresh("donor")
	if err != nil {
		return nil, err
	}
	s, err := w.openStore(dir, "0A")
	if err != nil {
		return nil, err
	}
	n := w.size(missed)
	err = w.fill(s, n, changeBytes)
	if err == nil {
		// All of it was published long ago: the broker has none of it any more.
		err = s.SetCursor(w.ctx, "main", uint64(n))
	}
	if err == nil {
		// And its replication found the branch unused, before it wrote.
		err = s.SetCursor(w.ctx, "!branch-open", 1)
	}
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	w.donor = &donor{dir: dir, n: n}
	return w.donor, nil
}

// measureCatchUp is M6: a node whose peer has what the broker no longer brings.
func measureCatchUp(w *world) error {
	d, err := w.theDonor()
	if err != nil {
		return err
	}
	dir, free, err := w.fresh("catchup")
	if err != nil {
		return err
	}
	defer free()
	from, err := w.openStore(d.dir, "0A")
	if err != nil {
		return err
	}
	channel := newChannel()
	a, err := w.replicate(from, channel, replication.Options{DiscoveryWindow: 300 * time.Millisecond})
	if err != nil {
		return errors.Join(err, from.Close())
	}
	took, err := w.catchUp(a, dir, channel, uint64(d.n))
	if err = errors.Join(err, a.stop()); err != nil {
		return err
	}
	speed := float64(d.n) / took.Seconds()
	w.note("catch-up, changesets/s, from the start of the node on", "/s", speed)
	if local, ok := w.figures.Last(localWrites); ok {
		w.figures.Add("M6", speed/local)
	}
	return nil
}

// catchUp times an empty node from its start to having everything, with the
// time that it listens for beacons as the default has it.
func (w *world) catchUp(a *replica, dir, channel string, n uint64) (took time.Duration, err error) {
	if err := a.caughtUp(w.ctx); err != nil {
		return 0, err
	}
	into, err := w.openStore(dir, "0B")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	b, err := w.replicate(into, channel, replication.Options{})
	if err != nil {
		return 0, errors.Join(err, into.Close())
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	err = reach(w.ctx, into, branch.Dot{Branch: "0A", Seq: n})
	return time.Since(start), err
}

// measureBootstrap is M7.
func measureBootstrap(w *world) error {
	d, err := w.theDonor()
	if err != nil {
		return err
	}
	dir, free, err := w.fresh("bootstrap")
	if err != nil {
		return err
	}
	defer free()
	copied, err := w.copyAndSum(filepath.Join(d.dir, store.FileName), filepath.Join(dir, "copy"))
	if err != nil {
		return err
	}
	took, err := w.bootstrap(d, dir)
	if err != nil {
		return err
	}
	w.note("bootstrap by snapshot: write, check, restore", "s", took.Seconds())
	w.note("cp + sha256sum + sync of the donor's file", "s", copied.Seconds())
	w.figures.Add("M7", took.Seconds()/copied.Seconds())
	return nil
}

// copyAndSum is what anybody would do with a file: copy it, make it durable, check it.
func (w *world) copyAndSum(from, to string) (time.Duration, error) {
	start := time.Now()
	for _, args := range [][]string{{"cp", "--reflink=never", from, to}, {"sync", to}, {"sha256sum", to}} {
		if err := exec.CommandContext(w.ctx, args[0], args[1:]...).Run(); err != nil {
			return 0, err
		}
	}
	took := time.Since(start)
	return took, os.Remove(to)
}
