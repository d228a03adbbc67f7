package syntax

import (
	"errors"
	"strings"
	"testing"

	"encoding/json"
	"vesperdb.io/vesper/internal/statement/conformance"
)

// accepted has a query for every rule of the grammar.
var accepted = []string{
	"{*}", "[*]", "(foo)", "{}", "{*,}", "{id : foo MERGEALL}", "{id : *}", `{ "x" : ["foo"] }`, "{ 'e' : [[]]}",
	"{?childid, * where({child = ?childid})}", "{?p id, 'c' : {?c, id where parent = ?p}}",
	"{ 'tags' : [[id where (id=?tag)]] where (maybe tags = ?tag) }", "{ 'x' : { id=?tag and label=\"t\"} }",
	"{ * where (tags not in { id = 'tag2' }) }", "{ ?tag, id where ?tag in follow(@c, sub, true, true) }",
	"{ * where v<2 and v>0 }", "{ * where a = 1 or not (b = 2 and c = 3) }", "{ a.b where ?x.a.b = 1 order by a.b desc, id }",
	"{ a, b group by a, b }", "{ id order by upper(n) limit 0 offset 2 }", "{ id order by n after ('x', 3) limit 2 }",
	"{ after where after = 1 }", "{ id where startswith(n, 'x') and ieq(n, 'X') }", "{ 'foo' : ?bar.baz.id }",
	"{ * namemap = { 'sharedpatterns': {'a:': 'b', }, } }", "[count(*), sum(a)]", "{displayname, [maybe email]}",
	"{displayname, omitnull maybe email}", "{*// c\n}", "{*/* c */}", "{*# c\n}", "{ 'r': rfollow(id, p, edgesOnly=true) }",
	"{ 'attributes' : {?tag *} }", "{ ?a where ({id=?a and ?a = 1} and ?b = ?a) }", "{ <rdfs:comment> : * where <a b> = @<x y> }",
}

func TestEveryFormOfTheGrammarIsRead(t *testing.T) {
	for _, q := range accepted {
		if _, err := Parse(q); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestFaultsAreNamedAtTheirLineAndColumn(t *testing.T) {
	for _, c := range []struct {
		query     string
		line, col int
	}{
		{"", 1, 1}, {"{*/1}", 1, 3}, {"{ foo:bar }", 1, 6}, {"{* where (a = 1}", 1, 16}, {"{\n é: 'x", 2, 5},
		{"{ * where nofunc(1) }", 1, 11}, {"{ upper(a) }", 1, 3}, {"{ * limit -1 }", 1, 11}, {"{ * where a = b = c }", 1, 17},
		{"{ * where sum(*) = 1 }", 1, 11}, {"{*} {*}", 1, 5}, {"(a, b)", 1, 1}, {"{ * namemap = 3 3 }", 1, 17},
	} {
		_, err := Parse(c.query)
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%q is accepted: %v", c.query, err)
		} else if e.Line != c.line || e.Col != c.col {
			t.Errorf("%q: line %d, column %d, want %d, %d: %v", c.query, e.Line, e.Col, c.line, c.col, err)
		}
	}
}

func TestDeepNestingIsRefusedAndNotFollowed(t *testing.T) {
	for _, part := range []string{"{'a':", "[[", "('x' in ", "{* where not ", "{* where {", "{a where -", "{* namemap = {'a':"} {
		_, err := Parse(part + strings.Repeat(strings.TrimPrefix(part, "{* where "), 5000))
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %v", part, err)
		}
	}
}

func TestBracesWithAConditionAreAFilterSet(t *testing.T) {
	for q, condition := range map[string]bool{
		"{'x': {a = 1}}": true, "{'x': {?l a = ?b}}": true, "{'x': {a in (1)}}": true,
		"{'x': {a}}": false, "{'x': {id}}": false, "{'x': {a, b}}": false, "{'x': {'k': a}}": false, "{'x': {?l id}}": false,
	} {
		parsed, err := Parse(q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		if _, isSet := parsed.Root.Items[0].Value.(*FilterSet); isSet != condition {
			t.Errorf("%s: a filter set: %v, want %v", q, isSet, condition)
		}
	}
}

func TestRecordedQueriesAreRead(t *testing.T) {
	read := 0
	for _, line := range conformance.Lines(t, "jsonql-cases.jsonl") {
		var c struct {
			Suite, Name, Query string
			ExpectError        bool `json:"expect_error"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if c.Query == "" || c.ExpectError || strings.Contains(c.Suite, "skipped") {
			continue
		}
		if _, err := Parse(c.Query); err != nil {
			t.Errorf("%s/%s: %v\n%s", c.Suite, c.Name, err, c.Query)
		}
		read++
	}
	t.Logf("%d recorded queries read", read)
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, q := range accepted {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		_, err := Parse(q)
		if err == nil {
			return
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 || e.Col < 1 {
			t.Errorf("an error without a place: %v", err)
		}
	})
}
