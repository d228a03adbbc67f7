package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// assignTo makes a changeset that assigns one string to one property.
func assignTo(t *testing.T, d branch.Dot, prev [32]byte, base branch.Revision, root, value string) changeset.Envelope {
	t.Helper()
	e, err := changeset.Encode(changeset.Changeset{
		Branch: d.Branch, Seq: d.Seq, Clock: changeset.Clock(d.Seq) << 20, Prev: prev, Base: base,
		Objects: []changeset.ObjectChange{{Root: root, Props: []changeset.PropChange{{
			Predicate: "p", Mode: changeset.Assign, Added: []changeset.Value{{Term: statement.Literal(value)}},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func pastStore(t *testing.T, shape ShapeFunc) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: "0A", NoSync: true, Shape: shape, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestThePredecessorOfAChangesetIsKnownWhereverItStands(t *testing.T) {
	s := pastStore(t, nil)
	b1 := assignTo(t, branch.Dot{Branch: "0B", Seq: 1}, [32]byte{}, nil, "x", "1")
	c1 := assignTo(t, branch.Dot{Branch: "0C", Seq: 1}, [32]byte{}, branch.Revision{b1.Dot}, "x", "2")
	c2 := assignTo(t, branch.Dot{Branch: "0C", Seq: 2}, c1.Hash, nil, "x", "3")
	if _, err := s.Apply(t.Context(), []changeset.Envelope{b1, c1, c2}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		of    branch.Dot
		known bool
		want  Predecessor
	}{
		{branch.Dot{Branch: "0C", Seq: 1}, true, Predecessor{}},
		{branch.Dot{Branch: "0C", Seq: 2}, true, Predecessor{Seen: branch.Revision{b1.Dot}, Hash: c1.Hash}},
		{branch.Dot{Branch: "0C", Seq: 3}, true, Predecessor{Seen: branch.Revision{b1.Dot}, Hash: c2.Hash}},
		{branch.Dot{Branch: "0C", Seq: 4}, false, Predecessor{}},
		{branch.Dot{Branch: "0D", Seq: 1}, true, Predecessor{}},
		{branch.Dot{Branch: "0D", Seq: 2}, false, Predecessor{}},
		{branch.Dot{Branch: "0D"}, false, Predecessor{}},
	}
	err := s.View(t.Context(), func(r *Reader) error {
		for _, tt := range tests {
			got, known, err := r.Predecessor(tt.of)
			if err != nil || known != tt.known || got.Hash != tt.want.Hash || !got.Seen.Equal(tt.want.Seen) {
				t.Errorf("before %s: %v, %v, %v; want %v, %v", tt.of, got, known, err, tt.want, tt.known)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasAppliedRightBeforeIsFound(t *testing.T) {
	s := pastStore(t, nil)
	b1 := assignTo(t, branch.Dot{Branch: "0B", Seq: 1}, [32]byte{}, nil, "x", "1")
	c1 := assignTo(t, branch.Dot{Branch: "0C", Seq: 1}, [32]byte{}, nil, "x", "2")
	if _, err := s.Apply(t.Context(), []changeset.Envelope{c1, b1}); err != nil {
		t.Fatal(err)
	}
	err := s.View(t.Context(), func(r *Reader) error {
		if got, ok, err := r.AppliedBefore(b1.Dot); err != nil || !ok || got != c1.Dot {
			t.Errorf("before %s: %s, %v, %v; want %s", b1.Dot, got, ok, err, c1.Dot)
		}
		if got, ok, err := r.AppliedBefore(c1.Dot); err != nil || ok {
			t.Errorf("before the first: %s, %v, %v", got, ok, err)
		}
		if _, _, err := r.AppliedBefore(branch.Dot{Branch: "0D", Seq: 1}); err == nil {
			t.Error("something was applied before a changeset that was not")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAShapeSeesTheObjectsBeforeTheTransactionAndDecidesWhatIsCommitted(t *testing.T) {
	var before []statement.Statement
	s := pastStore(t, func(c changeset.Changeset, r *Reader) (changeset.Changeset, error) {
		o, _, err := r.Object("x")
		before = o.Statements
		c.Comment, c.Objects[0].Props[0].Added[0].Text = "shaped", "other"
		return c, err
	})
	for range 2 {
		commit, err := s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Add(doc(t, `{"id":"x","p":"mine"}`).Objects) })
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(t.Context(), func(r *Reader) error {
			c, _, err := r.Changeset(commit.Dot)
			if err != nil || c.Comment != "shaped" {
				t.Errorf("committed %+v, %v", c, err)
			}
			o, _, err := r.Object("x")
			if err != nil || len(o.Statements) != 1 || o.Statements[0].Text != "other" {
				t.Errorf("the object is %v, %v", o.Statements, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(before) != 1 || before[0].Text != "other" {
		t.Errorf("the second transaction's shape saw %v", before)
	}
}

func TestAShapeCanRefuseOrLeaveNothingToCommit(t *testing.T) {
	refuse := errors.New("not now")
	tests := map[string]struct {
		shape ShapeFunc
		ok    bool
	}{
		"refused":     {func(c changeset.Changeset, _ *Reader) (changeset.Changeset, error) { return c, refuse }, false},
		"nothing":     {func(c changeset.Changeset, _ *Reader) (changeset.Changeset, error) { c.Objects = nil; return c, nil }, true},
		"another dot": {func(c changeset.Changeset, _ *Reader) (changeset.Changeset, error) { c.Seq++; return c, nil }, false},
		"panics":      {func(changeset.Changeset, *Reader) (changeset.Changeset, error) { panic("a mistake") }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := pastStore(t, tt.shape)
			commit, err := s.Update(context.Background(), WriteOptions{}, func(tx *Tx) error { return tx.Add(doc(t, `{"id":"x","p":"v"}`).Objects) })
			if (err == nil) != tt.ok || !commit.Dot.IsZero() {
				t.Errorf("committed %s, error %v", commit.Dot, err)
			}
			if name == "refused" && !errors.Is(err, refuse) {
				t.Errorf("the error is %v, not the shape's", err)
			}
			if len(s.Revision()) != 0 {
				t.Errorf("the revision moved to %s", s.Revision())
			}
		})
	}
}

func TestAChangesetWithoutObjectsTakesItsDotAndChangesNothing(t *testing.T) {
	s := pastStore(t, nil)
	empty, err := changeset.Encode(changeset.Changeset{Branch: "0B", Seq: 1, Clock: 1})
	if err != nil {
		t.Fatal(err)
	}
	digest := s.Digest()
	a, err := s.Apply(t.Context(), []changeset.Envelope{empty, assignTo(t, branch.Dot{Branch: "0B", Seq: 2}, empty.Hash, nil, "x", "1")})
	if err != nil || a.Applied != 2 {
		t.Fatalf("applied %+v, %v", a, err)
	}
	if s.Revision().String() != "0B00002" || s.Digest() == digest {
		t.Errorf("the store is at %s", s.Revision())
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// The short way to an object's past gives what going through its history gives,
// for every causal past that there was.
func TestAnObjectInACausalPastIsWhatItsHistorySays(t *testing.T) {
	for seed := range uint64(20) {
		chance := rand.New(rand.NewPCG(seed, 11))
		ids := []branch.ID{"0A", "0B", "0C"}
		var stores []*Store
		for _, id := range ids {
			stores = append(stores, open(t, t.TempDir(), id))
		}
		var pasts []branch.Revision
		for range 40 {
			i := chance.IntN(3)
			text := fmt.Sprintf(`{"id":"x%d","p%d":%d}`, chance.IntN(2), chance.IntN(2), chance.IntN(9))
			_, err := stores[i].Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
				if chance.IntN(4) == 0 {
					_, err := tx.Delete("x0")
					return err
				}
				return tx.Update(doc(t, text).Objects)
			})
			if err != nil {
				t.Fatal(err)
			}
			pasts = append(pasts, stores[i].Revision())
			if chance.IntN(2) == 0 {
				j := chance.IntN(3)
				entries, err := stores[i].Feed(t.Context(), 0, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if _, err := stores[j].Apply(t.Context(), []changeset.Envelope{e.Envelope}); err != nil {
						t.Fatal(err)
					}
				}
				pasts = append(pasts, stores[j].Revision())
			}
		}
		for _, s := range stores {
			short := 0
			read(t, s, func(r *Reader) error {
				for _, past := range pasts {
					if !s.Revision().CoversAll(past) {
						continue
					}
					for _, id := range []string{"x0", "x1"} {
						want, _, err := r.ObjectAt(id, past)
						if err != nil {
							return err
						}
						got, _, err := r.ObjectIn(id, past)
						if err != nil {
							return err
						}
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("seed %d, %s in %s (-history +short):\n%s", seed, id, past, diff)
						}
						short++
					}
				}
				return nil
			})
			if short == 0 {
				t.Error("no past was compared")
			}
		}
	}
}
