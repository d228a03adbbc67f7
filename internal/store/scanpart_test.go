package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// partOfWhole says what a part is by the whole object.
func partOfWhole(o Object, predicates []string) Part {
	p := Part{ID: o.ID}
	for _, s := range o.Statements {
		if s.Subject != o.ID && !slices.Contains(p.Embedded, s.Subject) {
			p.Embedded = append(p.Embedded, s.Subject)
		}
		if slices.Contains(predicates, s.Predicate) {
			p.Statements = append(p.Statements, s)
		}
	}
	slices.Sort(p.Embedded)
	statement.Sort(p.Statements)
	return p
}

// samePlain compares what is read of plain records in the short way with what
// the whole record says.
func samePlain(t *rapid.T, r *Reader) {
	for root, data := range pairsOf(r.tx.Bucket(bucketObjects)) {
		rec, err := decodeRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		want, exists := rec.object(string(root), string(root), r.policy)
		got, known := plainObject(string(root), data)
		if known && (!exists || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want)) {
			t.Fatalf("%s is read as\n%#v\nand is\n%#v, %v", root, got, want, exists)
		}
	}
}

// sameCounts compares the counts of an index with what the objects have.
func sameCounts(t *rapid.T, r *Reader) {
	if !r.ExactCounts() {
		t.Fatal("the counts of a view are exact")
	}
	type entry struct{ predicate, subject, typ, text string }
	want, seen := map[string]map[statement.Term]int{}, map[entry]bool{}
	objects := 0
	for o, err := range r.Objects("") {
		if err != nil {
			t.Fatal(err)
		}
		objects++
		for _, s := range o.Statements {
			e := entry{s.Predicate, s.Subject, s.Type, s.Text}
			if seen[e] {
				continue
			}
			seen[e] = true
			if want[s.Predicate] == nil {
				want[s.Predicate] = map[statement.Term]int{}
			}
			if !statement.IsList(s.Subject) {
				want[s.Predicate][statement.Term{Text: keyText(s.Text), Type: s.Type}]++
			}
		}
	}
	if n, err := r.CountObjects(); n != objects || err != nil {
		t.Fatalf("%d objects are counted (%v), want %d", n, err, objects)
	}
	for predicate, terms := range want {
		maps.DeleteFunc(terms, func(_ statement.Term, n int) bool { return n == 0 })
		got := map[statement.Term]int{}
		for c, err := range r.CountValues(predicate) {
			if err != nil || got[c.Term] > 0 || c.Cut != (len(c.Term.Text) > maxKeyText) {
				t.Fatalf("%s: %+v, %v", predicate, c, err)
			}
			got[c.Term] = c.N
		}
		if !maps.Equal(got, terms) {
			t.Fatalf("the values of %s are counted as %v, want %v", predicate, got, terms)
		}
	}
	for c, err := range r.CountValues("nowhere") {
		t.Fatalf("nothing is counted as %+v, %v", c, err)
	}
}

func sameParts(t *rapid.T, r *Reader) {
	for _, predicates := range [][]string{nil, {"p"}, {"p", "q"}, {"q", "k", "r"}, {statement.ListItem}, {"nowhere"}} {
		var want, got []Part
		for o, err := range r.Objects("") {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, partOfWhole(o, predicates))
		}
		for p, err := range r.Parts(predicates) {
			if err != nil {
				t.Fatal(err)
			}
			one, exists, err := r.Part(p.ID, predicates)
			sameFacts(t, r, p, predicates)
			if p.Flat && slices.ContainsFunc(p.Statements, func(s statement.Statement) bool { return s.Scope != "" }) {
				t.Fatalf("%q of %s has scopes:\n%+v", predicates, p.ID, p)
			}
			p.Flat, one.Flat = false, false // which the overlay of a transaction does not tell
			got = append(got, p)
			if err != nil || !exists || fmt.Sprintf("%+v", one) != fmt.Sprintf("%+v", p) {
				t.Fatalf("%q of %s by itself is\n%+v, %v, %v\nwant\n%+v", predicates, p.ID, one, exists, err, p)
			}
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("%q of all objects is\n%+v\nwant\n%+v", predicates, got, want)
		}
	}
	if _, exists, err := r.Part("never written", []string{"p"}); exists || err != nil {
		t.Fatalf("a part of what does not exist: %v, %v", exists, err)
	}
}

// sameFacts compares what is read into memory that was used before with a part, and
// with the whole object.
func sameFacts(t *rapid.T, r *Reader, p Part, predicates []string) {
	used := make([]statement.Statement, 40)
	for i := range used {
		used[i] = statement.Statement{Subject: "used", Positions: []int{7}}
	}
	if predicates != nil {
		got, exists, err := r.Facts(used, p.ID, predicates)
		got.Flat = p.Flat
		if err != nil || !exists || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", p) {
			t.Fatalf("%q of %s, in used memory, is\n%+v, %v, %v\nwant\n%+v", predicates, p.ID, got, exists, err, p)
		}
		return
	}
	o, _, err := r.Object(p.ID)
	got, exists, errFacts := r.Facts(used, p.ID, nil)
	got.Flat = got.Flat && slices.ContainsFunc(o.Statements, func(s statement.Statement) bool { return s.Scope != "" })
	want := Part{ID: p.ID, Embedded: p.Embedded, Statements: o.Statements}
	if err != nil || errFacts != nil || !exists || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Fatalf("%s, in used memory, is\n%+v, %v, %v\nwant\n%+v", p.ID, got, exists, errFacts, want)
	}
	if _, exists, err := r.Facts(used, "never written", nil); exists || err != nil {
		t.Fatalf("what does not exist is read into used memory: %v, %v", exists, err)
	}
}

