package jsonql_test

import (
	"errors"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
)

func TestQueriesOverSeveralRowSetsAreAnswered(t *testing.T) {
	src := sourceOf(t, `[{"id":"ann","name":"Ann"},{"id":"p1","author":"@ann","title":"One"},{"id":"p2","author":"@ann","title":"Two"}]`)
	q, err := jsonql.Parse(`{?a name, 'posts': {title where author = ?a}, 'n': :n}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Run(t.Context(), src, jsonql.Bindings{"n": 1}, jsonql.Limits{})
	want := `[{"name":"Ann","posts":[{"title":"One"},{"title":"Two"}],"n":1}]`
	if text := string(pjson.AppendJSON(nil, got.Rows)); err != nil || text != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	if got.Plan == nil || got.Plan.Actual != 1 {
		t.Errorf("the plan is %+v, want one that gave 1 row", got.Plan)
	}
}

func TestJoinsKeepToTheLimits(t *testing.T) {
	src := sourceOf(t, `[{"id":"a","n":1},{"id":"b","n":2},{"id":"c","n":3}]`)
	q, err := jsonql.Parse(`['all', ?x.n, ?y.n, ?z.n]`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.Run(t.Context(), src, nil, jsonql.Limits{MaxSteps: 20})
	var refused *jsonql.EvaluationError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "more than 20 objects") {
		t.Errorf("a query beyond the limit of steps gave %v", err)
	}
}

func TestWhatNoEngineAnswersIsRefusedWithItsPlace(t *testing.T) {
	_, err := jsonql.Parse("{?a id\n where maybe ?a = ?b}")
	var fault *jsonql.SyntaxError
	if !errors.As(err, &fault) || fault.Line != 2 || fault.Col != 8 {
		t.Errorf("error %v, want one at line 2, column 8", err)
	}
}
