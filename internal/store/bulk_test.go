package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// TestFileWrittenInBulkIsOneOfBbolt: what goes in comes out, bbolt's own check
// finds nothing, and transactions go on from there.
func TestFileWrittenInBulkIsOneOfBbolt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "bulk")
		want := map[string][][2]string{}
		f, err := os.Create(path)
		if err != nil {
			rt.Fatal(err)
		}
		b, err := newBulk(f)
		if err != nil {
			rt.Fatal(err)
		}
		for _, name := range []string{"c", "a", "b"} { // not in order
			if err := b.bucket([]byte(name)); err != nil {
				rt.Fatal(err)
			}
			want[name] = nil
			width := rapid.SampledFrom([]int{0, 1, 50, 1500, 3000}).Draw(rt, "key width")
			for i := range rapid.SampledFrom([]int{0, 1, 2, 100, 700}).Draw(rt, "keys") {
				key := fmt.Sprintf("%05d%s", i, strings.Repeat("k", width))
				value := strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 10, 2000, 4096, 20000}).Draw(rt, "value"))
				want[name] = append(want[name], [2]string{key, value})
				if err := b.add([]byte(key), []byte(value)); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if err := b.finish(); err != nil {
			rt.Fatal(err)
		}
		if err := f.Close(); err != nil {
			rt.Fatal(err)
		}
		wantBbolt(t, path, want)
	})
}

func wantBbolt(t *testing.T, path string, want map[string][][2]string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sound := func() {
		t.Helper()
		if err := db.View(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				t.Errorf("bbolt's check: %v", err)
			}
			for name, pairs := range want {
				i := 0
				err := tx.Bucket([]byte(name)).ForEach(func(k, v []byte) error {
					if i >= len(pairs) || string(k) != pairs[i][0] || !bytes.Equal(v, []byte(pairs[i][1])) {
						t.Fatalf("bucket %s has another %dth key or value", name, i)
					}
					i++
					return nil
				})
				if err != nil || i != len(pairs) {
					t.Errorf("bucket %s has %d keys, want %d: %v", name, i, len(pairs), err)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	sound()
	if err := db.Update(func(tx *bolt.Tx) error { // pages split and merge
		for name, pairs := range want {
			kept := pairs[:0:0]
			for i, p := range pairs {
				if i%3 != 0 {
					if err := tx.Bucket([]byte(name)).Delete([]byte(p[0])); err != nil {
						return err
					}
					continue
				}
				p[1] += strings.Repeat("w", 500)
				kept = append(kept, p)
				if err := tx.Bucket([]byte(name)).Put([]byte(p[0]), []byte(p[1])); err != nil {
					return err
				}
			}
			want[name] = kept
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	sound()
}

func TestBulkRefusesKeysOutOfOrder(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "bulk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := newBulk(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.bucket([]byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := b.add([]byte("m"), nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"m", "a", ""} {
		if err := b.add([]byte(key), nil); err == nil {
			t.Errorf("key %q was taken after m", key)
		}
	}
}
