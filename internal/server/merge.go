package server

import (
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// merge does what a JSON merge patch (RFC 7396) says, with pJSON's values:
// named properties are set, nested objects are merged, null removes.
func merge(tx *store.Tx, objects []pjson.Object) error {
	var set []pjson.Object
	var nulls []null
	for _, o := range objects {
		kept, gone := split(o)
		nulls = append(nulls, gone...)
		if len(kept.Props) > 0 {
			set = append(set, kept)
		}
	}
	if err := tx.Update(set); err != nil {
		return err
	}
	for _, n := range nulls {
		if err := n.remove(tx); err != nil {
			return err
		}
	}
	return nil
}

// null is a property that a patch removes: of the object root, down the path
// of properties that lead to the embedded object which has it.
type null struct {
	root      string
	path      []string
	predicate string
}

// split takes the properties that are null out of an object.
func split(o pjson.Object) (pjson.Object, []null) {
	var nulls []null
	kept := o
	kept.Props, kept.Statements = nil, nil
	removed := map[pjson.Prop]bool{}
	for _, p := range o.Props {
		path, single := pathTo(o, p.Subject)
		if !p.Null || !single {
			kept.Props = append(kept.Props, p)
			continue
		}
		removed[pjson.Prop{Subject: p.Subject, Predicate: p.Predicate}] = true
		nulls = append(nulls, null{root: o.ID, path: path, predicate: p.Predicate})
	}
	for _, st := range o.Statements {
		if !removed[pjson.Prop{Subject: st.Subject, Predicate: st.Predicate}] {
			kept.Statements = append(kept.Statements, st)
		}
	}
	return kept, nulls
}

// pathTo returns the properties that lead from an object to one embedded in it.
// It reports false when a list lies between them: a list is set as a whole, so
// a null in it is a value.
func pathTo(o pjson.Object, subject string) ([]string, bool) {
	var path []string
	for range o.Statements { // each step goes one level up: no more than that
		if subject == o.ID {
			break
		}
		parent := slices.IndexFunc(o.Statements, func(st statement.Statement) bool {
			return st.IsRef() && st.Text == subject
		})
		if parent < 0 || len(o.Statements[parent].Positions) > 0 {
			return nil, false
		}
		path = append(path, o.Statements[parent].Predicate)
		subject = o.Statements[parent].Subject
	}
	slices.Reverse(path)
	return path, true
}

func (n null) remove(tx *store.Tx) error {
	object, found, err := tx.Object(n.root)
	if err != nil || !found {
		return err
	}
	subject, ok := n.find(object)
	if !ok {
		return nil // nothing there to remove
	}
	gone := statement.Statement{Subject: subject, Predicate: n.predicate, Term: statement.Null()}
	err = tx.Remove([]pjson.Object{{
		ID:         n.root,
		Statements: []statement.Statement{gone},
		Props:      []pjson.Prop{{Subject: subject, Predicate: n.predicate, Null: true}},
	}})
	if err != nil {
		return fmt.Errorf("removing property %s of %s: %w", n.predicate, n.root, err)
	}
	return nil
}

// find follows the path from the root to the embedded object of now.
func (n null) find(object store.Object) (string, bool) {
	subject := n.root
	for _, predicate := range n.path {
		at := slices.IndexFunc(object.Statements, func(st statement.Statement) bool {
			return st.Subject == subject && st.Predicate == predicate && st.IsRef() && statement.IsEmbedded(st.Text)
		})
		if at < 0 {
			return "", false
		}
		subject = object.Statements[at].Text
	}
	return subject, true
}
