package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPageThatRefersToItselfIsFoundBeforeAnybodyReadsIt: bbolt would follow it
// for ever. Pages out of bounds and lengths beyond them are of the same kind.
func TestPageThatRefersToItselfIsFoundBeforeAnybodyReadsIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	for i := range 300 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x%d","text":%q}`, i, strings.Repeat("x", 300)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	check := func() error {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return checkPages(t.Context(), f, int64(len(sound)), int64(size))
	}
	if err := check(); err != nil {
		t.Fatalf("a sound file: %v", err)
	}
	found := 0
	for page := 2; page < len(sound)/size; page++ {
		at := page * size
		if binary.NativeEndian.Uint16(sound[at+8:]) != pageBranch {
			continue
		}
		for what, damage := range map[string]func([]byte){
			"refers to itself":   func(p []byte) { binary.NativeEndian.PutUint64(p[bulkHeader+8:], uint64(page)) },
			"refers to nothing":  func(p []byte) { binary.NativeEndian.PutUint64(p[bulkHeader+8:], 1<<40) },
			"has too many keys":  func(p []byte) { binary.NativeEndian.PutUint16(p[10:], 60000) },
			"has long keys":      func(p []byte) { binary.NativeEndian.PutUint32(p[bulkHeader+4:], 1<<31) },
			"has too many pages": func(p []byte) { binary.NativeEndian.PutUint32(p[12:], 1<<30) },
		} {
			damaged := append([]byte(nil), sound...)
			damage(damaged[at : at+size])
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := check(); err != nil {
				found++
				if err := openError(t, dir, "0A"); !is[*CorruptError](err) {
					t.Errorf("page %d %s: %v", page, what, err)
				}
			}
		}
	}
	if found < 5 { // pages that are free are nobody's
		t.Errorf("%d damages were found", found)
	}
}
