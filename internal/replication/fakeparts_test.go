package replication

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// fakeSnapshot is what a fake store writes: its state is its whole log, so it
// keeps that below the floor too, and only does not give it away.
type fakeSnapshot struct {
	Floor branch.Revision
	Feed  []changeset.Envelope
}

func (s *fakeStore) WriteSnapshot(_ context.Context, w io.Writer) (info store.SnapshotInfo, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshots++
	out := fakeSnapshot{Floor: s.floor}
	for _, d := range s.feed {
		out.Feed = append(out.Feed, s.log[d])
	}
	text, err := json.Marshal(out)
	if err != nil {
		return info, err
	}
	if s.spoil != nil {
		text = s.spoil(text)
	}
	info = store.SnapshotInfo{Revision: s.revision, Floor: s.floor, Digest: s.digest, Bytes: int64(len(text))}
	_, err = w.Write(text)
	return info, err
}

func (s *fakeStore) InstallSnapshot(ctx context.Context, path string) (info store.SnapshotInfo, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return info, err
	}
	var in fakeSnapshot
	if err := json.Unmarshal(text, &in); err != nil {
		return info, fmt.Errorf("reading the snapshot: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(ctx); err != nil {
		return info, err
	}
	fresh := newFakeStore(s.me)
	for _, e := range in.Feed {
		if err := fresh.replay(e); err != nil {
			return info, err
		}
	}
	info = store.SnapshotInfo{Revision: fresh.revision, Digest: fresh.digest, Floor: in.Floor}
	if !fresh.revision.CoversAll(s.floor) {
		return info, errors.New("what has left this store's log is not in the snapshot")
	}
	position := uint64(len(fresh.feed))
	for _, d := range s.feed {
		if !fresh.revision.Covers(d) {
			if err := fresh.replay(s.log[d]); err != nil {
				return info, err
			}
		}
	}
	s.log, s.feed, s.revision, s.seen, s.digest = fresh.log, fresh.feed, fresh.revision, fresh.seen, fresh.digest
	s.floor, s.incarnation, s.clock = in.Floor, s.incarnation+"'", max(s.clock, fresh.clock)
	for link := range s.cursors {
		if !strings.HasPrefix(link, "!") {
			s.cursors[link] = position
		}
	}
	maps.DeleteFunc(s.pending, func(d branch.Dot, _ waiting) bool { return s.revision.Covers(d) })
	s.drain()
	s.installed++
	s.announce()
	return info, nil
}

// replay takes a changeset that is known to be next. The caller holds mu, or
// has the store to itself.
func (s *fakeStore) replay(e changeset.Envelope) error {
	c, err := s.decode(e)
	if err != nil {
		return err
	}
	if !s.ready(e.Dot, c.Base) {
		return fmt.Errorf("%s is not next at %s", e.Dot, s.revision)
	}
	s.clock = max(s.clock, c.Clock)
	s.take(e, c.Base)
	return nil
}

// Trim raises the floor as the store does: the feed's prefix that is covered
// and old, at most 100 changesets a call.
func (s *fakeStore) Trim(_ context.Context, covered branch.Revision, before time.Time) (out store.Trimmed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.feed {
		if s.floor.Covers(d) {
			continue
		}
		c, err := changeset.Decode(s.log[d], changeset.DefaultLimits())
		if err != nil {
			return out, err
		}
		if !covered.Covers(d) || !c.Clock.Time().Before(before) {
			return out, nil
		}
		if out.Changesets == 100 {
			out.More = true
			return out, nil
		}
		s.floor = s.floor.With(d)
		out.Changesets++
	}
	return out, nil
}

// DigestObjects lists the changesets that hash to a bucket: the fake's objects.
func (s *fakeStore) DigestObjects(_ context.Context, bucket byte) (out []store.ObjectDigest, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, e := range s.log {
		if e.Hash[0] == bucket {
			out = append(out, store.ObjectDigest{Root: d.String(), Hash: binary.BigEndian.Uint64(e.Hash[1:]) + s.twist[d]})
		}
	}
	slices.SortFunc(out, func(a, b store.ObjectDigest) int { return cmp.Compare(a.Root, b.Root) })
	return out, nil
}

// goWrong makes this store's state of some objects differ from its peers'.
func (s *fakeStore) goWrong(by uint64, dots ...branch.Dot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.twist == nil {
		s.twist = map[branch.Dot]uint64{}
	}
	for _, d := range dots {
		s.twist[d] += by
		s.digest[s.log[d].Hash[0]] += by
	}
}

func (s *fakeStore) setFloor(floor branch.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = floor
}

func (s *fakeStore) counts() (written, installed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshots, s.installed
}