// writeForParts writes what randomWrite writes, and texts longer than an index
// keeps, in scopes.
func writeForParts(t *rapid.T, s *Store) {
	randomWrite(t, s)
	text := strings.Repeat("é", rapid.IntRange(0, 200).Draw(t, "length"))
	objects := parsedFor(t, fmt.Sprintf(`{"id":%q,"r":[%q,1,%q]}`,
		rapid.SampledFrom([]string{"a", "c"}).Draw(t, "object"), text, text))
	scope := rapid.SampledFrom([]string{"", "de", "urn:scope"}).Draw(t, "scope")
	for i := range objects[0].Statements {
		objects[0].Statements[i].Scope = scope
	}
	_, err := s.Update(context.Background(), WriteOptions{}, func(tx *Tx) error { return tx.Add(objects) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestPartsAreWhatWholeObjectsHave compares them on two stores that write side
// by side, under each policy, and in a transaction that has written more.
func TestPartsAreWhatWholeObjectsHave(t *testing.T) {
	for _, policy := range ConflictPolicies() {
		t.Run(string(policy), func(t *testing.T) {
			checks := 0
			rapid.Check(t, func(rt *rapid.T) {
				if checks++; checks > 30 {
					return
				}
				var stores []*Store
				for _, id := range []branch.ID{"0A", "0B"} {
					s, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: id, Logger: quiet(), NoSync: true, ConflictPolicy: policy})
					if err != nil {
						rt.Fatal(err)
					}
					defer s.Close()
					stores = append(stores, s)
					for range rapid.IntRange(1, 6).Draw(rt, "writes") {
						writeForParts(rt, s)
					}
				}
				apply(t, stores[0], feed(t, stores[1])...)
				_, err := stores[0].Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
					sameParts(rt, tx.Reader)
					if tx.ExactCounts() {
						rt.Fatal("the counts of a transaction are taken for exact")
					}
					err := tx.Replace(doc(t, `{"id":"b","p":{"k":[1,[2]]},"q":null}`).Objects)
					sameParts(rt, tx.Reader)
					return err
				})
				if err != nil {
					rt.Fatal(err)
				}
				read(t, stores[0], func(r *Reader) error {
					samePlain(rt, r)
					sameCounts(rt, r)
					sameParts(rt, r)
					return nil
				})
			})
		})
	}
}

func TestPartOfADamagedRecordIsRefusedAsTheWholeIs(t *testing.T) {
	rec := &record{regs: []register{{predicate: "p", groups: nil}}}
	whole := rec.encode()
	for _, data := range [][]byte{{9}, whole[:len(whole)-1], append(slices.Clone(whole), 0), {recordVersion, 0, 0, 0, 0, 1, 1, 1, 0, 1, 'p', 1, 4, 1, 1, 'x', 2, 0, 0}} {
		if list, _, known := plainPart(nil, "o", data, []string{"p"}); known {
			t.Errorf("%x is read as %v", data, list)
		}
		if o, known := plainObject("o", data); known {
			t.Errorf("%x is read as %v", data, o)
		}
	}
}

func TestARecordThatIsCutOffOrChangedIsNeverTakenForAPlainOneOfOtherContent(t *testing.T) {
	value := func(text string) changeset.Value {
		return changeset.Value{Term: statement.Literal(text), Positions: []int{0, 3}}
	}
	stamp := changeset.Stamp{Clock: 5, Dot: branch.Dot{Branch: "0A", Seq: 1}}
	rec := &record{touches: []changeset.Stamp{stamp}, regs: []register{
		{predicate: "p", groups: []group{{stamp: stamp, assign: true, values: []changeset.Value{value("x"), value("y")}}}},
		{predicate: "q", groups: []group{{stamp: stamp, values: []changeset.Value{{Term: statement.Term{Text: "1", Type: "urn:t"}, Scope: "s"}}}}},
	}}
	data := rec.encode()
	if o, known := plainObject("o", data); !known || len(o.Statements) != 3 || len(o.Revision) != 1 || o.Last != stamp {
		t.Fatalf("the record is read as %+v, %t", o, known)
	}
	for i := range data {
		for flip := range 8 {
			changed := slices.Clone(data)
			changed[i] ^= 1 << flip
			o, known := plainObject("o", changed)
			whole, err := decodeRecord(changed)
			if known && err != nil {
				t.Fatalf("byte %d: %x is damaged and read as %+v", i, changed, o)
			}
			if !known {
				continue
			}
			if want, _ := whole.object("o", "o", PolicyLatest); fmt.Sprintf("%#v", o.Statements) != fmt.Sprintf("%#v", want.Statements) {
				t.Fatalf("byte %d: %x is read as %+v, want %+v", i, changed, o, want)
			}
		}
		if o, known := plainObject("o", data[:i]); known {
			t.Fatalf("the first %d bytes are read as %+v", i, o)
		}
	}
}

func parsedFor(t *rapid.T, text string) []pjson.Object {
	d, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Objects
}
