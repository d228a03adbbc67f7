package plan_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/plan"
	"vesperdb.io/vesper/internal/jsonql/reference"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

var roomy = eval.Limits{MaxRows: 1e5, MaxValues: 1e6, MaxObjects: 1e5, MaxSteps: 1e7, MaxBytes: 1e8}

// queriesOfOne is how many queries each drawn set of objects is asked.
const queriesOfOne = 40

// agree asks the plainest evaluator, and the planner over each variant of the source, and
// fails t unless all give the same. It returns how many rows they gave; answered is false
// for a fault, which an index may keep the query from coming to.
func agree(t *rapid.T, q *resolve.Query, src *jsonqltest.Source, bindings map[string]any, text, objects string) (rows int, answered bool) {
	want, err := reference.Run(context.Background(), q, src, bindings, roomy, false)
	if err != nil {
		return 0, false
	}
	for name, from := range variants(t, src) {
		got, top, err := planned(context.Background(), q, from, bindings, roomy)
		if err != nil || rowsText(got) != rowsText(want) {
			t.Fatalf("%s\nof\n%s\n%s, by %s, gives\n%s%v\nwant\n%s", text, objects, name, top, rowsText(got), err, rowsText(want))
		}
	}
	return len(want), true
}

func TestPlansAnswerAsThePlainestEvaluatorDoes(t *testing.T) {
	asked, gave := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		src, objects := drawObjects(t)
		for range queriesOfOne {
			text := drawer{t}.query()
			q := resolved(text)
			if q == nil {
				continue
			}
			bindings := map[string]any{"list": []any{1, "x", "@a"}, "one": 1}
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
	if asked < 1000 || gave < asked/4 {
		t.Errorf("only %d queries were asked, and %d had rows", asked, gave)
	}
}

// variants are sources with the same objects that lead to other plans.
func variants(t *rapid.T, src *jsonqltest.Source) map[string]source.Source {
	guess := rapid.SampledFrom([]int{0, 1, 3, 50, 5000}).Draw(t, "guess")
	other := rapid.SampledFrom([]int{0, 1, 3, 50, 5000}).Draw(t, "other guess")
	turn := 0
	wrong := jsonqltest.Indexed{Source: src, Guess: func() int {
		if turn++; turn%2 == 0 {
			return guess
		}
		return other
	}}
	return map[string]source.Source{
		"without indexes that count": src,
		"with true estimates":        jsonqltest.Indexed{Source: src},
		"with wrong estimates":       wrong,
		"with ordered indexes":       jsonqltest.Ordered{Indexed: jsonqltest.Indexed{Source: src}},
	}
}

func resolved(text string) *resolve.Query {
	parsed, err := syntax.Parse(text)
	if err != nil {
		return nil
	}
	q, err := resolve.Resolve(parsed)
	if err != nil {
		return nil
	}
	return q
}

func planned(ctx context.Context, q *resolve.Query, src source.Source, bindings map[string]any, l eval.Limits) (rows []any, top string, err error) {
	a, err := plan.Prepare(q).Start(ctx, src, bindings, l, false)
	if err != nil {
		return nil, "", err
	}
	for row, err := range a.Rows() {
		if err != nil {
			return rows, stepsOf(a.Plan()), err
		}
		v, err := row.Value()
		if err != nil {
			return rows, stepsOf(a.Plan()), err
		}
		rows = append(rows, v)
	}
	return rows, stepsOf(a.Plan()), written(ctx, q, src, bindings, l, rows)
}

// written fails unless the rows of a query that are written as JSON at once are
// those that it has.
func written(ctx context.Context, q *resolve.Query, src source.Source, bindings map[string]any, l eval.Limits, rows []any) error {
	a, err := plan.Prepare(q).Start(ctx, src, bindings, l, false)
	if err != nil {
		return err
	}
	n := 0
	for row, err := range a.Rows() {
		if err != nil {
			return err
		}
		text, _, err := row.AppendJSON(nil, math.MaxInt)
		if err != nil || n >= len(rows) || string(text) != string(pjson.AppendJSON(nil, rows[n])) {
			return fmt.Errorf("row %d of %d is written as %s (%w)", n, len(rows), text, err)
		}
		n++
	}
	return nil
}

// stepsOf writes a plan in one line.
func stepsOf(n *plan.Node) string {
	text := n.Op
	if n.Detail != "" {
		text += " [" + n.Detail + "]"
	}
	var inputs []string
	for _, in := range n.Inputs {
		inputs = append(inputs, stepsOf(in))
	}
	if len(inputs) == 0 {
		return text
	}
	return text + " (" + strings.Join(inputs, ", ") + ")"
}

func rowsText(rows []any) string {
	out := ""
	for _, row := range rows {
		out += string(pjson.AppendJSON(nil, row)) + "\n"
	}
	return out
}

// drawObjects draws objects that refer to each other, share numbers and texts,
// hold lists and embed others.
func drawObjects(t *rapid.T) (*jsonqltest.Source, string) {
	values := []string{`1`, `2`, `3`, `1.0`, `true`, `null`, `"x"`, `"X"`, `"y"`, `"@a"`, `"@b"`, `"@c"`, `"@gone"`, `[]`, `{"n":1,"p":"@a"}`, `{"s":"x"}`}
	var objects []string
	for _, id := range []string{"a", "b", "c", "d", "e", "f"}[:rapid.IntRange(1, 6).Draw(t, "objects")] {
		parts := []string{`"id":"` + id + `"`}
		for _, name := range []string{"n", "s", "p", "q"} {
			list := rapid.SliceOfN(rapid.SampledFrom(values), 0, 3).Draw(t, name)
			switch {
			case len(list) == 1 && rapid.Bool().Draw(t, "scalar"):
				parts = append(parts, `"`+name+`":`+list[0])
			case len(list) > 0:
				parts = append(parts, `"`+name+`":[`+strings.Join(list, ",")+`]`)
			}
		}
		objects = append(objects, "{"+strings.Join(parts, ",")+"}")
	}
	doc, err := pjson.Parse([]byte("["+strings.Join(objects, ",")+"]"), pjson.Options{IDs: pjson.Counter()})
	if err != nil {
		t.Fatal(err)
	}
	var list []statement.Statement
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.New(list), strings.Join(objects, ",\n")
}

// drawer draws queries.
type drawer struct{ t *rapid.T }

func (d drawer) of(name string, list ...string) string {
	return rapid.SampledFrom(list).Draw(d.t, name)
}

func (d drawer) one(n int, name string) bool { return rapid.IntRange(1, n).Draw(d.t, name) == 1 }

func (d drawer) label() string { return d.of("label", "?a", "?a", "?b", "?c") }

func (d drawer) name() string { return d.of("name", "n", "s", "p", "q") }

func (d drawer) constant() string {
	return d.of("constant", "1", "2", "1.0", "true", "null", "'x'", "'y'", "@a", "@b", "@gone", ":one")
}

func (d drawer) property() string {
	return d.of("property", d.name(), d.name(), d.label()+"."+d.name(), d.name()+"."+d.name(), "maybe "+d.name())
}

func (d drawer) condition(depth int) string {
	name, label, constant := d.name(), d.label(), d.constant()
	op := d.of("op", "<", "<=", ">", ">=")
	simple := []string{
		name, "not " + name, name + " = " + constant, name + " != " + constant, name + " " + op + " " + constant,
		name + " = " + label, label + "." + name + " = " + label, name + " = " + d.label() + "." + d.name(),
		d.label() + "." + name + " = " + d.label() + "." + d.name(), "id = " + label, "id = " + label + "." + name,
		label + "." + name + " " + op + " " + constant, "maybe " + name + " = " + label, "maybe " + label + "." + name + " = id",
		name + " in (" + constant + ", " + d.constant() + ")", name + " not in (" + constant + ", 2)", name + " in :list", "id in (@a, @c)",
		"{" + label + " " + d.name() + " " + op + " " + constant + "}", name + " = {" + d.name() + "}", name + " in {" + d.name() + " = " + constant + "}",
		name + " not in {" + d.name() + "}", "not {" + d.name() + " = " + label + "}", "not {" + d.name() + " = " + label + "." + name + "}",
		"lower(" + name + ") = lower(" + label + "." + d.name() + ")", name + " + 1 = " + label + "." + d.name(), name + "." + d.name() + " = " + constant,
		"id in follow(@a, " + name + ")", label + " in rfollow(@b, " + name + ")", "exists(" + name + ")", "id = " + constant, "(maybe " + name + ") = null",
		label + " = ref(" + name + ")", name + " " + op + " " + label + "." + d.name(), "id = ?m.p", "if(exists(" + name + "), " + name + " = 1, true)", "not lower(" + name + ")", "if(" + name + ", 1, 2) = 2", "?m = " + label + "." + name,
	}
	if depth > 0 && d.one(3, "nest") {
		left, right := d.condition(depth-1), d.condition(depth-1)
		return d.of("both", "("+left+" or "+right+")", "("+left+" or "+right+")", "not ("+left+" and "+right+")", "(("+left+" and "+right+") or "+d.condition(0)+")")
	}
	return rapid.SampledFrom(simple).Draw(d.t, "condition")
}

func (d drawer) where(name string, most int) string {
	var all []string
	for range rapid.IntRange(0, most).Draw(d.t, name) {
		all = append(all, d.condition(1))
	}
	if len(all) == 0 {
		return ""
	}
	return " where " + strings.Join(all, " and ")
}

func (d drawer) nested() string {
	label := d.label()
	return d.of("nested",
		"{"+d.name()+" where "+d.name()+" = "+label+"}", "[{"+d.name()+" where id = "+label+"}]", "{"+label+" "+d.name()+"}",
		"[{id, maybe "+d.name()+" where "+d.name()+" = "+label+" order by "+d.name()+" limit 2}]", "{"+d.name()+" where "+d.name()+" = 1}",
		"{'n': count("+d.name()+") where "+d.name()+" = "+label+"}", "["+d.name()+" where "+d.name()+" = "+label+"]")
}

func (d drawer) value() string {
	return d.of("value", d.property(), d.property(), d.label(), d.label()+"."+d.name(), "["+d.name()+"]", d.nested(),
		d.name()+" + 1", "upper("+d.name()+")", "follow(id, "+d.name()+")", "id", d.name()+" or 'none'", "if("+d.name()+" = 1, 'one', id)")
}

func (d drawer) aggregate() string {
	fn := d.of("aggregate", "count", "sum", "min", "max", "avg", "total")
	return d.of("of", "count(*)", fn+"("+d.name()+")", fn+"("+d.name()+")", fn+"(maybe "+d.name()+")", fn+"("+d.label()+"."+d.name()+")")
}

func (d drawer) operations(groups bool) string {
	out := ""
	if d.one(2, "order") {
		key := d.of("key", "id", d.name(), d.name(), "lower("+d.name()+")", d.label()+"."+d.name())
		if groups {
			key = d.of("group key", d.name(), "count("+d.name()+")")
		}
		out += " order by " + key + d.of("direction", "", " desc")
		if d.one(2, "second") {
			out += ", " + d.name()
		}
	}
	if d.one(3, "limit") {
		out += fmt.Sprintf(" limit %d", rapid.IntRange(0, 4).Draw(d.t, "limit"))
	}
	if d.one(4, "offset") {
		out += " offset 1"
	}
	if d.one(8, "depth") {
		out += " depth 1"
	}
	if d.one(12, "merge") {
		out += " mergeall"
	}
	return out
}

func (d drawer) query() string {
	where := d.where("conditions", 3)
	main := d.of("main", "", "", "?m ", "?a ")
	var items []string
	switch d.of("kind", "rows", "rows", "rows", "rows", "groups", "groups", "aggregates", "star", "list", "beside") {
	case "groups":
		key := d.of("by", d.name(), d.name(), d.label(), d.label()+"."+d.name(), d.name()+", "+d.name())
		first, _, _ := strings.Cut(key, ", ")
		items = append(items, "'k': "+first, "'n': "+d.aggregate(), "'m': "+d.of("member", d.aggregate(), d.name(), "1"))
		return "{" + main + strings.Join(items, ", ") + where + " group by " + key + d.operations(true) + "}"
	case "aggregates":
		return "{" + main + "'n': " + d.aggregate() + ", 'm': " + d.aggregate() + where + "}"
	case "star":
		return "{" + main + "*" + where + d.operations(false) + "}"
	case "list":
		return "[" + main + d.name() + ", " + d.value() + where + d.operations(false) + "]"
	case "beside":
		return "{" + main + "id, 'n': " + d.aggregate() + where + d.operations(false) + "}"
	}
	for i := range rapid.IntRange(1, 3).Draw(d.t, "items") {
		items = append(items, fmt.Sprintf("'i%d': %s", i, d.value()))
	}
	return "{" + main + strings.Join(items, ", ") + where + d.operations(false) + "}"
}
