package store

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/statement/conformance"
)

// recorded is one operation of changesets.jsonl.
type recorded struct {
	Group, Op, Method, Error string
	Argument                 json.RawMessage
	QueryAfter               json.RawMessage `json:"query_after"`
	VersionBefore            string          `json:"version_before"`
	VersionAfter             string          `json:"version_after"`
}

// deviation is where this store differs from the recording, and why. The empty
// fields say that there is no difference in that respect.
type deviation struct {
	why string
	// answer is what a query gives here.
	answer string
	// succeeds: the original fails, here the operation works.
	succeeds bool
	// silent: the original makes a changeset that changes nothing.
	silent bool
}

const (
	original6 = "the original cannot change ordered lists of anything but strings and references while it keeps history"
	orphans   = "the original leaves the header of a removed list behind, as an object without properties"
	reorder   = "the original keeps the old order of a list on update"
	remnant   = "the original keeps the order record when a scalar replaces a list"
	nothing   = "the original records an addition of what is there already"
	headers   = "the original writes the headers of an unchanged list again"
)

var deviations = map[string]deviation{
	"basic/add same statement again":                     {why: nothing, silent: true},
	"lists/update list":                                  {why: original6, succeeds: true, answer: `[{"id":"@x","l":[3,4]}]`},
	"lists/update list to scalar":                        {why: original6, succeeds: true, answer: `[{"id":"@x","l":"only"}]`},
	"lists/add list with duplicates":                     {why: "follows", answer: `[{"id":"@x","l":"only"},{"id":"@y","l":["a","b","a"]}]`},
	"lists/remove list item":                             {why: "follows", answer: `[{"id":"@x","l":"only"},{"id":"@y","l":["b"]}]`},
	"lists/add nested list":                              {why: "follows", answer: `[{"id":"@x","l":"only"},{"id":"@y","l":["b"]},{"id":"@z","l":[[1,2],["a",[]]]}]`},
	"lists/add empty list":                               {why: "follows", answer: `[{"id":"@w","l":[]},{"id":"@x","l":"only"},{"id":"@y","l":["b"]},{"id":"@z","l":[[1,2],["a",[]]]}]`},
	"lists/remove object with list":                      {why: "follows", answer: `[{"id":"@w","l":[]},{"id":"@x","l":"only"},{"id":"@y","l":["b"]}]`},
	"string lists/update: reordered":                     {why: reorder, answer: `[{"id":"@x","l":["d","a","c"]}]`},
	"string lists/update: same list":                     {why: headers, silent: true},
	"string lists/update: to scalar":                     {why: remnant, answer: `[{"id":"@x","l":"only"}]`},
	"string lists/update: to empty list":                 {why: remnant, answer: `[{"id":"@x","l":[]}]`},
	"string lists/remove property by null":               {why: orphans, answer: `[]`},
	"string lists/list of refs":                          {why: orphans, answer: `[{"id":"@w","l":["@t1","@t2"]}]`},
	"string lists/update list of refs":                   {why: orphans, answer: `[{"id":"@w","l":["@t2","@t3"]}]`},
	"string lists/mixed list":                            {why: orphans, answer: `[{"id":"@v","l":["a","@b",null]},{"id":"@w","l":["@t2","@t3"]}]`},
	"string lists/remove null item from mixed list":      {why: original6, succeeds: true, answer: `[{"id":"@v","l":["a","@b"]},{"id":"@w","l":["@t2","@t3"]}]`},
	"number lists without history/update list to scalar": {why: remnant, answer: `[{"id":"@x","l":7}]`},
	"number lists without history/add list with nulls":   {why: remnant, answer: `[{"id":"@x","l":7},{"id":"@y","l":[null,1,null]}]`},
	"number lists without history/remove item":           {why: remnant, answer: `[{"id":"@x","l":7},{"id":"@y","l":[null,null]}]`},
	"number lists without history/replace list":          {why: remnant, answer: `[{"id":"@x","l":7},{"id":"@y","l":[5,6]}]`},
	"contexts/remove from user context":                  {why: "the original crashes when it removes from such a context", succeeds: true, answer: `[{"a2":"b","id":"@c"}]`},
}

