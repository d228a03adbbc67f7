package store

import (
	"fmt"
	"sync/atomic"
)

// writeLimit bounds the own changesets beyond what any node takes.
type writeLimit struct{ now atomic.Pointer[limitSet] }

type limitSet struct {
	bytes int
	why   string
}

// LimitChangesets refuses transactions whose changeset has more bytes than that
// from now on, with a *LimitError that says why; 0 lifts the limit.
// Changesets of other branches are not concerned.
func (s *Store) LimitChangesets(bytes int, why string) {
	if bytes <= 0 {
		s.limit.now.Store(nil)
		return
	}
	s.limit.now.Store(&limitSet{bytes, why})
}

// check returns a *LimitError for a changeset that is too large.
func (l *writeLimit) check(size int) error {
	set := l.now.Load()
	if set == nil || size <= set.bytes {
		return nil
	}
	return &LimitError{Err: fmt.Errorf("its changeset has %d bytes, and %d can be sent to the other nodes, since %s", size, set.bytes, set.why)}
}
