package jsonql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// drawQuery draws a query with conditions that several indexes may answer.
func drawQuery(t *rapid.T) string {
	conditions := []string{"any"}
	for range rapid.IntRange(0, 3).Draw(t, "conditions") {
		conditions = append(conditions, drawCondition(t).text)
	}
	name := rapid.SampledFrom(modelProperties).Draw(t, "of")
	op := rapid.SampledFrom([]string{"<", "<=", ">", ">="}).Draw(t, "op")
	conditions = append(conditions, rapid.SampledFrom([]string{
		name + " " + op + " 2", name + " " + op + " 'x'", "upper(" + name + ") = 'X'", "1 / " + name + " = 1", "any",
	}).Draw(t, "range"))
	construct := rapid.SampledFrom([]string{"{id, maybe p", "{*", "[p, maybe q", "(id", "{'n': count(p)", "{r, 'n': count(*)"}).Draw(t, "construct")
	query := construct + " where " + strings.Join(conditions, " and ")
	if strings.HasPrefix(construct, "{r,") {
		return query + " group by r}"
	}
	if !strings.Contains(construct, "count") {
		query += rapid.SampledFrom([]string{"", " order by p", " order by q desc, p", " order by r limit 2 offset 1", " limit 2", " limit 0"}).Draw(t, "order")
	}
	return query + map[byte]string{'{': "}", '[': "]", '(': ")"}[construct[0]]
}

func TestEveryWayToFindTheRowsGivesTheSameRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawModel(t).source(t)
		text := drawQuery(t)
		q, err := jsonql.Parse(text)
		if err != nil {
			t.Skip(err)
		}
		want, wantErr := q.Run(context.Background(), scanning{jsonqltest.Indexed{Source: src, Guess: func() int { return 100 }}}, nil, jsonql.Limits{})
		guess := jsonqltest.Indexed{Source: src, Guess: func() int { return rapid.IntRange(0, 5000).Draw(t, "guess") }}
		got, gotErr := q.Run(context.Background(), guess, nil, jsonql.Limits{})
		if wantErr != nil {
			t.Skip("a fault that an index may keep the query from coming to")
		}
		if gotErr != nil {
			t.Fatalf("%s: by index %v", text, gotErr)
		}
		if rowsText(got.Rows) != rowsText(want.Rows) {
			plan, _ := json.Marshal(got.Plan)
			t.Fatalf("%s by %s gives\n%s\nwant\n%s", text, plan, rowsText(got.Rows), rowsText(want.Rows))
		}
	})
}

// scanning is a source that is cheapest to read as a whole.
type scanning struct{ jsonqltest.Indexed }

func (scanning) CountObjects() (int, error) { return 0, nil }

// statementsOf returns all statements of a document.
func statementsOf(doc pjson.Document) (list []statement.Statement) {
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return list
}

func rowsText(rows []any) string {
	out := ""
	for _, row := range rows {
		out += string(pjson.AppendJSON(nil, row)) + "\n"
	}
	return out
}

func manySource(t testing.TB, n int) jsonqltest.Indexed {
	t.Helper()
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"id":"o%04d","n":%d,"even":%t,"rare":%d}`, i, i, i%2 == 0, i/10))
	}
	doc, err := pjson.Parse([]byte("["+strings.Join(out, ",")+"]"), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return jsonqltest.Indexed{Source: jsonqltest.New(statementsOf(doc))}
}

func parsed(t testing.TB, text string) *jsonql.Query {
	t.Helper()
	q, err := jsonql.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestThePlanUsesWhatLeadsToTheFewestObjects(t *testing.T) {
	src := manySource(t, 200)
	for text, want := range map[string]string{
		`{id where even = true and rare = 3}`: "construct - 10 filter even = true and rare = 3} 5 value index rare = \"3\" 10 (10)",
		`{id where n >= 190}`:                 "construct - 10 filter n >= 190} 10 property index, filtered n >= 190} 10 (50)",
		`{id where id = 'o0007'}`:             "construct - 1 filter id = 'o0007'} 1 id id = 'o0007'} 1 (1)",
		`{id}`:                                "construct - 200 filter - 200 all objects - 200 (200)",
	} {
		got, err := parsed(t, text).Run(t.Context(), src, nil, jsonql.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		kept := got.Plan.Inputs[0]
		found := kept.Inputs[0]
		if found.Op != strings.Split(want, " ")[0] && !strings.Contains(want, found.Op+" ") {
			t.Errorf("%s is found by %s %s, want %s", text, found.Op, found.Detail, want)
		}
		if tail := fmt.Sprintf(" %d (%d)", found.Actual, *found.Estimated); !strings.HasSuffix(want, tail) {
			t.Errorf("%s has looked at%s, want %s", text, tail, want)
		}
	}
}

func TestRowsAreMadeWhenTheyAreAskedFor(t *testing.T) {
	a, err := parsed(t, `{id, n where even}`).Start(t.Context(), manySource(t, 200), nil, jsonql.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range a.Rows() {
		if n++; err != nil || n == 3 {
			break
		}
	}
	if found := a.Plan().Inputs[0].Inputs[0]; found.Actual != 3 {
		t.Errorf("for 3 rows it has looked at %d objects", found.Actual)
	}
}

func TestEachLimitEndsTheQueryWithItsName(t *testing.T) {
	src := manySource(t, 500)
	for _, test := range []struct {
		query  string
		limits jsonql.Limits
		want   string
	}{
		{`{id}`, jsonql.Limits{MaxRows: 10}, "more than 10 rows"},
		{`{id}`, jsonql.Limits{MaxSteps: 100}, "look at more than 100 objects"},
		{`{id where n < 0}`, jsonql.Limits{MaxSteps: 100}, "look at more than 100 objects"},
		{`{id order by n}`, jsonql.Limits{MaxBytes: 1000}, "hold more than 1000 bytes"},
		{`{even, 'n': sum(n) group by even}`, jsonql.Limits{MaxBytes: 1000}, "hold more than 1000 bytes"},
		{`{id order by n}`, jsonql.Limits{MaxObjects: 100}, "more than 100 objects at once"},
	} {
		_, err := parsed(t, test.query).Run(t.Context(), src, nil, test.limits)
		var fault *jsonql.EvaluationError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.query, err, test.want)
		}
	}
}

func TestASmallPartOfALargeOrderIsHeldInLittle(t *testing.T) {
	src := manySource(t, 1000)
	got, err := parsed(t, `(id order by n desc limit 2 offset 1)`).Run(t.Context(), src, nil, jsonql.Limits{MaxObjects: 100, MaxBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	if text := rowsText(got.Rows); text != "\"@o0998\"\n\"@o0997\"\n" {
		t.Errorf("rows are %s", text)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := parsed(t, `{id}`).Start(ctx, manySource(t, 1000), nil, jsonql.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err = range a.Rows() {
		if n++; n == 5 {
			cancel()
		}
	}
	if !errors.Is(err, context.Canceled) || n > 100 {
		t.Errorf("after %d rows: %v", n, err)
	}
}
