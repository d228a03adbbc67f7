package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// fakeStore keeps the promises of store.Store in memory. What it holds
// survives a "crash", which only ends the Replicator above it.
type fakeStore struct {
	mu           sync.Mutex
	me           branch.ID
	incarnation  string
	revision     branch.Revision
	seen         map[branch.ID]branch.Revision // revision after the last changeset of a branch
	clock        changeset.Clock
	log          map[branch.Dot]changeset.Envelope
	feed         []branch.Dot
	pending      map[branch.Dot]waiting
	cursors      map[string]uint64
	digest       store.Digest
	changed      chan struct{}
	bootstrapped bool
	refused      string
	floor        branch.Revision
	// fail, when set, is what Apply answers instead of applying.
	fail func([]changeset.Envelope) error
	// dead stores take nothing: the process has crashed.
	dead bool
	// applies counts calls of Apply that were durable; acks are checked against it.
	applies int
	// twist changes what an object adds to the digest: this store has gone wrong.
	twist map[branch.Dot]uint64
	// snapshots counts those written, installed those put in place.
	snapshots, installed int
	// spoil, when set, changes a snapshot before it is given away.
	spoil func([]byte) []byte
	// decodes counts the bodies that were decoded.
	decodes int
	// looks counts the questions whether it is bootstrapped: a link's repairer asks
	// at each look.
	looks int
}

// waiting is a changeset that waits, and what it waits for: decoding megabytes
// at each look would make a test that polls slow beyond all measure.
type waiting struct {
	changeset.Envelope
	base branch.Revision
}

func newFakeStore(me branch.ID) *fakeStore {
	return &fakeStore{
		me: me, incarnation: "i-" + string(me), seen: map[branch.ID]branch.Revision{},
		log: map[branch.Dot]changeset.Envelope{}, pending: map[branch.Dot]waiting{},
		cursors: map[string]uint64{}, changed: make(chan struct{}),
	}
}

// restoredCopy is what a restore of a backup gives: the same state under a new incarnation.
func (s *fakeStore) restoredCopy(incarnation string) *fakeStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newFakeStore(s.me)
	c.incarnation, c.revision, c.clock, c.digest, c.bootstrapped = incarnation, s.revision, s.clock, s.digest, s.bootstrapped
	c.feed = slices.Clone(s.feed)
	maps.Copy(c.log, s.log)
	maps.Copy(c.seen, s.seen)
	maps.Copy(c.cursors, s.cursors)
	return c
}

func (s *fakeStore) Branch() branch.ID { return s.me }

func (s *fakeStore) Incarnation() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.incarnation
}

func (s *fakeStore) Revision() branch.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

func (s *fakeStore) Snapshot() (branch.Revision, store.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision, s.digest
}

func (s *fakeStore) Floor() branch.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.floor
}

// write commits one local changeset, as store.Update does.
func (s *fakeStore) write(text string) (branch.Dot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != "" {
		return branch.Dot{}, &store.RefusedError{Reason: s.refused}
	}
	s.clock = s.clock.Next(time.Now())
	dot := branch.Dot{Branch: s.me, Seq: s.revision.At(s.me) + 1}
	var base branch.Revision
	for _, d := range s.revision.Since(s.seen[s.me]) {
		if d.Branch != s.me {
			base = append(base, d)
		}
	}
	var prev [32]byte
	if dot.Seq > 1 {
		prev = s.log[branch.Dot{Branch: s.me, Seq: dot.Seq - 1}].Hash
	}
	e, err := changeset.Encode(changeset.Changeset{
		Branch: s.me, Seq: dot.Seq, Clock: s.clock, Base: base, Prev: prev,
		Objects: []changeset.ObjectChange{{Root: "o" + text[:min(len(text), 100)], Props: []changeset.PropChange{{
			Predicate: "p", Mode: changeset.Assign,
			Added: []changeset.Value{{Term: statement.Term{Text: text, Type: statement.TypeLiteral}}},
		}}}},
	})
	if err != nil {
		return branch.Dot{}, err
	}
	s.take(e, base)
	s.announce()
	return dot, nil
}

// take makes a changeset part of the state. The caller holds mu.
func (s *fakeStore) take(e changeset.Envelope, base branch.Revision) {
	s.log[e.Dot] = e
	s.feed = append(s.feed, e.Dot)
	s.revision = s.revision.With(e.Dot)
	s.seen[e.Dot.Branch] = s.seen[e.Dot.Branch].Merge(base).With(e.Dot)
	s.digest[e.Hash[0]] += binary.BigEndian.Uint64(e.Hash[1:])
}

func (s *fakeStore) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeStore) Apply(ctx context.Context, list []changeset.Envelope) (a store.Applied, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(ctx); err != nil {
		return a, err
	}
	if s.fail != nil {
		if err := s.fail(list); err != nil {
			return a, err
		}
	}
	for _, e := range list {
		s.applyOne(e, &a)
	}
	a.Applied += s.drain()
	s.applies++
	s.announce()
	return a, nil
}

func (s *fakeStore) alive(ctx context.Context) error {
	if s.dead {
		return errors.New("the process is dead")
	}
	return ctx.Err()
}

