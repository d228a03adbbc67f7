package simulation

import (
	"context"
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// assignment is a changeset that set a property as a whole, with what its
// author had seen.
type assignment struct {
	stamp  changeset.Stamp
	seen   branch.Revision
	values []changeset.Value
}

// readings works out from the ledger what each property that was only ever set
// as a whole must read, and compares: of the assignments that no other one has
// seen the policy chooses, and all of them are listed when they differ.
func (w *world) readings() error {
	for _, n := range w.running() {
		err := n.now.store.View(context.Background(), func(r *store.Reader) error {
			for i := range 6 {
				for j := range 3 {
					if err := w.reading(r, fmt.Sprintf("o%d", i), fmt.Sprintf("p%d", j)); err != nil {
						return fmt.Errorf("on %s: %w", n.id, err)
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) reading(r *store.Reader, root, predicate string) error {
	all, simple := w.assignments(root, predicate, r.Revision())
	if !simple || len(all) == 0 {
		return nil
	}
	live := slices.DeleteFunc(slices.Clone(all), func(a assignment) bool {
		return len(a.values) == 0 || slices.ContainsFunc(all, func(b assignment) bool { return b.seen.Covers(a.stamp.Dot) })
	})
	if len(live) == 0 {
		live = append(live, assignment{}) // an assignment of nothing only takes away what it has seen
	}
	want := w.chosen(live)
	o, _, err := r.Object(root)
	if err != nil {
		return err
	}
	got := map[string]bool{}
	for _, s := range o.Statements {
		if s.Predicate == predicate {
			got[s.Text] = true
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%s of %s reads %v, the changesets give %v", predicate, root, got, want)
	}
	for text := range want {
		if !got[text] {
			return fmt.Errorf("%s of %s reads %v, the changesets give %v", predicate, root, got, want)
		}
	}
	return listed(o, predicate, live)
}

// chosen are the values that the policy has read.
func (w *world) chosen(live []assignment) map[string]bool {
	slices.SortFunc(live, func(a, b assignment) int { return b.stamp.Compare(a.stamp) })
	read := live
	switch store.ConflictPolicy(w.plan.Policy) {
	case store.PolicyKeepBoth:
	case store.PolicyEarliest:
		read = live[len(live)-1:]
	default:
		read = live[:1]
	}
	out := map[string]bool{}
	for _, a := range read {
		for _, v := range a.values {
			out[v.Text] = true
		}
	}
	return out
}

// listed checks that concurrent assignments of different values are a conflict.
func listed(o store.Object, predicate string, live []assignment) error {
	differ := slices.ContainsFunc(live, func(a assignment) bool {
		return !slices.EqualFunc(a.values, live[0].values, changeset.Value.Same)
	})
	at := slices.IndexFunc(o.Conflicts, func(c store.Conflict) bool { return c.Predicate == predicate && c.Subject == o.ID })
	if listed := at >= 0; listed != differ {
		return fmt.Errorf("%s of %s has %d live assignments (differing: %v) and is listed as a conflict: %v", predicate, o.ID, len(live), differ, listed)
	}
	return nil
}

// assignments are all the changesets up to a revision that set a property. It
// reports false when anything else has touched it: an addition, a deletion, or
// a changeset that the ledger does not know.
func (w *world) assignments(root, predicate string, upTo branch.Revision) (out []assignment, simple bool) {
	simple = true
	w.each(root, upTo, func(e *entry, c changeset.ObjectChange) {
		if c.Delete {
			simple = false
		}
		for _, p := range c.Props {
			if p.Subject != "" || p.Predicate != predicate {
				continue
			}
			seen, known := w.ledger.base(e.env.Dot)
			simple = simple && known && p.Mode == changeset.Assign
			out = append(out, assignment{stamp: e.set.Stamp(), seen: seen, values: p.Added})
		}
	})
	return out, simple
}

// each calls visit with the changes of an object that the ledger knows, up to a
// revision.
func (w *world) each(root string, upTo branch.Revision, visit func(*entry, changeset.ObjectChange)) {
	for _, head := range upTo {
		for seq := uint64(1); seq <= head.Seq; seq++ {
			e := w.ledger.at(branch.Dot{Branch: head.Branch, Seq: seq})
			if e == nil {
				continue
			}
			for _, c := range e.set.Objects {
				if c.Root == root {
					visit(e, c)
				}
			}
		}
	}
}

// deletedForGood reports whether some deletion of an object had seen every
// other change of it.
func (w *world) deletedForGood(root string, upTo branch.Revision) bool {
	var changes []*entry
	var deletions []branch.Dot
	w.each(root, upTo, func(e *entry, c changeset.ObjectChange) {
		changes = append(changes, e)
		if c.Delete {
			deletions = append(deletions, e.env.Dot)
		}
	})
	return slices.ContainsFunc(deletions, func(d branch.Dot) bool {
		seen, known := w.ledger.base(d)
		return known && !slices.ContainsFunc(changes, func(e *entry) bool { return e.env.Dot != d && !seen.Covers(e.env.Dot) })
	})
}