// TestOperationsBehaveAsTheOriginalRecorded runs the recorded operations and
// compares what can be read afterwards, with the deviations listed above.
func TestOperationsBehaveAsTheOriginalRecorded(t *testing.T) {
	stores := map[string]*Store{}
	used := map[string]bool{}
	ran := 0
	for _, line := range conformance.Lines(t, "changesets.jsonl") {
		var c recorded
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if c.Method == "" || bytes.Equal(c.Argument, []byte("null")) {
			continue // merges and scripted transactions
		}
		if stores[c.Group] == nil {
			stores[c.Group] = open(t, t.TempDir(), "AA")
		}
		name := c.Group + "/" + c.Op
		d, deviates := deviations[name]
		used[name] = deviates
		ran++
		passed := t.Run(name, func(t *testing.T) { c.check(t, stores[c.Group], d) })
		conformance.Report(t, "store operations", name, passed && !deviates)
	}
	for name, d := range deviations {
		if !used[name] {
			t.Errorf("deviation %s (%s) is of no recorded operation", name, d.why)
		}
	}
	for _, s := range stores {
		wantSound(t, s)
	}
	t.Logf("ran %d recorded operations, %d deviate", ran, len(deviations))
}

func (c *recorded) check(t *testing.T, s *Store, d deviation) {
	commit, err := c.run(t, s)
	if fails := c.Error != "" && !d.succeeds; fails != (err != nil) {
		t.Errorf("error %v, want one: %v", err, fails)
	}
	changed := c.VersionBefore != c.VersionAfter && !d.silent || d.succeeds
	if !strings.Contains(c.Group, "without history") && changed == commit.Dot.IsZero() {
		t.Errorf("made changeset %s, want one: %v", commit.Dot, changed)
	}
	want := d.answer
	if want == "" {
		want = string(c.QueryAfter)
	}
	if got := answer(t, s); !sameRows(t, got, want) {
		t.Errorf("%s %s\nreads %s\nwant  %s", c.Method, c.Argument, got, want)
	}
}

func (c *recorded) run(t *testing.T, s *Store) (Commit, error) {
	ids := pjson.Counter()
	d, err := pjson.Parse(c.Argument, pjson.Options{IDs: ids, AllowReferences: c.Method == "remove"})
	if err != nil {
		t.Fatalf("parsing %s: %v", c.Argument, err)
	}
	return s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
		switch c.Method {
		case "add":
			return tx.Add(d.Objects)
		case "create":
			return tx.Create(d.Objects)
		case "update":
			return tx.Update(d.Objects)
		case "replace":
			return tx.Replace(d.Objects)
		}
		for _, id := range d.References {
			if _, err := tx.Delete(id); err != nil {
				return err
			}
		}
		return tx.Remove(d.Objects)
	})
}

// answer returns what the query {*} gives.
func answer(t *testing.T, s *Store) string {
	t.Helper()
	w, err := pjson.NewWriter(pjson.Format{OmitHiddenIDs: true, OmitScopes: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := []any{}
	read(t, s, func(r *Reader) error {
		for o, err := range r.Objects("") {
			if err != nil {
				return err
			}
			statement.Sort(o.Statements)
			rows = append(rows, w.Object(o.ID, o.Statements))
		}
		return nil
	})
	return string(pjson.AppendJSON(nil, rows))
}

// sameRows compares two answers, rows in any order.
func sameRows(t *testing.T, a, b string) bool {
	t.Helper()
	return slices.Equal(sortedRows(t, a), sortedRows(t, b))
}

func sortedRows(t *testing.T, text string) []string {
	t.Helper()
	var rows []any
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	out := make([]string, len(rows))
	for i, row := range rows {
		b, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = string(b)
	}
	slices.Sort(out)
	return out
}
