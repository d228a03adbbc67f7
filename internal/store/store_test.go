package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		runChild(dir)
		return
	}
	if dir := os.Getenv(flippedVariable); dir != "" {
		runFlipped(dir)
		return
	}
	if dir := os.Getenv(swapDirVariable); dir != "" {
		runSwapper(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// mergingHooks has a test's store merge the tail of its indexes most of the time;
// a benchmark's is as usual.
func mergingHooks(t testing.TB) *Hooks {
	if _, usual := t.(*testing.B); usual {
		return nil
	}
	return &Hooks{TailLimit: 40}
}

// open opens a store for a test and closes it at the end.
func open(t testing.TB, dir string, id branch.ID) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Branch: id, Logger: quiet(), NoSync: true, Hooks: mergingHooks(t)})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// doc parses a pJSON document.
func doc(t testing.TB, text string) pjson.Document {
	t.Helper()
	d, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		t.Fatalf("parsing %s: %v", text, err)
	}
	return d
}

// do runs one operation in a transaction of its own.
func do(t testing.TB, s *Store, op func(*Tx, []pjson.Object) error, text string) Commit {
	t.Helper()
	c, err := try(t, s, op, text)
	if err != nil {
		t.Fatalf("writing %s: %v", text, err)
	}
	return c
}

func try(t testing.TB, s *Store, op func(*Tx, []pjson.Object) error, text string) (Commit, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	objects := doc(t, text).Objects
	return s.Update(ctx, WriteOptions{Author: "test"}, func(tx *Tx) error { return op(tx, objects) })
}

// show returns an object in a short form for comparison: a line a statement.
func show(t testing.TB, s *Store, id string) string {
	t.Helper()
	out := ""
	read(t, s, func(r *Reader) error {
		o, _, err := r.Object(id)
		out = lines(o)
		return err
	})
	return out
}

func lines(o Object) string {
	out := ""
	for _, st := range o.Statements {
		out += fmt.Sprintf("%s %s %s/%s", st.Subject, st.Predicate, st.Text, shorten(st.Type))
		if len(st.Positions) > 0 {
			out += fmt.Sprint(st.Positions)
		}
		out += "\n"
	}
	return out
}

func shorten(typ string) string {
	for i := len(typ) - 1; i >= 0; i-- {
		if typ[i] == '#' {
			return typ[i+1:]
		}
	}
	return typ
}

func read(t testing.TB, s *Store, fn func(*Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatalf("reading: %v", err)
	}
}

func wantObject(t testing.TB, s *Store, id, want string) {
	t.Helper()
	if got := show(t, s, id); got != want {
		t.Errorf("object %s is\n%swant\n%s", id, got, want)
	}
}

// wantSound checks the whole file.
func wantSound(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}

func TestWriteIsReadBackAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	c := do(t, s, (*Tx).Add, `{"id":"123","foo":"bar","n":1,"l":[3,1,3],"o":{"k":"v"}}`)
	if c.Dot.String() != "0A00001" || c.Revision.String() != "0A00001" || s.Revision().String() != "0A00001" {
		t.Errorf("dot %s, revision %s, store at %s; want 0A00001", c.Dot, c.Revision, s.Revision())
	}
	before, digest, incarnation := show(t, s, "123"), s.Digest(), s.Incarnation()
	wantSound(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	wantObject(t, s, "123", before)
	if s.Digest() != digest || s.Incarnation() != incarnation || s.Stats().Objects != 1 || s.Revision().String() != "0A00001" {
		t.Errorf("digest, incarnation, counts or revision changed by reopening")
	}
	wantSound(t, s)
}
