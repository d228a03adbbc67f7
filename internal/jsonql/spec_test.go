package jsonql_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// The tests in the files spec_*_test.go go through the specification of the
// language, feature by feature, by what a caller of the package sees.

// told is a query, and the rows that it answers.
type told struct {
	name, query, want string
	bind              jsonql.Bindings
}

// specSource holds pJSON. Objects without ids have running numbers; an id that
// comes twice has the values of both, which are no list then.
func specSource(t testing.TB, data string) *jsonqltest.Source {
	t.Helper()
	doc, err := pjson.Parse([]byte(data), pjson.Options{IDs: pjson.Counter(), AllowDuplicateIDs: true})
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	var list []statement.Statement
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.New(list)
}

// specRun answers a query as JSON.
func specRun(t testing.TB, src jsonql.Source, query string, b jsonql.Bindings) (string, *jsonql.Result, error) {
	t.Helper()
	q, err := jsonql.Parse(query)
	if err != nil {
		return "", nil, fmt.Errorf("parse: %w", err)
	}
	got, err := q.Run(t.Context(), src, b, jsonql.Limits{})
	if err != nil {
		return "", nil, fmt.Errorf("run: %w", err)
	}
	return string(pjson.AppendJSON(nil, got.Rows)), &got, nil
}

// tells proves that queries of the data answer what they should.
func tells(t *testing.T, data string, list []told) {
	t.Helper()
	src := specSource(t, data)
	for _, q := range list {
		t.Run(q.name, func(t *testing.T) {
			got, _, err := specRun(t, src, q.query, q.bind)
			if err != nil || got != q.want {
				t.Errorf("%s\n got %s, %v\nwant %s", q.query, got, err, q.want)
			}
		})
	}
}

// alike proves that all these queries mean the same, and that they say what is
// wanted.
func alike(t *testing.T, data, want string, queries ...string) {
	t.Helper()
	src := specSource(t, data)
	for _, query := range queries {
		if got, _, err := specRun(t, src, query, nil); err != nil || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", query, got, err, want)
		}
	}
}

// fault is a query that is refused, with the place and a part of the message.
type fault struct {
	query, place, message string
}

// refuses proves that queries are refused at their place.
func refuses(t *testing.T, data string, list []fault) {
	t.Helper()
	src := specSource(t, data)
	for _, f := range list {
		got, _, err := specRun(t, src, f.query, nil)
		if err == nil {
			t.Errorf("%s is answered with %s", f.query, got)
			continue
		}
		if at := placeOf(err); at != f.place || !strings.Contains(err.Error(), f.message) {
			t.Errorf("%s\n got %s: %v\nwant %s and %q", f.query, at, err, f.place, f.message)
		}
	}
}

// placeOf is the line and column that an error of a query has.
func placeOf(err error) string {
	if e, ok := errors.AsType[*jsonql.SyntaxError](err); ok {
		return fmt.Sprintf("%d:%d", e.Line, e.Col)
	}
	if e, ok := errors.AsType[*jsonql.EvaluationError](err); ok {
		return fmt.Sprintf("%d:%d", e.Line, e.Col)
	}
	return "no place"
}
