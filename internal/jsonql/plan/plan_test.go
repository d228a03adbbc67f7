package plan_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/plan"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// shop has customers c0.. in cities, one in ten of n objects; the others are
// their orders o0.., with a number, a price and one of five products.
func shop(t testing.TB, n int) *jsonqltest.Source {
	t.Helper()
	var list []string
	for i := range n {
		if i%10 == 0 {
			list = append(list, fmt.Sprintf(`{"id":"c%04d","name":"Customer %d","city":"city %d","level":%d}`, i/10, i/10, i/10%20, i/10%3))
			continue
		}
		list = append(list, fmt.Sprintf(`{"id":"o%04d","customer":"@c%04d","price":%d,"number":%d,"product":"p%d"}`, i, i*7%(n/10), i*37%1000, i, i%5))
	}
	doc, err := pjson.Parse([]byte("["+strings.Join(list, ",")+"]"), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var statements []statement.Statement
	for _, o := range doc.Objects {
		statements = append(statements, o.Statements...)
	}
	return jsonqltest.New(statements)
}

func start(t testing.TB, text string, src source.Source, l eval.Limits) *plan.Answer {
	t.Helper()
	q := resolved(text)
	if q == nil {
		t.Fatalf("%s is no query", text)
	}
	a, err := plan.Prepare(q).Start(t.Context(), src, nil, l, false)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func all(t testing.TB, a *plan.Answer) (rows []any) {
	t.Helper()
	for row, err := range a.Rows() {
		v, errMade := row.Value()
		if err = cmp.Or(err, errMade); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, v)
	}
	return rows
}

func TestThePlanIsTheCheapestWayByWhatIndexesCount(t *testing.T) {
	src := jsonqltest.Indexed{Source: shop(t, 1000)}
	for query, want := range map[string]string{
		"{id where id = @o0001}":                                            "id [id = @o0001]",
		"{id where product = 'p1' and number = 7}":                          "value index [number = 7]",
		"{id where number > 990}":                                           "property index, filtered [number > 990]",
		"{id where number = 3 or city = 'city 2'}":                          "union of indexes",
		"{id where city in ('city 1', 'city 2')}":                           "union of indexes",
		"{id where id in (@c0001, @c0002)}":                                 "union of indexes [id in (@c0001, @c0002)]",
		"{id where id in follow(@o0001, customer)}":                         "id [id in follow(@o0001, \"customer\")]",
		"[product, count(*) group by product]":                              "group (property index only [product])",
		"[sum(price), min(price)]":                                          "aggregate (property index only [price])",
		"[count(*) where product = 'p1']":                                   "aggregate (value index only [product = \"p1\"])",
		"[product, count(*) where price > 1 group by product]":              "group (filter",
		"[id, ?c.name where customer = ?c and ?c.city = 'city 3']":          "order by id (index join [customer = ?c] (filter [?c.city = \"city 3\"] (value index [city = \"city 3\"]), value index only [customer = ?c]))",
		"[id, ?c.name where customer = ?c and number = 7]":                  "construct (index join [customer = ?c] (filter [number = 7] (value index [number = 7]), id [customer = ?c]))",
		"[id, ?o.number where lower(city) = lower(?o.product)]":             "hash join",
		"[?c.level, count(id) where customer = ?c group by ?c.level]":       "group (index join [customer = ?c] (filter (property index only [level]), value index only [customer = ?c]))",
		"[?c.level, count(customer) where customer = ?c group by ?c.level]": "group (hash join [customer = ?c] (filter (property index only [customer]), property index only [level]))",
		"[count(*) where price > 500]":                                      "property index only [price]",
		"[?c.level, sum(price) where customer = ?c group by ?c.level]":      "group (hash join [customer = ?c] (filter (property index [customer]), property index only [level]))",
	} {
		a := start(t, query, src, roomy)
		if got := stepsOf(a.Plan()); !strings.Contains(got, want) {
			t.Errorf("%s\nis answered by %s\nwant             %s", query, got, want)
		}
	}
}

func TestAFewObjectsAreJoinedByTheIndexHoweverManyHaveTheProperty(t *testing.T) {
	a := start(t, "[count(price) where customer = ?c and ?c.city = 'city 3']", jsonqltest.Indexed{Source: shop(t, 20000)}, roomy)
	if got, want := stepsOf(a.Plan()), "index join [customer = ?c] (filter [?c.city = \"city 3\"] (value index"; !strings.Contains(got, want) {
		t.Errorf("answered by %s\nwant        %s", got, want)
	}
}

func TestAnOrderedIndexAnswersRangesAndOrders(t *testing.T) {
	src := jsonqltest.Ordered{Indexed: jsonqltest.Indexed{Source: shop(t, 1000)}}
	for query, want := range map[string]string{
		"{id where number > 990}":                                   "ordered index [number > 990]",
		"{id where number > 990 and number <= 995}":                 "ordered index [(number > 990) and (number <= 995)]",
		"{id where number >= 7 and 9 > number and number > 7}":      "ordered index [((number >= 7) and (9 > number)) and (number > 7)]",
		"{id where number < 30 and price < 500 and number >= 21}":   "ordered index [(number < 30) and (number >= 21)]",
		"{id, price order by price desc limit 3}":                   "ordered index [price]",
		"{id, price order by price desc, id limit 3}":               "ordered index [price]",
		"{id, price order by price, number after (500, 3) limit 3}": "ordered index [price]",
		"{id, maybe price order by price limit 3}":                  "all objects", // what has none comes first
		"{id, price where number = 7 order by price limit 3}":       "value index [number = 7]",
	} {
		a := start(t, query, src, roomy)
		got := rowsText(all(t, a))
		if steps := stepsOf(a.Plan()); !strings.Contains(steps, want) {
			t.Errorf("%s\nis answered by %s\nwant             %s", query, steps, want)
		}
		if plain := rowsText(all(t, start(t, query, shop(t, 1000), roomy))); got != plain || got == "" {
			t.Errorf("%s gives\n%s\nwithout the index\n%s", query, got, plain)
		}
	}
	a := start(t, "{id, price order by price desc limit 3}", src, roomy)
	if all(t, a); a.Plan().Inputs[0].Inputs[0].Actual > 10 {
		t.Errorf("for 3 rows %d objects were looked at", a.Plan().Inputs[0].Inputs[0].Actual)
	}
}

func TestALimitEndsAJoinAsSoonAsItsRowsAreThere(t *testing.T) {
	a := start(t, "[id, ?c.name where customer = ?c and price limit 5]", jsonqltest.Indexed{Source: shop(t, 2000)}, roomy)
	if rows := all(t, a); len(rows) != 5 {
		t.Fatalf("%d rows", len(rows))
	}
	first := a.Plan()
	for len(first.Inputs) > 0 {
		first = first.Inputs[0]
	}
	if first.Actual > 20 {
		t.Errorf("%s has looked at %d objects for 5 rows", stepsOf(a.Plan()), first.Actual)
	}
}

func TestATableThatDoesNotFitIsDoneWithout(t *testing.T) {
	src := shop(t, 600)
	wrong := jsonqltest.Indexed{Source: src, Guess: func() int { return 1 }} // so that a table is thought to fit
	small := roomy
	small.MaxBytes = 60_000
	for _, query := range []string{
		"[count(number) where customer = ?c and ?c.level = 1]",
		"[count(number) where lower(product) = lower(?o.product) and ?o.number = 1]",
	} {
		got, want := rowsText(all(t, start(t, query, wrong, small))), rowsText(all(t, start(t, query, src, roomy)))
		if got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}

func TestEachLimitOfAJoinSaysWhatToDo(t *testing.T) {
	src := jsonqltest.Indexed{Source: shop(t, 400)}
	for _, tt := range []struct {
		query, message string
		change         func(*eval.Limits)
	}{
		{"[id, ?a.id, ?b.id where price and ?a.price and ?b.price]", "look at more than 5000 objects", func(l *eval.Limits) { l.MaxSteps = 5000 }},
		{"[?c.level, id where customer = ?c order by ?c.level]", "hold more than 3000 bytes", func(l *eval.Limits) { l.MaxBytes = 3000 }},
		{"{id, 'o': ?c where customer = ?c order by ?c.level}", "more than 50 objects at once", func(l *eval.Limits) { l.MaxObjects = 50 }},
		{"{id, 'o': ?c where customer = ?c}", "more than 7 rows", func(l *eval.Limits) { l.MaxRows = 7 }},
		{"{id, customer where number = 1 depth 3}", "one row takes more than 100 bytes", func(l *eval.Limits) { l.MaxBytes = 100 }},
		{"{?c id, 'o': [{* where customer = ?c}]}", "the result is too large", func(l *eval.Limits) { l.MaxValues = 100 }},
	} {
		l := roomy
		tt.change(&l)
		var fault *eval.Error
		_, steps, err := planned(t.Context(), resolved(tt.query), src, nil, l)
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s by %s: %v, want %q", tt.query, steps, err, tt.message)
		}
	}
}

func TestAJoinEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, err := plan.Prepare(resolved("[count(?a.id) where ?a.price and ?b.price and ?c.price and ?a.price + ?b.price = ?c.price]")).Start(ctx, shop(t, 500), nil, roomy, false)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for _, err := range a.Rows() {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after its context has ended: %v", err)
		}
	}
}

func TestAPlanIsToldAsJSONWithEstimatesAndFigures(t *testing.T) {
	a := start(t, "[id, ?c.name where customer = ?c and number = 7]", jsonqltest.Indexed{Source: shop(t, 100)}, roomy)
	all(t, a)
	text, err := json.Marshal(a.Plan())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"op":"index join"`, `"detail":"customer = ?c"`, `"estimated":1,"actual":1`, `"elapsed":`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\nhas no %s", text, want)
		}
	}
}
