package store

import (
	"errors"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestNothingIsWrittenOnTopOfAStateThatIsNotInTheFile: when a batch is given up
// and the file cannot be read just then, what the batch left in memory must not
// become the ground of the next one.
func TestNothingIsWrittenOnTopOfAStateThatIsNotInTheFile(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"a","x":1}`)
	damage := []byte("link")
	cursors := func(change func(*bolt.Bucket) error) {
		t.Helper()
		if err := s.file.update(func(tx *bolt.Tx) error { return change(tx.Bucket(bucketCursors)) }); err != nil {
			t.Fatal(err)
		}
	}
	cursors(func(b *bolt.Bucket) error { return b.Put(damage, []byte("no position")) })
	err := s.submit(t.Context(), func(b *batch) error {
		b.st.heads["0A"] = head{seq: 41} // a transaction that goes on to fail
		b.fail(errors.New("the disk is gone"))
		return nil
	})
	if err == nil {
		t.Fatal("a failed batch was reported as done")
	}
	touch := func(tx *Tx) error { _, err := tx.Delete("a"); return err }
	if c, err := s.Update(t.Context(), WriteOptions{}, touch); err == nil {
		t.Fatalf("wrote %s while the file could not be read", c.Dot)
	}
	cursors(func(b *bolt.Bucket) error { return b.Delete(damage) })
	c, err := s.Update(t.Context(), WriteOptions{}, touch)
	if err != nil || c.Dot.Seq != 2 {
		t.Errorf("once the file can be read again: %s, %v; want 0A00002", c.Dot, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
