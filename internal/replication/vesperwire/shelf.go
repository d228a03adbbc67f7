package vesperwire

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
)

// Bounds of what is kept of messages that came early.
const (
	shelfItems = 20_000
	shelfBytes = 256 << 20
	shelfName  = ".json"
)

// shelf keeps messages on disk, a file each, named by dot and hash. What put
// has returned for is on disk.
type shelf struct {
	dir string

	mu    sync.Mutex
	items map[string]*kept
	bytes int64
}

// kept is one message.
type kept struct {
	name string
	dot  branch.Dot
	seen branch.Revision
	size int64
	// again says that it was put once more since it was found ready.
	again bool
}

// openShelf reads what is kept in a directory.
func openShelf(dir string) (*shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for changesets that come early: %w", err)
	}
	s := &shelf{dir: dir, items: map[string]*kept{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the changesets that came early: %w", err)
	}
	for _, e := range entries {
		if err := s.find(e.Name()); err != nil {
			return nil, fmt.Errorf("reading the changesets that came early: %w", err)
		}
	}
	return s, nil
}

// find takes up a file. One that was not written to its end, or that is damaged,
// is removed: it was not acknowledged, or cannot be used.
func (s *shelf) find(name string) error {
	path := filepath.Join(s.dir, name)
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := legacywire.Parse(body)
	if err != nil || name != fileName(m.Dot(), body) {
		return os.Remove(path)
	}
	s.items[name] = &kept{name: name, dot: m.Dot(), seen: m.Seen(), size: int64(len(body))}
	s.bytes += int64(len(body))
	return nil
}

func fileName(d branch.Dot, body []byte) string {
	hash := sha256.Sum256(body)
	return d.String() + "-" + hex.EncodeToString(hash[:16]) + shelfName
}

func (s *shelf) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// put keeps a message and reports whether there was room.
func (s *shelf) put(d branch.Dot, seen branch.Revision, body []byte) (bool, error) {
	name := fileName(d, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.items[name]; have != nil {
		have.again = true
		return true, nil
	}
	size := int64(len(body))
	if len(s.items) >= shelfItems || s.bytes+size > shelfBytes {
		return false, nil
	}
	if err := writeDurably(s.dir, name, body); err != nil {
		return false, err
	}
	s.items[name] = &kept{name: name, dot: d, seen: seen, size: size}
	s.bytes += size
	return true, nil
}

// writeDurably writes a file that is there whole or not at all.
func writeDurably(dir, name string, body []byte) error {
	path := filepath.Join(dir, name)
	part := strings.TrimSuffix(path, shelfName) + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err := cmp.Or(err, f.Sync()); err != nil {
		return errors.Join(err, f.Close(), os.Remove(part))
	}
	if err := errors.Join(f.Close(), os.Rename(part, path)); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// ready returns the first message whose causal past a revision covers.
func (s *shelf) ready(revision branch.Revision) (*kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*kept
	for _, k := range s.items {
		before := branch.Dot{Branch: k.dot.Branch, Seq: k.dot.Seq - 1}
		if revision.Covers(before) && revision.CoversAll(k.seen) {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, false
	}
	first := slices.MinFunc(out, func(a, b *kept) int { return cmp.Or(a.dot.Compare(b.dot), cmp.Compare(a.name, b.name)) })
	first.again = false
	return first, true
}

// missing returns how many messages are kept, and the first changesets that they
// need beyond a revision and that are not kept themselves, at most limit.
func (s *shelf) missing(revision branch.Revision, limit int) (messages int, dots []branch.Dot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	here, needed := map[branch.Dot]bool{}, map[branch.Dot]bool{}
	for _, k := range s.items {
		here[k.dot] = true
	}
	for _, k := range s.items {
		past := k.seen
		if k.dot.Seq > 1 {
			past = past.With(branch.Dot{Branch: k.dot.Branch, Seq: max(k.dot.Seq-1, past.At(k.dot.Branch))})
		}
		for _, top := range past {
			// What lies before the first that is neither here nor kept is asked for later.
			next := branch.Dot{Branch: top.Branch, Seq: revision.At(top.Branch) + 1}
			for next.Seq <= top.Seq && here[next] {
				next.Seq++
			}
			if next.Seq <= top.Seq {
				needed[next] = true
			}
		}
	}
	dots = slices.SortedFunc(maps.Keys(needed), branch.Dot.Compare)
	return len(s.items), dots[:min(len(dots), limit)]
}

func (s *shelf) read(k *kept) ([]byte, error) {
	body, err := os.ReadFile(filepath.Join(s.dir, k.name))
	if err == nil && fileName(k.dot, body) != k.name {
		err = fmt.Errorf("%s is damaged: its %d bytes are not those that were written (at most %d are allowed)",
			k.name, len(body), changeset.DefaultLimits().MessageBytes)
	}
	return body, err
}

// remove forgets a message, unless it was put once more meanwhile.
func (s *shelf) remove(k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.again || s.items[k.name] != k {
		return
	}
	delete(s.items, k.name)
	s.bytes -= k.size
	// A file that stays is found again at the next start, and is then a
	// repetition of what has been applied.
	_ = os.Remove(filepath.Join(s.dir, k.name))
}
