package server

import (
	"errors"
	"maps"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

func TestQueriesCanCountValuesInAViewAndNotInATransaction(t *testing.T) {
	n := newNode(t)
	doc, err := pjson.Parse([]byte(`[{"id":"a","p":[1,[1]]},{"id":"b","p":1,"q":{"p":1}},{"id":"c","p":"x"}]`), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.store.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) }); err != nil {
		t.Fatal(err)
	}
	count := func(s source) map[statement.Term]int {
		got := map[statement.Term]int{}
		_, err := s.CountValues("p", func(term statement.Term, cut bool, subjects int) bool {
			if !term.IsRef() && !cut {
				got[term] = subjects
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
		return got
	}
	err = n.store.View(t.Context(), func(rd *store.Reader) error {
		want := map[statement.Term]int{{Text: "1", Type: statement.XSDInteger}: 3, statement.Literal("x"): 1}
		if got := count(*newSource(rd, "")); !maps.Equal(got, want) {
			t.Errorf("the values are counted as %v, want %v", got, want)
		}
		calls := 0
		ok, err := newSource(rd, "").CountValues("p", func(statement.Term, bool, int) bool { calls++; return false })
		if !ok || err != nil || calls != 1 || !rd.ExactCounts() {
			t.Errorf("a visit that is enough is followed by others: %d, %v, %v", calls, ok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("nothing is to be written")
	_, err = n.store.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error {
		s := newSource(tx.Reader, "")
		if ok, err := s.CountValues("p", nil); ok || err != nil || s.reader.ExactCounts() {
			t.Errorf("a transaction counts what it has not written yet: %v, %v", ok, err)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
}
