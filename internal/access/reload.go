package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// maxFile bounds a file of tokens or certificates, in bytes.
	maxFile = 256 << 10
	// lookEvery is how often files are looked at. Their content is compared, not
	// their times: Kubernetes swaps a symbolic link to the whole directory.
	lookEvery = 2 * time.Second
)

// source is what was made of some files, and is made anew when they change.
// What is wrong with new files leaves the old value in force.
type source[T any] struct {
	what  string
	files []string
	parse func(contents [][]byte) (T, error)

	mu    sync.Mutex
	value T
	sum   [sha256.Size]byte
	fault string
	loads int
}

// newSource reads the files for the first time, when nothing stands in for them.
func newSource[T any](what string, files []string, parse func([][]byte) (T, error)) (*source[T], error) {
	s := &source[T]{what: what, files: files, parse: parse}
	if _, err := s.look(); err != nil {
		return nil, err
	}
	return s, nil
}

// get returns the value in force.
func (s *source[T]) get() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// trouble says why the files are not in force; "" when they are.
func (s *source[T]) trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// look reads the files and reports whether there is a new value.
func (s *source[T]) look() (changed bool, err error) {
	contents, sum, err := readAll(s.files)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.loads > 0 && sum == s.sum {
		s.fault = ""
		return false, nil
	}
	var value T
	if err == nil {
		value, err = s.parse(contents)
	}
	if err != nil {
		err = fmt.Errorf("reading %s: %w", s.what, err)
		s.fault = err.Error()
		return false, err
	}
	s.value, s.sum, s.fault = value, sum, ""
	s.loads++
	return true, nil
}

func readAll(files []string) (contents [][]byte, sum [sha256.Size]byte, err error) {
	for _, name := range files {
		text, err := readBounded(name)
		if err != nil {
			return nil, sum, err
		}
		contents = append(contents, text)
	}
	return contents, sha256.Sum256(bytes.Join(contents, []byte{0})), nil
}

func readBounded(name string) (text []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxFile)
	}
	return text, err
}

// watcher is what follows its files.
type watcher interface {
	look() (changed bool, err error)
	name() string
	trouble() string
}

func (s *source[T]) name() string { return s.what }

// follow looks at the files until ctx ends. It logs what changed, and what is
// wrong once, not every time.
func follow(ctx context.Context, log *slog.Logger, sources []watcher, every time.Duration) {
	said := make([]string, len(sources))
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for i, s := range sources {
			changed, err := s.look()
			switch {
			case err != nil && err.Error() != said[i]:
				said[i] = err.Error()
				log.Error("Kept what was in force before", "what", s.name(), "error", err)
			case err == nil && (changed || said[i] != ""):
				said[i] = ""
				log.Info("Read again", "what", s.name())
			}
		}
	}
}
