package bench

import (
	"os/exec"
	"slices"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// fillStore makes a store of orders in a directory.
func fillStore(t *testing.T, dir string, n int) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Branch: "0A", NoSync: true, Indexes: vesperOrdered})
	if err != nil {
		t.Fatal(err)
	}
	var list []byte
	err = orders(n, "@", func(_, body string) error {
		list = append(append(list, ','), body...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list[0] = '['
	doc, err := pjson.Parse(append(list, ']'), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEachQuestionGetsOneAnswerFromVesperAndSQLite(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not here")
	}
	const n = 600
	dir := t.TempDir()
	if err := writeData(dataFile(dir), n); err != nil {
		t.Fatal(err)
	}
	fillStore(t, dir, n)
	inside, err := openInProcess(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.store.Close() //nolint:errcheck // nothing is kept
	db, err := startSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.stop()
	if err := db.fill(dataFile(dir)); err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		for _, params := range q.calls(n)[:1] {
			own, err := inside.rows(q, params)
			if err != nil {
				t.Errorf("%s of Vesper: %v", q.key, err)
				continue
			}
			other, err := db.rows(q, params)
			if err != nil {
				t.Errorf("%s of SQLite: %v", q.key, err)
				continue
			}
			if a, b := canonical(own), canonical(other); !slices.Equal(a, b) || len(a) == 0 && q.key != "join" && q.key != "range" {
				t.Errorf("%s %v gives %q, and of SQLite %q", q.key, params, a, b)
			}
		}
	}
}

func TestRowsOfDifferentSystemsAreAlikeInOneForm(t *testing.T) {
	vesper := canonical([]any{[]any{"@o2", 5.0}, []any{"@o1", nil}, map[string]any{"id": "x", "n": 1e6}})
	others := canonical([]any{[]any{"o1", "null"}, []any{"o2", "5"}, `{"n": 1000000, "id": "x"}`})
	if !slices.Equal(vesper, others) {
		t.Errorf("%q is not %q", vesper, others)
	}
	if more := canonical([]any{[]any{"o1", "6"}}); slices.Equal(more, canonical([]any{[]any{"o1", "5"}})) {
		t.Error("different rows are alike")
	}
}

func TestPGRowsHaveAllColumns(t *testing.T) {
	got := columnsOf([]byte("\x00\x03\x00\x00\x00\x0242\xff\xff\xff\xff\x00\x00\x00\x00"))
	if want := []string{"42", "null", ""}; !slices.Equal(got, want) {
		t.Errorf("the columns are %q, want %q", got, want)
	}
}
