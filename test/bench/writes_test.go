package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	objectBytes = 1024
	writeSpan   = 4 * time.Second
)

// localWrites is the node's speed with 64 clients, which catch-up is measured by.
const localWrites = "durable HTTP writes/s, 64 clients"

// measureWrites is M1, M2 and M3: one node process, clients on real sockets.
func measureWrites(w *world) error {
	if err := w.floor(); err != nil {
		return err
	}
	dir, free, err := w.fresh("writes")
	if err != nil {
		return err
	}
	defer free()
	n, err := w.startNode(dir, "0A", "", "")
	if err != nil {
		return err
	}
	defer n.stop()
	bodies := documents(256, objectBytes)
	_, one, err := closedLoop(w.ctx, 1, w.span(writeSpan/2), n.writer(w.ctx, bodies))
	if err != nil {
		return n.complaint(err)
	}
	many, err := w.shared(n, bodies)
	if err != nil {
		return n.complaint(err)
	}
	bare, err := w.bare(2)
	if err != nil {
		return err
	}
	once, err := w.bare(1)
	if err != nil {
		return err
	}
	w.note(localWrites, "/s", many)
	w.note("durable HTTP writes/s, 1 client", "/s", one)
	w.note("bare bbolt writes/s, 64 writers: object and changeset", "/s", bare)
	w.note("bare bbolt writes/s, 64 writers: object only", "/s", once)
	w.figures.Add("M1", many/bare)
	w.figures.Add("M2", many/one)
	return nil
}

// shared is the load of 64 clients, with the exact count of commits.
func (w *world) shared(n *node, bodies [][]byte) (float64, error) {
	var before, after [2]float64
	read := func(into *[2]float64) (err error) {
		for i, name := range []string{"vesper_store_commits_total", "vesper_store_writes_total"} {
			if into[i], err = n.metric(w.ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(&before); err != nil {
		return 0, err
	}
	_, rate, err := closedLoop(w.ctx, 64, w.span(writeSpan), n.writer(w.ctx, bodies))
	if err != nil {
		return 0, err
	}
	if err := read(&after); err != nil {
		return 0, err
	}
	w.figures.Add("M3", (after[0]-before[0])/(after[1]-before[1]))
	return rate, nil
}

// bareStore is bbolt with a committer like the store's, and nothing else.
type bareStore struct {
	db    *bolt.DB
	queue chan *bareWrite
	done  sync.WaitGroup
	seq   uint64
}

type bareWrite struct {
	key, value []byte
	err        error
	done       chan struct{}
}

var (
	bareObjects = []byte("objects")
	bareLog     = []byte("log")
)

func openBare(path string, copies int) (*bareStore, error) {
	// As the store opens its file, so that only what stands above bbolt differs.
	db, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, InitialMmapSize: 1 << 30, NoStatistics: true})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bareObjects, bareLog} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s := &bareStore{db: db, queue: make(chan *bareWrite, 1024)}
	s.done.Go(func() { s.run(copies) })
	return s, nil
}

func (s *bareStore) close() error {
	close(s.queue)
	s.done.Wait()
	return s.db.Close()
}

// run commits together what queued during the last commit.
func (s *bareStore) run(copies int) {
	for first := range s.queue {
		group := []*bareWrite{first}
		for yielded := false; ; {
			select {
			case next, open := <-s.queue:
				if open {
					group = append(group, next)
					continue
				}
			default:
			}
			if yielded {
				break
			}
			yielded = true
			runtime.Gosched()
		}
		err := s.db.Update(func(tx *bolt.Tx) error { return s.put(tx, group, copies) })
		for _, g := range group {
			g.err = err
			close(g.done)
		}
	}
}

// put stores each value under its id, and, as a store with a history must, once
// more in the order of arrival.
func (s *bareStore) put(tx *bolt.Tx, group []*bareWrite, copies int) error {
	objects, log := tx.Bucket(bareObjects), tx.Bucket(bareLog)
	for _, g := range group {
		if err := objects.Put(g.key, g.value); err != nil {
			return err
		}
		if copies < 2 {
			continue
		}
		s.seq++
		if err := log.Put(binary.BigEndian.AppendUint64(nil, s.seq), g.value); err != nil {
			return err
		}
	}
	return nil
}

// bareWriter is one client of a bareStore.
type bareWriter struct {
	s      *bareStore
	bodies [][]byte
	n      int
}

func (b *bareWriter) call(context.Context) error {
	b.n++
	write := &bareWrite{key: []byte(newID()), value: b.bodies[b.n%len(b.bodies)], done: make(chan struct{})}
	b.s.queue <- write
	<-write.done
	return write.err
}

func (*bareWriter) close() {}

// bare returns how many writes a second bbolt alone takes from 64 writers.
func (w *world) bare(copies int) (rate float64, err error) {
	dir, free, err := w.fresh("bare")
	if err != nil {
		return 0, err
	}
	defer free()
	s, err := openBare(filepath.Join(dir, "bare.db"), copies)
	if err != nil {
		return 0, fmt.Errorf("opening a bare bbolt: %w", err)
	}
	bodies := documents(256, objectBytes)
	_, rate, err = closedLoop(w.ctx, 64, w.span(writeSpan/2), func() (caller, error) {
		return &bareWriter{s: s, bodies: bodies}, nil
	})
	if ended := s.close(); err == nil {
		err = ended
	}
	return rate, err
}
