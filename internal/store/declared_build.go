package store

import (
	"bytes"
	"context"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bounds of what one transaction does for declared indexes, so that nobody waits
// long for it.
const (
	// buildObjects and buildBytes bound the objects that are looked at.
	buildObjects = 512
	buildBytes   = 2 << 20
	// leaveEntries bounds the entries that are removed.
	leaveEntries = 2048
	// buildPause is how long to wait after the disk failed, at first and at most.
	buildPause, buildPauseMost = 50 * time.Millisecond, time.Minute
)

// buildPiece bounds what one transaction does.
type buildPiece struct{ objects, entries int }

// IndexStatus says how far the index of a declared property is.
type IndexStatus struct {
	// Property is the full name of the property.
	Property string
	// Built says that queries use it.
	Built bool
}

// Indexes returns the declared indexes in the order of their declaration.
func (s *Store) Indexes() []IndexStatus {
	var out []IndexStatus
	for _, d := range s.published().declared {
		if d.State != indexLeaving {
			out = append(out, IndexStatus{Property: d.Property, Built: d.State == indexBuilt})
		}
	}
	return out
}

// declared returns the properties that are declared; not nil.
func (s *Store) declared() []string {
	out := []string{}
	for _, i := range s.Indexes() {
		out = append(out, i.Property)
	}
	return out
}

// buildIndexes has the indexes become what is declared, if they are not, while
// everything goes on. What is done is kept, so that the next open goes on there.
func (s *Store) buildIndexes() {
	if unfinished(s.published().declared) < 0 {
		return
	}
	s.building.Go(func() {
		started := time.Now()
		if s.buildAll(s.life) == nil {
			s.opts.Logger.Info("Built and removed the declared indexes", "path", s.path, "indexes", s.declared(), "took", time.Since(started))
		}
	})
}

// unfinished returns the first index with something to do, or -1.
func unfinished(declared []declaredIndex) int {
	for i, d := range declared {
		if d.State != indexBuilt {
			return i
		}
	}
	return -1
}

// buildAll goes on until there is nothing to do or the context ends.
func (s *Store) buildAll(ctx context.Context) error {
	for pause := buildPause; ; {
		more := false
		err := s.submit(ctx, func(b *batch) error {
			more = b.buildSome(s.opts.Hooks.buildPiece())
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			s.opts.Logger.Error("Could not go on building a declared index", "path", s.path, "error", err)
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			pause = min(2*pause, buildPauseMost)
		case !more:
			return nil
		default:
			pause = buildPause
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// buildSome does the next piece of work and reports whether more is left.
func (b *batch) buildSome(most buildPiece) (more bool) {
	at := unfinished(b.st.declared)
	if at < 0 {
		return false
	}
	declared := append([]declaredIndex(nil), b.st.declared...)
	if declared[at].State == indexLeaving {
		if b.leaveSome(declared[at].Property, most.entries) {
			declared = append(declared[:at], declared[at+1:]...)
		}
	} else {
		b.indexSome(declared, declared[at].Done, most.objects)
	}
	b.st.declared = declared
	b.writeDeclaration()
	return unfinished(declared) >= 0
}

// leaveSome removes entries of a property and reports whether none is left.
func (b *batch) leaveSome(property string, most int) bool {
	var keys [][]byte
	prefix := textKey(property)
	for k := range storedKeys(b.tx.Bucket(bucketOrdered), prefix, prefix) {
		if len(keys) == most {
			break
		}
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		b.remove(bucketOrdered, k)
	}
	return len(keys) < most
}

// indexSome gives the next objects to all indexes that have come as far.
func (b *batch) indexSome(declared []declaredIndex, done []byte, most int) {
	var together []*declaredIndex
	for i := range declared {
		if d := &declared[i]; d.State == indexBuilding && bytes.Equal(d.Done, done) {
			together = append(together, d)
		}
	}
	last, whole := b.indexObjects(together, done, most)
	for _, d := range together {
		if d.Done = last; whole {
			d.State, d.Done = indexBuilt, nil
		}
	}
}

// indexObjects adds the entries of the next objects, and returns the last of
// them and whether there are no more.
func (b *batch) indexObjects(into []*declaredIndex, done []byte, most int) (last []byte, whole bool) {
	size := 0
	var keys [][]byte
	c := b.tx.Bucket(bucketObjects).Cursor()
	k, v := pairAfter(c, done)
	for n := 0; k != nil && n < most && size < buildBytes; n++ {
		rec, err := decodeRecord(v)
		if err != nil {
			b.fail(&CorruptError{What: "object " + string(k), Err: err})
			return done, false
		}
		seen := rec.see(string(k), b.st.policy)
		for _, d := range into {
			keys = append(keys, orderedKeys(seen.root, seen.under(d.Property))...)
		}
		size += len(v)
		last = bytes.Clone(k)
		k, v = c.Next()
	}
	for _, key := range keys {
		b.put(bucketOrdered, key, nil)
	}
	return last, k == nil
}

// pairAfter returns the first pair behind a key.
func pairAfter(c *bolt.Cursor, key []byte) (k, v []byte) {
	if k, v = c.Seek(key); k != nil && bytes.Equal(k, key) {
		return c.Next()
	}
	return k, v
}
