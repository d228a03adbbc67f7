package docs

import (
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/eval"
	jsonqlreference "vesperdb.io/vesper/internal/jsonql/reference"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/pjson"
)

// plainly answers an example with the grammar of the page and the plainest engine.
func (e example) plainly(t *testing.T) ([]any, error) {
	t.Helper()
	src, err := e.source(t)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := syntax.Parse(strings.TrimSuffix(e.query.body, "\n"))
	if err != nil {
		return nil, err
	}
	q, err := resolve.Resolve(parsed)
	if err != nil {
		return nil, err
	}
	var bound jsonql.Bindings
	if e.bindvars != "" {
		if err := bound.UnmarshalJSON([]byte(e.bindvars)); err != nil {
			t.Fatal(err)
		}
	}
	limits := eval.Limits{MaxRows: 100, MaxValues: 1e4, MaxObjects: 1e4, MaxSteps: 1e5, MaxBytes: 1e7}
	return jsonqlreference.Run(t.Context(), q, src, bound, limits, e.query.name == "query forUpdate")
}

func TestThePlainestEngineAnswersEveryJSONQLExampleAlike(t *testing.T) {
	all, list := reference(t)
	for _, e := range list {
		shown := all[e.answers[0]]
		got, err := e.plainly(t)
		switch {
		case shown.kind == "text" && err == nil:
			t.Errorf("%s: is not refused", e.query.place())
		case shown.kind == "json" && err != nil:
			t.Errorf("%s: %v", e.query.place(), err)
		case shown.kind == "json":
			if err := matchJSON(shown.body, string(pjson.AppendJSON(nil, got))); err != nil {
				t.Errorf("%s: %v", shown.place(), err)
			}
		}
	}
}
