package plan_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/plan"
)

func TestShortAnswersAreThoseOfThePlainestEvaluator(t *testing.T) {
	asked, gave := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		src, objects := drawObjects(t)
		d := drawer{t}
		pick := func(from ...string) string { return rapid.SampledFrom(from).Draw(t, "part") }
		for range queriesOfOne {
			condition := pick("id = @a", "id = :list", "id = @_:j:e:object:a:1", "p = 'x'", "p = @a", "s = 'x'", "n = 1", "q = null", "n = :one and p = 'x'", "id = @b and q = 'x'")
			for range rapid.IntRange(0, 2).Draw(t, "more") {
				condition += " and " + pick("n > 1", "p", "not s", "(q = 1 or p = 2)", "n != 1", "n.p = @a", "maybe s != 'x'", d.condition(1))
			}
			text := fmt.Sprintf(pick("{* where %s%s}", "[* where %s%s]", "{id, p, 'x': n.p where %s%s}", "[id, maybe n, s where %s%s]", "(p where %s%s)",
				"{'l': [p], 'u': upper(s) where %s%s}", "{omitnull p, q where %s%s}", "{p, 'p': q, * where %s%s}", "{* where %s depth 2%s}"),
				condition, pick("", "", " limit 1", " limit 1 offset 1", " limit 0"))
			q := resolved(text)
			if q == nil {
				continue
			}
			bindings := map[string]any{"list": []any{"@a", "b", "@c"}, "one": 1}
			rows, answered := agree(t, q, src, bindings, text, objects)
			if !answered {
				continue
			}
			asked++
			if rows > 0 {
				gave++
			}
		}
	})
	t.Logf("%d queries asked, %d of them with rows", asked, gave)
	if asked < 1000 || gave < asked/8 {
		t.Errorf("only %d queries were asked, and %d had rows", asked, gave)
	}
}

func TestAShortAnswerTellsWhatItHasLookedAt(t *testing.T) {
	src := jsonqltest.Indexed{Source: shop(t, 100)}
	p := plan.Prepare(resolved("{id where product = 'p1' and price > 500 limit 3}"))
	for range 2 { // the second one in memory of the first
		a, err := p.Start(t.Context(), src, nil, roomy, false)
		if err != nil {
			t.Fatal(err)
		}
		if before := a.Plan().Inputs[0].Inputs[0]; before.Actual != 0 || *before.Estimated != 20 {
			t.Errorf("before it has begun, it has looked at %d of %d", before.Actual, *before.Estimated)
		}
		rows := all(t, a)
		top := a.Plan()
		if want := "construct (filter [product = \"p1\" and (price > 500)] (value index [product = \"p1\"]))"; stepsOf(top) != want {
			t.Errorf("the plan is %s, want %s", stepsOf(top), want)
		}
		filter := top.Inputs[0]
		if found := filter.Inputs[0]; len(rows) != 3 || top.Actual != 3 || filter.Actual != 3 || found.Actual < 3 || found.Actual >= 20 || *found.Estimated != 20 {
			t.Errorf("%d rows, by the plan %d of %d of %d", len(rows), top.Actual, filter.Actual, found.Actual)
		}
		if again := all(t, a); len(again) != 0 {
			t.Errorf("rows that have been read come again: %v", again)
		}
	}
}

func TestAShortAnswerThatIsBrokenOffDoesNotShowInTheNext(t *testing.T) {
	src := jsonqltest.Indexed{Source: shop(t, 100)}
	first, second := plan.Prepare(resolved("{* where product = 'p1'}")), plan.Prepare(resolved("[id where number = 7]"))
	for range 3 {
		a, err := first.Start(t.Context(), src, nil, roomy, true)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range a.Rows() {
			if text, _, errMade := row.AppendJSON(nil, math.MaxInt); err != nil || errMade != nil || !strings.Contains(string(text), `"p1"`) {
				t.Errorf("a row is %s: %v, %v", text, err, errMade)
			}
			break
		}
		if b, err := second.Start(t.Context(), src, nil, roomy, false); err != nil || rowsText(all(t, b)) != "[\"@o0007\"]\n" {
			t.Errorf("the next answer is another one: %v", err)
		}
	}
}
