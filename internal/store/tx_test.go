package store

import (
	"errors"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
)

// step is one operation on object x and what can be read of it afterwards, as
// property=value in canonical order.
type step struct {
	op    func(*Tx, []pjson.Object) error
	text  string
	reads string
}

// brief writes an object on one line; ids of embedded objects and lists are left
// out, since they are random.
func brief(t *testing.T, s *Store, id string) string {
	t.Helper()
	w, err := pjson.NewWriter(pjson.Format{OmitHiddenIDs: true, OmitScopes: true, BareIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	read(t, s, func(r *Reader) error {
		o, exists, err := r.Object(id)
		if exists {
			out = string(pjson.AppendJSON(nil, w.Object(o.ID, o.Statements)))
		}
		return err
	})
	return out
}

func TestOperations(t *testing.T) {
	add, update, replace, rem := (*Tx).Add, (*Tx).Update, (*Tx).Replace, (*Tx).Remove
	for name, steps := range map[string][]step{
		"add never removes": {
			{add, `{"id":"x","v":1}`, `{"id":"x","v":1}`},
			{add, `{"id":"x","v":2}`, `{"id":"x","v":[1,2]}`},
			{add, `{"id":"x","w":"a"}`, `{"id":"x","v":[1,2],"w":"a"}`},
		},
		"update replaces the named properties only": {
			{add, `{"id":"x","v":[1,2],"w":"a"}`, `{"id":"x","v":[1,2],"w":"a"}`},
			{update, `{"id":"x","v":3}`, `{"id":"x","v":3,"w":"a"}`},
			{update, `{"id":"x","v":null}`, `{"id":"x","v":null,"w":"a"}`},
		},
		"update reorders lists": {
			{add, `{"id":"x","l":["a","b","a"]}`, `{"id":"x","l":["a","b","a"]}`},
			{update, `{"id":"x","l":["b","a"]}`, `{"id":"x","l":["b","a"]}`},
			{update, `{"id":"x","l":"only"}`, `{"id":"x","l":"only"}`},
			{update, `{"id":"x","l":[1,2.5,true,null]}`, `{"id":"x","l":[1,2.5,true,null]}`},
			{update, `{"id":"x","l":[]}`, `{"id":"x","l":[]}`},
			{update, `{"id":"x","l":["only"]}`, `{"id":"x","l":["only"]}`},
		},
		"replace leaves what is given": {
			{add, `{"id":"x","v":1,"w":1,"o":{"k":1,"m":2}}`, `{"id":"x","o":{"k":1,"m":2},"v":1,"w":1}`},
			{replace, `{"id":"x","w":1,"o":{"k":3}}`, `{"id":"x","o":{"k":3},"w":1}`},
			{replace, `{"id":"x"}`, ``},
		},
		"remove values, items and properties": {
			{add, `{"id":"x","v":[1,2,1,3],"w":"a","n":null}`, `{"id":"x","n":null,"v":[1,2,1,3],"w":"a"}`},
			{rem, `{"id":"x","v":1}`, `{"id":"x","n":null,"v":[2,3],"w":"a"}`},
			{rem, `{"id":"x","v":[9,3]}`, `{"id":"x","n":null,"v":[2],"w":"a"}`},
			{rem, `{"id":"x","v":null,"w":"b"}`, `{"id":"x","n":null,"w":"a"}`},
			{rem, `{"id":"x","n":null,"w":"a"}`, ``},
		},
		"update changes an embedded object and keeps its other properties": {
			{add, `{"id":"x","o":{"k":"v","deep":{"a":1,"b":2}}}`, `{"id":"x","o":{"deep":{"a":1,"b":2},"k":"v"}}`},
			{update, `{"id":"x","o":{"deep":{"b":3}}}`, `{"id":"x","o":{"deep":{"a":1,"b":3},"k":"v"}}`},
			{update, `{"id":"x","o":"gone"}`, `{"id":"x","o":"gone"}`},
			{update, `{"id":"x","o":{"new":1}}`, `{"id":"x","o":{"new":1}}`},
		},
		"embedded objects in lists pair up in order": {
			{add, `{"id":"x","o":[{"k":1,"n":"one"},{"k":2,"n":"two"}]}`, `{"id":"x","o":[{"k":1,"n":"one"},{"k":2,"n":"two"}]}`},
			{update, `{"id":"x","o":[{"k":3},{"k":4},{"k":5}]}`, `{"id":"x","o":[{"k":3,"n":"one"},{"k":4,"n":"two"},{"k":5}]}`},
			{replace, `{"id":"x","o":[{"k":6}]}`, `{"id":"x","o":[{"k":6}]}`},
		},
		"lists in lists are replaced whole": {
			{add, `{"id":"x","l":[[1,2],["a",[]]]}`, `{"id":"x","l":[[1,2],["a",[]]]}`},
			{update, `{"id":"x","l":[[2],["a",[]]]}`, `{"id":"x","l":[[2],["a",[]]]}`},
			{update, `{"id":"x","l":[["b"]]}`, `{"id":"x","l":[["b"]]}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), "0A")
			for _, st := range steps {
				do(t, s, st.op, st.text)
				if got := brief(t, s, "x"); got != st.reads {
					t.Errorf("after %s\nreads %s\nwant  %s", st.text, got, st.reads)
				}
			}
			wantSound(t, s)
		})
	}
}

func TestUpdateKeepsTheIDsOfEmbeddedObjects(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","o":{"k":1}}`)
	before := show(t, s, "x")
	do(t, s, (*Tx).Update, `{"id":"x","o":{"k":2}}`)
	if got, want := show(t, s, "x"), strings.Replace(before, "k 1/", "k 2/", 1); got != want {
		t.Errorf("was\n%sis\n%s", before, got)
	}
}

func TestEmbeddedObjectIsReadWrittenAndDeletedByItsID(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	id := "_:j:e:object:x:1"
	do(t, s, (*Tx).Add, `{"id":"x","v":1,"o":{"id":"`+id+`","k":1,"deep":{"a":1}}}`)
	do(t, s, (*Tx).Update, `{"id":"`+id+`","k":2}`)
	if got := brief(t, s, "x"); got != `{"id":"x","o":{"deep":{"a":1},"k":2},"v":1}` {
		t.Errorf("x is %s", got)
	}
	read(t, s, func(r *Reader) error {
		o, exists, err := r.Object(id)
		if !exists || len(o.Statements) != 3 {
			t.Errorf("by its id: %v, %v", exists, o.Statements)
		}
		return err
	})
	_, err := s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error { _, err := tx.Delete(id); return err })
	if err != nil {
		t.Fatal(err)
	}
	if got := brief(t, s, "x"); got != `{"id":"x","v":1}` {
		t.Errorf("x is %s", got)
	}
	wantSound(t, s)
}

func TestEmbeddedIDThatNothingRefersToIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	_, err := try(t, s, (*Tx).Update, `{"id":"_:j:e:object:x:9","k":2}`)
	if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), "not embedded") {
		t.Errorf("got %v", err)
	}
}

