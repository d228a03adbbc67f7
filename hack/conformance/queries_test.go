package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"vesperdb.io/vesper/hack/conformance/repr"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/statement/conformance"
	"vesperdb.io/vesper/internal/statement/original"
)

// query is one line of jsonql-cases.jsonl.
type query struct {
	Suite, Name string
	Query       *string
	ModelID     string          `json:"model_id"`
	Model       json.RawMessage // the data itself, where it has no id
	Bindvars    jsonql.Bindings `json:"bindvars"`
	ForUpdate   bool
	ExpectError bool            `json:"expect_error"`
	Want        json.RawMessage `json:"actual_serialized"`
	Order       string          `json:"order_serialized"`
	Tier        *int
	// Tree is the printed form of the query, where it has no text.
	Tree string `json:"ast_repr"`
}

func (q *query) group() string {
	switch {
	case q.Suite == "jsonqlDocTest":
		return "documentation"
	case q.Suite == "jsonqlTutorialTest":
		return "tutorial"
	case q.Tier == nil:
		return free
	default:
		return fmt.Sprintf("queries, tier %d", *q.Tier)
	}
}

// recordedModels returns the data of the recordings; those that a recorded
// history leads to, with it.
func recordedModels(t *testing.T) map[string]jsonql.Source {
	models := map[string][]statement.Statement{}
	var histories []map[statement.Fact]source.Transaction
	for _, text := range conformance.Lines(t, "jsonql-models.jsonl") {
		var m struct {
			Model      string
			Statements [][]any
		}
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		list, err := conformance.Statements(m.Statements)
		if err != nil {
			t.Fatal(err)
		}
		models[m.Model] = list
		histories = append(histories, replayed(list))
	}
	out := map[string]jsonql.Source{}
	for name, list := range models {
		src := jsonqltest.New(original.Fold(list))
		if out[name] = src; historyOf(list, histories) != nil {
			out[name] = withHistory{src, historyOf(list, histories)}
		}
	}
	return out
}

// data is what a query is asked of: a recorded model, or data of its own.
func (q *query) data(models map[string]jsonql.Source) (jsonql.Source, error) {
	if src := models[q.ModelID]; src != nil {
		return src, nil
	}
	d, err := pjson.Parse(q.Model, pjson.Options{IDs: pjson.Counter(), RefPattern: "(URIREF)"})
	if err != nil {
		return nil, fmt.Errorf("the recording's data: %w", err)
	}
	var list []statement.Statement
	for _, o := range d.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.New(list), nil
}

// parse reads the query: its text, or the printed tree where it has none.
func (q *query) parse() (*jsonql.Query, error) {
	if q.Query != nil {
		return jsonql.Parse(*q.Query)
	}
	tree, err := repr.Parse(q.Tree)
	if err != nil {
		return nil, err
	}
	return jsonql.FromSyntax(tree)
}

// holds says why the recording does not hold, or nil.
func (q *query) holds(t *testing.T, models map[string]jsonql.Source) error {
	if q.Query == nil && q.Tree == "" {
		return fmt.Errorf("the recording has no text")
	}
	src, err := q.data(models)
	if err != nil {
		return err
	}
	parsed, err := q.parse()
	if err == nil {
		parsed.ForUpdate = q.ForUpdate
		var got jsonql.Result
		got, err = parsed.Run(t.Context(), src, q.Bindvars, jsonql.Limits{})
		if err == nil && !q.ExpectError {
			return sameRows(got.Rows, q.Want, q.Order)
		}
	}
	if (err != nil) != q.ExpectError {
		return fmt.Errorf("it must be refused: %v, and: %w", q.ExpectError, err)
	}
	return nil
}

// sameRows compares as the recording says: as they come, rows in any order
// ("rows"), lists in rows too ("deep"), or only how many ("varies").
func sameRows(rows []any, recorded json.RawMessage, order string) error {
	text := pjson.AppendJSON(nil, rows)
	var got, want []any
	if err := json.Unmarshal(text, &got); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	if err := json.Unmarshal(recorded, &want); err != nil {
		return err
	}
	if order == "rows" || order == "deep" {
		sortLists(got, order == "deep")
		sortLists(want, order == "deep")
	}
	if reflect.DeepEqual(got, want) || order == "varies" && len(got) == len(want) {
		return nil
	}
	return fmt.Errorf("rows differ:\n got %s\nwant %s", text, recorded)
}

// sortLists sorts a list by the text of its items, with deep those in it first.
func sortLists(v any, deep bool) {
	switch v := v.(type) {
	case []any:
		for i := range v {
			if deep {
				sortLists(v[i], deep)
			}
		}
		slices.SortFunc(v, func(a, b any) int {
			x, _ := json.Marshal(a)
			y, _ := json.Marshal(b)
			return slices.Compare(x, y)
		})
	case map[string]any:
		for _, item := range v {
			sortLists(item, deep)
		}
	}
}

// TestRecordedQueries reports; what must hold, `make conformance` says. A query
// that runs must not break anything whatever comes of it.
func TestRecordedQueries(t *testing.T) {
	sources, held, all := recordedModels(t), 0, 0
	for _, text := range conformance.Lines(t, "jsonql-cases.jsonl") {
		var q query
		if err := json.Unmarshal(text, &q); err != nil {
			t.Fatal(err)
		}
		err := q.holds(t, sources)
		conformance.Report(t, q.group(), q.Suite+"/"+q.Name, err == nil)
		if all++; err == nil {
			held++
		} else if q.Query != nil || q.Tree != "" {
			t.Logf("%s/%s:\n%v", q.Suite, q.Name, err)
		}
	}
	if all != 255 || held < 220 {
		t.Errorf("%d of %d recorded queries hold", held, all)
	}
}