func (s *fakeStore) setDead(dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = dead
}

func (s *fakeStore) applyOne(e changeset.Envelope, a *store.Applied) {
	if s.revision.Covers(e.Dot) {
		if have := s.log[e.Dot]; have.Hash != e.Hash {
			a.Rejected = append(a.Rejected, store.Rejection{Dot: e.Dot, Err: &store.ForkError{Dot: e.Dot, Have: have.Hash, Got: e.Hash}})
			return
		}
		a.Duplicate++
		return
	}
	if _, waits := s.pending[e.Dot]; waits {
		a.Duplicate++
		return
	}
	c, err := s.decode(e)
	if err != nil {
		a.Rejected = append(a.Rejected, store.Rejection{Dot: e.Dot, Err: err})
		return
	}
	s.clock = max(s.clock, c.Clock)
	if s.ready(e.Dot, c.Base) {
		s.take(e, c.Base)
		a.Applied++
		return
	}
	s.pending[e.Dot] = waiting{e, c.Base}
	a.Pending++
}

func (s *fakeStore) decode(e changeset.Envelope) (changeset.Changeset, error) {
	s.decodes++
	return changeset.Decode(e, changeset.DefaultLimits())
}

func (s *fakeStore) ready(d branch.Dot, base branch.Revision) bool {
	return s.revision.At(d.Branch) == d.Seq-1 && s.revision.CoversAll(base)
}

func (s *fakeStore) drain() (n int) {
	for progress := true; progress; {
		progress = false
		for d, w := range s.pending {
			if s.ready(d, w.base) {
				delete(s.pending, d)
				s.take(w.Envelope, w.base)
				n++
				progress = true
			}
		}
	}
	return n
}

func (s *fakeStore) Feed(_ context.Context, after uint64, maxBytes int) (out []store.FeedEntry, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bytes := 0; after < uint64(len(s.feed)); after++ {
		e := s.log[s.feed[after]]
		if bytes += len(e.Body); len(out) > 0 && bytes > maxBytes {
			break
		}
		out = append(out, store.FeedEntry{Pos: after + 1, Envelope: e})
	}
	return out, nil
}

func (s *fakeStore) Range(_ context.Context, b branch.ID, from, to uint64, maxBytes int) (out []changeset.Envelope, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bytes := 0; from <= min(to, s.revision.At(b)); from++ {
		e := s.log[branch.Dot{Branch: b, Seq: from}]
		if bytes += len(e.Body); len(out) > 0 && bytes > maxBytes {
			break
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *fakeStore) Cursor(link string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[link], nil
}

func (s *fakeStore) SetCursor(ctx context.Context, link string, pos uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(ctx); err != nil {
		return err
	}
	s.cursors[link] = pos
	s.announce()
	return nil
}

func (s *fakeStore) Outbox(link string) (n uint64, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.feed[min(s.cursors[link], uint64(len(s.feed))):] {
		if d.Branch == s.me {
			n++
		}
	}
	return n, oldest
}

func (s *fakeStore) Pending() (int, []branch.Dot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []branch.Dot
	for d, w := range s.pending {
		for _, needs := range append(slices.Clone(w.base), branch.Dot{Branch: d.Branch, Seq: d.Seq - 1}) {
			if _, here := s.pending[needs]; !here && !s.revision.Covers(needs) {
				missing = append(missing, needs)
			}
		}
	}
	slices.SortFunc(missing, branch.Dot.Compare)
	return len(s.pending), slices.Compact(missing)
}

func (s *fakeStore) Beyond() (out branch.Revision) {
	_, missing := s.Pending()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range slices.AppendSeq(missing, maps.Keys(s.pending)) {
		if d.Seq > out.At(d.Branch) {
			out = out.With(d)
		}
	}
	return out
}

func (s *fakeStore) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *fakeStore) Bootstrapped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return s.bootstrapped
}

func (s *fakeStore) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func (s *fakeStore) SetBootstrapped(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(ctx); err != nil {
		return err
	}
	s.bootstrapped = true
	return nil
}

func (s *fakeStore) RefuseWrites(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = reason
}

func (s *fakeStore) AllowWrites() { s.RefuseWrites("") }

func (s *fakeStore) setFail(fail func([]changeset.Envelope) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *fakeStore) count() (applied, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.feed), len(s.pending)
}

// check verifies guarantees 5 to 7 over what the store holds: each dot once in
// the feed, no holes, and nothing before all that its base names.
func (s *fakeStore) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at branch.Revision
	for _, d := range s.feed {
		c, err := changeset.Decode(s.log[d], changeset.DefaultLimits())
		if err != nil {
			return err
		}
		if at.At(d.Branch) != d.Seq-1 {
			return fmt.Errorf("%s: %s comes after sequence %d in the feed", s.me, d, at.At(d.Branch))
		}
		if !at.CoversAll(c.Base) {
			return fmt.Errorf("%s: %s came before its base %s", s.me, d, c.Base)
		}
		at = at.With(d)
	}
	if !at.Equal(s.revision) {
		return errors.New("the feed and the revision differ")
	}
	return nil
}

func (s *fakeStore) decoded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.decodes
}
