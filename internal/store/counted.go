package store

import "sync"

// counted remembers how many values properties have, for estimates: counting
// them anew for each query costs more than many a query. What is remembered is
// of a snapshot not far away.
type counted struct {
	mu    sync.Mutex
	known map[string]knownCount
}

type knownCount struct {
	Spread
	atMost  int
	txid    int
	objects int
}

const (
	// countedAtMost bounds the properties that are remembered.
	countedAtMost = 4096
	// worthCounting is how many steps a count takes at least to be remembered.
	worthCounting = 64
	// nearby is how many commits, and changedPart which part of the objects, may
	// lie between a count and its use.
	nearby      = 1024
	changedPart = 10
)

// Spread is how many entries an index has for a predicate, and how many
// different values are among those that were counted.
type Spread struct {
	Count
	Values int
}

// EstimatePredicate is CountPredicate as of this snapshot or one not far from
// it, with the number of different values.
func (r *Reader) EstimatePredicate(predicate string, atMost int) Spread {
	objects, err := r.CountObjects()
	if r.counted == nil || err != nil {
		return r.spread(predicate, atMost)
	}
	if c, ok := r.counted.lookUp(predicate, atMost, r.tx.ID(), objects); ok {
		return c
	}
	c := r.spread(predicate, atMost)
	if c.N >= worthCounting {
		r.counted.remember(predicate, knownCount{c, atMost, r.tx.ID(), objects})
	}
	return c
}

// spread counts no further than atMost entries. What is no entry counts as one
// of the value before it.
func (r *Reader) spread(predicate string, atMost int) (s Spread) {
	prefix := textKey(predicate)
	c := valueCounter{predicate: len(prefix)}
	for k := range keysFrom(r.image, bucketValues, prefix, prefix) {
		if s.N == atMost {
			s.More = true
			return s
		}
		s.N++
		if another, err := c.add(k); another && err == nil {
			s.Values++
		}
	}
	return s
}

func (m *counted) lookUp(predicate string, atMost, txid, objects int) (Spread, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, known := m.known[predicate]
	if !known || distance(k.txid, txid) > nearby || distance(k.objects, objects)*changedPart > k.objects || k.More && k.atMost < atMost {
		return Spread{}, false
	}
	if k.N > atMost {
		return Spread{Count{N: atMost, More: true}, max(1, k.Values*atMost/k.N)}, true
	}
	return k.Spread, true
}

func (m *counted) remember(predicate string, k knownCount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= countedAtMost {
		m.known = map[string]knownCount{}
	}
	m.known[predicate] = k
}

func distance(a, b int) int { return max(a-b, b-a) }
