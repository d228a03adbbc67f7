package reference_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/reference"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

const library = `[
	{"id":"ann","name":"Ann","boss":"@bob","knows":["@bob","@cid"]},
	{"id":"bob","name":"Bob","boss":"@cid","age":40},
	{"id":"cid","name":"Cid","age":50,"boss":"@ann"},
	{"id":"b1","title":"One","author":"@ann","tags":["x","y"],"price":5},
	{"id":"b2","title":"Two","author":"@ann","tags":["y"],"price":7},
	{"id":"b3","title":"Three","author":"@bob","price":9,"seller":{"shop":"S","owner":"@cid"}},
	{"id":"b4","title":"Four","author":"@gone"},
	{"id":"x","tag":"x"},
	{"id":"s","subjects":["x","y"]}
]`

func sourceOf(t *testing.T, text string) *jsonqltest.Source {
	t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var list []statement.Statement
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.New(list)
}

func resolved(t *testing.T, query string) *resolve.Query {
	t.Helper()
	parsed, err := syntax.Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	q, err := resolve.Resolve(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQueriesOverSeveralRowSetsAnswerWhatTheyAsk(t *testing.T) {
	src := sourceOf(t, library)
	for _, tt := range []struct{ name, query, want string }{
		{"inner join", `{?b title, 'author': ?a.name where author = ?a and price > 5}`,
			`[{"title":"Two","author":"Ann"},{"title":"Three","author":"Bob"}]`},
		{"nested construct of a label", `{?a name, 'books': {title where author = ?a}}`,
			`[{"name":"Ann","books":[{"title":"One"},{"title":"Two"}]},{"name":"Bob","books":{"title":"Three"}}]`},
		{"nested order and limit", `{?a name, 'books': [{title where author = ?a order by price desc limit 1}] where name = 'Ann'}`,
			`[{"name":"Ann","books":[{"title":"Two"}]}]`},
		{"outer join", `{title, 'author': {name where id = ?a} where maybe author = ?a order by title}`,
			`[{"title":"Four","author":null},{"title":"One","author":{"name":"Ann"}},{"title":"Three","author":{"name":"Bob"}},{"title":"Two","author":{"name":"Ann"}}]`},
		{"independent nested construct", `{title, 'all': {age} where title = 'One'}`,
			`[{"title":"One","all":[{"age":40},{"age":50}]}]`},
		{"join on values", `{title where tags = ?s.subjects order by title}`, `[{"title":"One"},{"title":"Two"}]`},
		{"filter set as a value", `(title where author = {name = 'Bob'})`, `["Three"]`},
		{"semi-join", `(title where author in {age})`, `["Three"]`},
		{"anti-join", `(title where author not in {age} order by title)`, `["Four","One","Two"]`},
		{"anti-join with what is outside", `(?p.name where {?p name} and not {author = ?p})`, `["Cid"]`},
		{"or", `(id where age = 40 or title = 'One')`, `["@b1","@bob"]`},
		{"or is not satisfied by what is missing", `(id where age < 45 or price < 6)`, `["@b1","@bob"]`},
		{"not and", `(id where price and not (author = @ann and price = 5))`, `["@b2","@b3"]`},
		{"not or", `(id where price and not (price = 7 or price > 8))`, `["@b1"]`},
		{"path", `(title where author.age = 40)`, `["Three"]`},
		{"path that ends in id", `['boss', author.boss.id where title = 'Three']`, `[["boss","@cid"]]`},
		{"path in a construct", `{title, 'age': author.age where price = 9}`, `[{"title":"Three","age":40}]`},
		{"circle of follow", `(follow(id, boss) where id = 'ann')`, `[["@ann","@bob","@cid"]]`},
		{"follow without the first", `(follow(id, boss, true) where id = 'ann')`, `[["@bob","@cid"]]`},
		{"rfollow", `(rfollow(id, boss, true) where id = 'ann')`, `[["@cid","@bob"]]`},
		{"in follow", `(name where id in follow(@ann, boss) order by name desc)`, `["Cid","Bob","Ann"]`},
		{"group by a label", `{'author': ?a, 'n': count(*) where author = ?a group by ?a}`,
			`[{"author":"@ann","n":2},{"author":"@bob","n":1},{"author":"@gone","n":1}]`},
		{"aggregate of an expression", `{author, 'sum': sum(price * 2) group by author}`, `[{"author":"@ann","sum":24.0},{"author":"@bob","sum":18.0}]`},
		{"aggregates beside rows", `[title, sum(price)]`, `[["One",21.0],["Two",21.0],["Three",21.0]]`},
		{"order by another set", `(?b.title where {?b author = ?a} and {?a age} )`, `["Three"]`},
		{"after", `(title order by title after 'One')`, `["Three","Two"]`},
		{"self join", `{?x name, 'senior': ?y.name where {?x age} and {?y age} and ?x.age < ?y.age}`, `[{"name":"Bob","senior":"Cid"}]`},
		{"two conditions between two sets", `(?x.name where ?x.boss = ?y and ?x.knows = ?y)`, `["Ann"]`},
		{"exists without correlation", `(age where {title = 'One'})`, `[40,50]`},
		{"exists that finds nothing", `(age where {title = 'None'})`, `[]`},
		{"embedded object", `(shop where owner = {name = 'Cid'})`, `["S"]`},
		{"merged", `{id : name mergeall}`, `[{"@ann":"Ann","@bob":"Bob","@cid":"Cid"}]`},
		{"prefix of a namemap", `{<n:name> where <n:name> = 'Ann' namemap = {'sharedpatterns': {'n:': ''}}}`, `[{"n:name":"Ann"}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := answer(t, tt.query, src, nil, false, roomy)
			if text := string(pjson.AppendJSON(nil, got)); err != nil || text != tt.want {
				t.Errorf("%s\n got %s, %v\nwant %s", tt.query, text, err, tt.want)
			}
		})
	}
}

func TestWhatHasNoMeaningIsRefusedWithItsPlace(t *testing.T) {
	src := sourceOf(t, library)
	for query, message := range map[string]string{
		`(id where maybe upper(name) = 'X')`:     "line 1, column 11: maybe",
		`{id, name where maybe name = 'X'}`:      "maybe can not be used",
		`{?a id where maybe ?a = ?b}`:            "maybe can not be used",
		`(id where name = :none)`:                "bind variable",
		`(price / 0)`:                            "line 1, column 8: division by zero",
		`{id : 1, tags : 2}`:                     "and a property has one name",
		`{* where count(a) = 1}`:                 "line 1, column 10: count has no meaning here",
		`(sum(count(price)))`:                    "count has no meaning here",
		`{* group by a}`:                         "has no meaning for several",
		`(id where id in follow(@ann, ?x.boss))`: "follow follows a property",
	} {
		if _, err := answer(t, query, src, nil, false, roomy); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v, want %q", query, err, message)
		}
	}
}

func TestLimitsStopAQueryThatWouldCostTooMuch(t *testing.T) {
	src := sourceOf(t, library)
	for _, tt := range []struct {
		name, query, message string
		limits               eval.Limits
	}{
		{"rows", `{id}`, "more than 3 rows", eval.Limits{MaxRows: 3, MaxValues: 99, MaxObjects: 99, MaxSteps: 999}},
		{"values", `{*}`, "too large", eval.Limits{MaxRows: 99, MaxValues: 3, MaxObjects: 99, MaxSteps: 999}},
		{"solutions", `['n', ?a.id, ?b.id, ?c.id]`, "objects at once", eval.Limits{MaxRows: 99, MaxValues: 99, MaxObjects: 99, MaxSteps: 9999}},
		{"objects", `{id}`, "objects at once", eval.Limits{MaxRows: 99, MaxValues: 99, MaxObjects: 3, MaxSteps: 999}},
		{"bytes", `{id}`, "hold more than 500 bytes", eval.Limits{MaxRows: 99, MaxValues: 99, MaxObjects: 99, MaxSteps: 999, MaxBytes: 500}},
		{"steps", `['n', ?a.id, ?b.id, ?c.id, ?d.id]`, "look at more than 500", eval.Limits{MaxRows: 99, MaxValues: 99, MaxObjects: 9999, MaxSteps: 500}},
	} {
		if tt.limits.MaxBytes == 0 {
			tt.limits.MaxBytes = 1e8
		}
		q := resolved(t, tt.query)
		_, err := reference.Run(t.Context(), q, src, nil, tt.limits, false)
		var refused *eval.Error
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.message)
		}
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	q := resolved(t, `['n', ?a.id, ?b.id, ?c.id, ?d.id]`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reference.Run(ctx, q, sourceOf(t, library), nil, roomy, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a query whose context has ended gave %v", err)
	}
}
