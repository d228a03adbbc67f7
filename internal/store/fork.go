package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// Fork says that two changesets of one name exist: two writers have had one
// branch id. Nothing more of the branch is applied until a human has decided.
type Fork struct {
	// Dot is the first name that is known to stand for two changesets.
	Dot branch.Dot `json:"dot"`
	// Have is the hash of the one that this store holds, Got that of the other;
	// both are zero when a peer told of the fork.
	Have [32]byte `json:"have"`
	Got  [32]byte `json:"got"`
	// Seen is when this store first knew.
	Seen time.Time `json:"seen"`
	// Told is the peer that told of it; empty when the other changeset came here.
	Told branch.ID `json:"told,omitempty"`
	// Settled is the sequence up to which a human has decided for what this
	// store holds; 0 while that is open.
	Settled uint64 `json:"settled,omitempty"`
}

// ForkedError says that nothing of a branch is applied since it is forked.
type ForkedError struct{ Fork Fork }

// Error names the branch, the dot and the remedy.
func (e *ForkedError) Error() string {
	d := e.Fork.Dot
	return fmt.Sprintf("branch %s is forked at %s: two different changesets have that name, so two nodes have written under one branch id. "+
		"Nothing more of the branch is applied here: see GET /v1/forks and docs/troubleshooting.md", d.Branch, d)
}

// reject counts a changeset that cannot be applied, and remembers a fork.
func (b *batch) reject(done *Applied, d branch.Dot, err error) {
	done.reject(d, err)
	if fork, ok := errors.AsType[*ForkError](err); ok {
		b.fork(Fork{Dot: fork.Dot, Have: fork.Have, Got: fork.Got})
	}
}

// fork remembers that a branch is forked, and drops what waits of it. One that
// a human has settled is news only beyond that.
func (b *batch) fork(f Fork) {
	id := f.Dot.Branch
	if known, ok := b.st.forks[id]; ok && (known.Settled == 0 || f.Dot.Seq <= known.Settled) {
		return
	}
	f.Seen = b.now().UTC()
	b.putFork(f)
	for _, d := range b.st.pending.of(id) {
		b.st.pending.remove(d)
		b.remove(bucketPending, dotKey(d))
	}
}

func (b *batch) putFork(f Fork) {
	text, err := json.Marshal(f)
	b.fail(err)
	b.put(bucketForks, []byte(f.Dot.Branch), text)
	b.st.forks = maps.Clone(b.st.forks) // others hold the old one
	if b.st.forks == nil {
		b.st.forks = map[branch.ID]Fork{}
	}
	b.st.forks[f.Dot.Branch] = f
}

// forked returns the open fork of a branch, if there is one.
func (st *state) forked(id branch.ID) (Fork, bool) {
	f, ok := st.forks[id]
	return f, ok && f.Settled == 0
}

func (st *state) loadForks(tx *bolt.Tx) error {
	st.forks = map[branch.ID]Fork{}
	return tx.Bucket(bucketForks).ForEach(func(k, v []byte) error {
		var f Fork
		if err := json.Unmarshal(v, &f); err != nil {
			return &CorruptError{What: "the forks", Err: fmt.Errorf("branch %s: %w", k, err)}
		}
		st.forks[branch.ID(k)] = f
		return nil
	})
}

// Forks returns the branches that are known to be forked and of which therefore
// nothing is applied, sorted.
func (s *Store) Forks() []Fork {
	var out []Fork
	for _, f := range s.published().forks {
		if f.Settled == 0 {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Fork) int { return a.Dot.Compare(b.Dot) })
	return out
}

// TellFork records that a peer knows a branch to be forked, and reports whether
// that is news. It returns once that is on disk.
func (s *Store) TellFork(ctx context.Context, d branch.Dot, from branch.ID) (news bool, err error) {
	if known, ok := s.published().forks[d.Branch]; ok && (known.Settled == 0 || d.Seq <= known.Settled) {
		return false, nil
	}
	err = s.submit(ctx, func(b *batch) error {
		was := b.st.forks[d.Branch]
		b.fork(Fork{Dot: d, Told: from})
		news = b.st.forks[d.Branch] != was
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("recording that branch %s is forked: %w", d.Branch, err)
	}
	return news, nil
}

// SettleFork records a human's decision that what this store holds of a forked
// branch is what counts: from then on the branch is applied again, as far as
// what comes continues that. It reports whether the branch was forked.
func (s *Store) SettleFork(ctx context.Context, id branch.ID) (was bool, err error) {
	err = s.submit(ctx, func(b *batch) error {
		f, forked := b.st.forked(id)
		if was = forked; !forked {
			return nil
		}
		f.Settled = max(b.st.heads[id].seq, f.Dot.Seq)
		b.putFork(f)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("settling the fork of branch %s: %w", id, err)
	}
	return was, nil
}
