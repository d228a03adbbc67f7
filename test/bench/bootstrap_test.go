package bench

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"time"

	"vesperdb.io/vesper/internal/store"
)

// bootstrap times a donor that writes a snapshot to a file and a new node that
// becomes a store by it: everything checked, everything durable.
func (w *world) bootstrap(d *donor, dir string) (took time.Duration, err error) {
	s, err := w.openStore(d.dir, "0A")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	path := filepath.Join(dir, "snapshot")
	start := time.Now()
	if err := w.writeSnapshot(s, path); err != nil {
		return 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	_, err = store.RestoreSnapshot(w.ctx, f, store.Options{Dir: filepath.Join(dir, "new"), Branch: "0B", Trunk: "0A", Logger: quiet})
	took = time.Since(start)
	if err != nil {
		return 0, err
	}
	w.note("size of the snapshot ÷ the donor's file", "", ratioOfSizes(path, filepath.Join(d.dir, store.FileName)))
	return took, nil
}

func (w *world) writeSnapshot(s *store.Store, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	_, err = s.WriteSnapshot(w.ctx, out)
	return errors.Join(err, out.Flush(), f.Close())
}

func ratioOfSizes(a, b string) float64 {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if errors.Join(err1, err2) != nil {
		return 0
	}
	return float64(x.Size()) / float64(y.Size())
}
