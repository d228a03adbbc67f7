package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// show writes down all that can be seen of an object.
func show(o store.Object) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s @%s last %d %s", o.ID, o.Revision, o.Last.Clock, o.Last.Dot)
	printStatements(&b, o.Statements)
	for _, c := range o.Conflicts {
		fmt.Fprintf(&b, "\n  conflict %s %s:", c.Subject, c.Predicate)
		for _, v := range c.Values {
			fmt.Fprintf(&b, "\n   %d %s:", v.Stamp.Clock, v.Stamp.Dot)
			printStatements(&b, v.Statements)
		}
	}
	return b.String()
}

func printStatements(b *strings.Builder, list []statement.Statement) {
	for _, s := range list {
		fmt.Fprintf(b, "\n  %s %s %s %s %v", s.Subject, s.Predicate, s.Text, s.Type, s.Positions)
	}
}

// printAll writes down all that can be read from a store, with the whole
// history when asked to.
func printAll(st *store.Store, history bool) (revision branch.Revision, text string, err error) {
	var b strings.Builder
	err = st.View(context.Background(), func(r *store.Reader) error {
		revision = r.Revision()
		for o, err := range r.Objects("") {
			if err != nil {
				return err
			}
			b.WriteString(show(o) + "\n")
		}
		for o, err := range r.Conflicted("") {
			if err != nil {
				return err
			}
			b.WriteString("conflicted " + o.ID + "\n")
		}
		for i := range 8 {
			if !history {
				return nil
			}
			entries, err := r.History(fmt.Sprintf("o%d", i))
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "history o%d %v\n", i, entries)
		}
		return nil
	})
	return revision, b.String(), err
}

// history is the book of what objects were at past revisions.
type history struct {
	records   []record
	converged time.Duration
}

// record is an object as it was read when its revision was current.
type record struct {
	at   branch.Revision
	id   string
	text string
}

// remember reads an object of a node and writes it down.
func (h *history) remember(n *node, rng *rand.Rand) error {
	r := record{id: fmt.Sprintf("o%d", rng.IntN(6))}
	err := n.now.store.View(context.Background(), func(v *store.Reader) error {
		o, exists, err := v.Object(r.id)
		r.at, r.text = v.Revision(), "nothing"
		if exists {
			r.text = show(o)
		}
		return err
	})
	if err != nil || len(r.at) == 0 {
		return err
	}
	h.records = append(h.records, r)
	return nil
}

// recall reads the past of a node again.
func (r record) recall(n *node) error {
	return n.now.store.View(context.Background(), func(v *store.Reader) error {
		if !v.Revision().CoversAll(r.at) {
			return nil
		}
		o, exists, err := v.ObjectAt(r.id, r.at)
		var compacted *store.CompactedError
		if errors.As(err, &compacted) && !r.at.CoversAll(compacted.Floor) && v.Revision().CoversAll(compacted.Floor) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s of %s at %s: %w", r.id, n.id, r.at, err)
		}
		text := "nothing"
		if exists {
			text = show(o)
		}
		if text != r.text {
			return fmt.Errorf("%s at %s was\n%s\nand %s reads\n%s", r.id, r.at, r.text, n.id, text)
		}
		return nil
	})
}

// states is the book of what stores said of themselves at each revision.
type states struct {
	digests map[string]string
	texts   map[string]string
}

// compare enters what something is at a revision, and fails when it was
// something else before.
func compare(book *map[string]string, at, what string) error {
	if *book == nil {
		*book = map[string]string{}
	}
	if have, known := (*book)[at]; known && have != what {
		return fmt.Errorf("at revision %s one store has\n%s\nand another\n%s", at, have, what)
	}
	(*book)[at] = what
	return nil
}
