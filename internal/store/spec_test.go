package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// whole writes all objects of a store with their contexts.
func whole(t *testing.T, s *Store) string {
	t.Helper()
	w, err := pjson.NewWriter(pjson.Format{OmitEmbeddedIDs: true, BareIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []any
	read(t, s, func(r *Reader) error {
		for o, err := range r.Objects("") {
			if err != nil {
				return err
			}
			all = append(all, w.Object(o.ID, o.Statements))
		}
		return nil
	})
	return strings.Trim(string(pjson.AppendJSON(nil, all)), "[]")
}

// deleted deletes the objects that a document refers to, as remove does.
func deleted(tx *Tx, objects []pjson.Object) error { return drop(tx, objects) }

func TestEachOperationLeavesWhatTheSpecificationSays(t *testing.T) {
	add, update, replace, rem := (*Tx).Add, (*Tx).Update, (*Tx).Replace, (*Tx).Remove
	for name, steps := range map[string][]step{
		"items are added to a list at their places": {
			{add, `{"id":"x","l":["s","r"]}`, `{"id":"x","l":["s","r"]}`},
			{add, `{"id":"x","l":["t"]}`, `{"id":"x","l":["s","t","r"]}`},
			{add, `{"id":"x","l":"a"}`, `{"id":"x","l":["s","t","r","a"]}`},
		},
		"two additions of scalars read in order of their texts": {
			{add, `{"id":"x","v":"b"}`, `{"id":"x","v":"b"}`},
			{add, `{"id":"x","v":"a"}`, `{"id":"x","v":["a","b"]}`},
		},
		"an object without properties is none": {
			{add, `[{"id":"x"},{"id":"y","to":"@x"}]`, `{"id":"y","to":"@x"}`},
		},
		"what is missing is created by update and by replace": {
			{update, `{"id":"x","v":1}`, `{"id":"x","v":1}`},
			{replace, `{"id":"y","v":[2]}`, `{"id":"x","v":1},{"id":"y","v":[2]}`},
		},
		"update and replace put lists in the order given": {
			{add, `{"id":"x","l":[1,2,3]}`, `{"id":"x","l":[1,2,3]}`},
			{update, `{"id":"x","l":[3,1]}`, `{"id":"x","l":[3,1]}`},
			{replace, `{"id":"x","l":[1,1,3]}`, `{"id":"x","l":[1,1,3]}`},
		},
		"what was embedded goes with what it was embedded in": {
			{add, `{"id":"x","o":{"k":1,"l":[{"m":2}]}}`, `{"id":"x","o":{"k":1,"l":[{"m":2}]}}`},
			{update, `{"id":"x","o":{"l":"none"}}`, `{"id":"x","o":{"k":1,"l":"none"}}`},
			{update, `{"id":"x","o":"@y"}`, `{"id":"x","o":"@y"}`},
		},
		"an object that goes takes no object with it that has an id": {
			{add, `{"id":"x","o":{"id":"y","k":1},"p":{"k":2}}`, `{"id":"x","o":"@y","p":{"k":2}},{"id":"y","k":1}`},
			{replace, `{"id":"x"}`, `{"id":"y","k":1}`},
		},
		"a reference stays when its object goes": {
			{add, `[{"id":"x","to":"@y"},{"id":"y","k":[[1]]}]`, `{"id":"x","to":"@y"},{"id":"y","k":[[1]]}`},
			{deleted, `{"id":"y"}`, `{"id":"x","to":"@y"}`},
		},
		"items are removed wherever they stand, of each kind": {
			{add, `{"id":"x","l":["a",1,null,1.0,true,"@r","a",1]}`, `{"id":"x","l":["a",1,null,1.0,true,"@r","a",1]}`},
			{rem, `{"id":"x","l":["a",null]}`, `{"id":"x","l":[1,1.0,true,"@r",1]}`},
			{rem, `{"id":"x","l":[1,"@r"]}`, `{"id":"x","l":[1.0,true]}`},
			{rem, `{"id":"x","l":null}`, ``},
		},
		"a scope is part of what is said": {
			{add, `[{"id":"x","v":1},{"id":"y","context":"c","v":1}]`, `{"id":"x","v":1},{"id":"y","context":"c","v":1}`},
			{add, `{"id":"x","v":{"datatype":"json","value":1,"context":"c"}}`, `{"id":"x","v":[1,{"datatype":"json","value":1,"context":"c"}]}, {"id":"y","context":"c","v":1}`},
			{rem, `{"id":"x","v":1}`, `{"id":"x","context":"c","v":1},{"id":"y","context":"c","v":1}`},
			{rem, `[{"id":"x","v":2},{"id":"y","v":1}]`, `{"id":"x","context":"c","v":1},{"id":"y","context":"c","v":1}`},
		},
		"a scope of the history's kind is one like others": {
			{add, `{"id":"x","context":"context:u","v":[1,2]}`, `{"id":"x","context":"context:u","v":[1,2]}`},
			{rem, `{"id":"x","context":"context:u","v":[1]}`, `{"id":"x","context":"context:u","v":[2]}`},
		},
		"an update is in the context that it names": {
			{add, `{"id":"x","context":"c","v":1,"w":1}`, `{"id":"x","context":"c","v":1,"w":1}`},
			{update, `{"id":"x","context":"d","v":2}`, `{"id":"x","context":"c","v":{"datatype":"json","value":2,"context":"d"},"w":1}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), "0A")
			for _, st := range steps {
				do(t, s, st.op, st.text)
				if got, want := whole(t, s), strings.ReplaceAll(st.reads, ", {", ",{"); got != want {
					t.Errorf("after %s\nreads %s\nwant  %s", st.text, got, want)
				}
			}
			wantSound(t, s)
		})
	}
}

func TestAnUpdateRecordsTheDifferenceOnly(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","same":"s","v":"a","l":["a","b"],"o":{"k":1,"m":1}}`)
	for text, want := range map[string]string{
		`{"id":"x","same":"s","v":"b"}`: "+[b] -[a]",
		`{"id":"x","o":{"k":2}}`:        "+[2] -[1]",
		`{"id":"x","l":["a","c"]}`:      "+[c] -[b]",
	} {
		var got string
		_, err := s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
			if err := tx.Update(doc(t, text).Objects); err != nil {
				return err
			}
			added, removed, err := tx.Changes()
			got = fmt.Sprintf("+%v -%v", texts(added), texts(removed))
			return err
		})
		if err != nil || got != want {
			t.Errorf("%s changes %s, %v; want %s", text, got, err, want)
		}
	}
}

func texts(list []statement.Statement) (out []string) {
	for _, s := range list {
		out = append(out, s.Text)
	}
	return out
}

func TestReplaceKeepsTheIDsOfEmbeddedObjects(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","o":{"k":1,"m":1}}`)
	before := strings.Split(show(t, s, "x"), "\n")
	do(t, s, (*Tx).Replace, `{"id":"x","o":{"k":1}}`)
	after := strings.Split(show(t, s, "x"), "\n")
	if want := slices.DeleteFunc(before, func(line string) bool { return strings.Contains(line, " m ") }); !slices.Equal(after, want) {
		t.Errorf("is %q, want %q", after, want)
	}
}

func TestCreateRefusesAnyIDThatExists(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	for _, text := range []string{`{"id":"x","v":1}`, `[{"id":"n","v":1},{"id":"x","w":2}]`, `{"id":"n","o":{"id":"x","w":2}}`} {
		_, err := try(t, s, (*Tx).Create, text)
		if e, ok := errors.AsType[*ExistsError](err); !ok || e.ID != "x" {
			t.Errorf("%s: %v", text, err)
		}
	}
	do(t, s, (*Tx).Create, `{"id":"n","to":"@x","o":{"id":"m","w":2}}`)
	if got, want := whole(t, s), `{"id":"m","w":2},{"id":"n","o":"@m","to":"@x"},{"id":"x","v":1}`; got != want {
		t.Errorf("reads %s, want %s", got, want)
	}
}

func TestMergingIsNoWrite(t *testing.T) {
	x, y := concurrently(t, `[{"id":"x","v":"a"},{"id":"y","v":"a"}]`,
		step{op: (*Tx).Update, text: `[{"id":"x","v":"b"},{"id":"y","v":"b"}]`}, step{op: (*Tx).Update, text: `{"id":"x","v":"c"}`})
	for _, s := range []*Store{x, y} {
		if n := len(feed(t, s)); n != 3 || s.Revision().String() != "0A00002,0B00001" {
			t.Errorf("after 3 writes there are %d changesets, and the store is at %s", n, s.Revision())
		}
		if got, want := whole(t, s), `{"id":"x","v":"c"},{"id":"y","v":"b"}`; got != want {
			t.Errorf("reads %s, want %s", got, want)
		}
	}
}