func TestCreateRefusesWhatExistsAndWritesNothing(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	_, err := try(t, s, (*Tx).Create, `[{"id":"new","v":1},{"id":"x","v":2}]`)
	if e, ok := errors.AsType[*ExistsError](err); !ok || e.ID != "x" || err.Error() != "id x already exists" {
		t.Errorf("got %v", err)
	}
	wantObject(t, s, "new", "")
}

// concurrently has two nodes that have the same state write without seeing each
// other, exchange what they wrote, and returns both.
func concurrently(t *testing.T, before string, a, b step) (*Store, *Store) {
	t.Helper()
	x, y := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, x, (*Tx).Add, before)
	apply(t, y, feed(t, x)...)
	do(t, x, a.op, a.text)
	do(t, y, b.op, b.text)
	apply(t, x, feed(t, y)...)
	apply(t, y, feed(t, x)...)
	wantSame(t, x, y)
	wantSound(t, x)
	return x, y
}

func drop(tx *Tx, objects []pjson.Object) error {
	_, err := tx.Delete(objects[0].ID)
	return err
}

func TestConcurrentWrites(t *testing.T) {
	add, update, rem := (*Tx).Add, (*Tx).Update, (*Tx).Remove
	for name, c := range map[string]struct {
		before    string
		a, b      step
		reads     string
		conflicts int64
	}{
		"additions both stay":                                  {`{"id":"x","v":"a"}`, step{op: add, text: `{"id":"x","v":"b"}`}, step{op: add, text: `{"id":"x","v":"c"}`}, `{"id":"x","v":["a","b","c"]}`, 0},
		"the later assignment is read, the other listed":       {`{"id":"x","v":"a"}`, step{op: update, text: `{"id":"x","v":"b"}`}, step{op: update, text: `{"id":"x","v":"c"}`}, `{"id":"x","v":"c"}`, 1},
		"equal assignments are no conflict":                    {`{"id":"x","v":"a"}`, step{op: update, text: `{"id":"x","v":"b"}`}, step{op: update, text: `{"id":"x","v":"b"}`}, `{"id":"x","v":"b"}`, 0},
		"different properties do not meet":                     {`{"id":"x","v":"a","w":"a"}`, step{op: update, text: `{"id":"x","v":"b"}`}, step{op: update, text: `{"id":"x","w":"b"}`}, `{"id":"x","v":"b","w":"b"}`, 0},
		"a later change brings the whole object back":          {`{"id":"x","v":"a","w":"a"}`, step{op: drop, text: `{"id":"x"}`}, step{op: update, text: `{"id":"x","w":"b"}`}, `{"id":"x","v":"a","w":"b"}`, 0},
		"a later deletion takes the change with it":            {`{"id":"x","v":"a","w":"a"}`, step{op: update, text: `{"id":"x","w":"b"}`}, step{op: drop, text: `{"id":"x"}`}, ``, 0},
		"a list is one value":                                  {`{"id":"x","l":["a","b"]}`, step{op: update, text: `{"id":"x","l":["b","a"]}`}, step{op: add, text: `{"id":"x","l":["c"]}`}, `{"id":"x","l":["a","c","b"]}`, 1},
		"a removal takes only what it saw":                     {`{"id":"x","v":"a"}`, step{op: add, text: `{"id":"x","v":"b"}`}, step{op: rem, text: `{"id":"x","v":null}`}, `{"id":"x","v":"b"}`, 0},
		"changes in an embedded object merge":                  {`{"id":"x","o":{"k":1,"m":1}}`, step{op: update, text: `{"id":"x","o":{"k":2}}`}, step{op: update, text: `{"id":"x","o":{"m":2}}`}, `{"id":"x","o":{"k":2,"m":2}}`, 0},
		"a change in an embedded object that goes is not seen": {`{"id":"x","o":{"k":1}}`, step{op: update, text: `{"id":"x","o":{"k":2}}`}, step{op: update, text: `{"id":"x","o":"s"}`}, `{"id":"x","o":"s"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x, y := concurrently(t, c.before, c.a, c.b)
			if got := brief(t, y, "x"); got != c.reads || got != brief(t, x, "x") {
				t.Errorf("reads %s, want %s", got, c.reads)
			}
			if n := x.Stats().Conflicts; n != c.conflicts {
				t.Errorf("%d conflicts, want %d", n, c.conflicts)
			}
		})
	}
}

func TestWritingTheVisibleValueAgainEndsAConflict(t *testing.T) {
	x, y := concurrently(t, `{"id":"x","v":"a"}`,
		step{op: (*Tx).Update, text: `{"id":"x","v":"b"}`}, step{op: (*Tx).Update, text: `{"id":"x","v":"c"}`})
	read(t, x, func(r *Reader) error {
		for o, err := range r.Conflicted("") {
			if err != nil {
				return err
			}
			c := o.Conflicts
			if len(c) != 1 || c[0].Predicate != "v" || len(c[0].Values) != 2 ||
				c[0].Values[0].Statements[0].Text != "c" || c[0].Values[1].Statements[0].Text != "b" {
				t.Errorf("conflicts %+v", c)
			}
		}
		return nil
	})
	if c := do(t, x, (*Tx).Update, `{"id":"x","v":"c"}`); c.Dot.IsZero() {
		t.Error("the write made no changeset")
	}
	apply(t, y, feed(t, x)...)
	wantSame(t, x, y)
	if n := y.Stats().Conflicts; n != 0 {
		t.Errorf("%d conflicts are left", n)
	}
	read(t, y, func(r *Reader) error {
		for o, err := range r.Conflicted("") {
			t.Errorf("%s is still listed (%v)", o.ID, err)
		}
		return nil
	})
}

func TestDeletedObjectThatIsCreatedAnewStartsEmpty(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1,"w":1}`)
	do(t, s, drop, `{"id":"x"}`)
	if n := s.Stats().Objects; n != 0 {
		t.Errorf("%d objects after the deletion", n)
	}
	do(t, s, (*Tx).Create, `{"id":"x","v":2}`)
	if got := brief(t, s, "x"); got != `{"id":"x","v":2}` {
		t.Errorf("x is %s", got)
	}
	wantSound(t, s)
}
