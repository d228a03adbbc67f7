package jsonql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// model is the plainest reading of the specification: for each object, the
// values of each property as they are written in JSON and in a query.
type model map[string]map[string][]string

var (
	modelProperties = []string{"p", "q", "r"}
	modelValues     = []string{"1", "2", "'x'", "'y'", "null", "true", "@a"}
)

func drawModel(t *rapid.T) model {
	m := model{}
	for _, id := range []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "objects")] {
		m[id] = map[string][]string{}
		for _, name := range modelProperties {
			values := rapid.SliceOfNDistinct(rapid.SampledFrom(modelValues), 0, 3, rapid.ID[string]).Draw(t, name)
			if len(values) > 0 {
				m[id][name] = values
			}
		}
	}
	return m
}

func (m model) source(t *rapid.T) *jsonqltest.Source {
	var objects []string
	for id, properties := range m {
		parts := []string{`"id":"` + id + `"`, `"any":0`}
		for name, values := range properties {
			text := strings.NewReplacer("'", `"`, "@a", `"@a"`).Replace(strings.Join(values, ","))
			parts = append(parts, `"`+name+`":[`+text+`]`)
		}
		objects = append(objects, "{"+strings.Join(parts, ",")+"}")
	}
	doc, err := pjson.Parse([]byte("["+strings.Join(objects, ",")+"]"), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var list []statement.Statement
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.New(list)
}

// condition is one part of a where clause, and what it asks of an object.
type condition struct {
	text  string
	holds func(properties map[string][]string) bool
}

func drawCondition(t *rapid.T) condition {
	name := rapid.SampledFrom(modelProperties).Draw(t, "property")
	value := rapid.SampledFrom(modelValues).Draw(t, "value")
	other := rapid.SampledFrom(modelValues).Draw(t, "other")
	has := func(p map[string][]string) bool { return len(p[name]) > 0 }
	is := func(values ...string) func(string) bool {
		return func(v string) bool {
			// 1 equals true wherever a condition is not an exact filter.
			return slices.ContainsFunc(values, func(w string) bool { return v == w || v+w == "1true" || v+w == "true1" })
		}
	}
	return rapid.SampledFrom([]condition{
		{name, has},
		{"not " + name, func(p map[string][]string) bool { return !has(p) }},
		{"not not " + name, has},
		{name + " = " + value, func(p map[string][]string) bool { return slices.Contains(p[name], value) }},
		{value + " == " + name, func(p map[string][]string) bool { return slices.Contains(p[name], value) }},
		{"not (" + name + " != " + value + ")", func(p map[string][]string) bool { return slices.Contains(p[name], value) }},
		{name + " != " + value, func(p map[string][]string) bool {
			return slices.ContainsFunc(p[name], func(v string) bool { return !is(value)(v) })
		}},
		{name + " in (" + value + ", " + other + ")", func(p map[string][]string) bool {
			return slices.ContainsFunc(p[name], is(value, other))
		}},
		{name + " not in (" + value + ", " + other + ")", func(p map[string][]string) bool {
			return has(p) && !slices.ContainsFunc(p[name], is(value, other))
		}},
		{"(maybe " + name + ") = null", func(p map[string][]string) bool { return !has(p) || slices.Contains(p[name], "null") }},
		{"maybe " + name, func(map[string][]string) bool { return true }},
	}).Draw(t, "condition")
}

func TestConditionsFindWhatThePlainestReadingFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		var texts []string
		var conditions []condition
		for range rapid.IntRange(1, 3).Draw(t, "conditions") {
			c := drawCondition(t)
			conditions = append(conditions, c)
			texts = append(texts, c.text)
		}
		query := "(id where any and " + strings.Join(texts, " and ") + ")"
		// One property under maybe and by itself at once is a case apart.
		for _, name := range modelProperties {
			if strings.Contains(query, "maybe "+name) && strings.Count(query, name) > strings.Count(query, "maybe "+name) {
				t.Skip("a property both ways")
			}
		}
		want := []any{}
		for _, id := range slices.Sorted(keysOf(m)) {
			if !slices.ContainsFunc(conditions, func(c condition) bool { return !c.holds(m[id]) }) {
				want = append(want, "@"+id)
			}
		}
		if got := rows(t, m.source(t), query); !slices.Equal(got, want) {
			t.Fatalf("%s\nof %v\n got %q\nwant %q", query, m, got, want)
		}
	})
}

func keysOf(m model) func(func(string) bool) {
	return func(yield func(string) bool) {
		for id := range m {
			if !yield(id) {
				return
			}
		}
	}
}

func TestLimitAndOffsetCutWhatTheQueryGivesWithoutThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawModel(t).source(t)
		query := "{id, maybe p" + rapid.SampledFrom([]string{
			"", " where any", " where not q", " order by p", " order by p desc, id", " where p != 1 order by id desc",
		}).Draw(t, "query")
		limit, offset := rapid.IntRange(0, 6).Draw(t, "limit"), rapid.IntRange(0, 6).Draw(t, "offset")
		all := rows(t, src, query+"}")
		want := all[min(offset, len(all)):]
		want = want[:min(limit, len(want))]
		got := rows(t, src, fmt.Sprintf("%s limit %d offset %d}", query, limit, offset))
		if string(pjson.AppendJSON(nil, got)) != string(pjson.AppendJSON(nil, want)) {
			t.Fatalf("%s limit %d offset %d:\n got %s\nwant %s", query, limit, offset,
				pjson.AppendJSON(nil, got), pjson.AppendJSON(nil, want))
		}
	})
}

func TestGroupsTogetherHaveWhatAllHave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		src := m.source(t)
		members := map[string]int{}
		for _, properties := range m {
			for _, v := range properties["p"] {
				members[v]++
			}
		}
		grouped := rows(t, src, "[p, count(*) group by p]")
		if len(grouped) != len(members) {
			t.Fatalf("%d groups, want %d: %v", len(grouped), len(members), grouped)
		}
		total := 0
		for _, n := range members {
			total += n
		}
		counted := 0
		for _, row := range grouped {
			var n int
			if _, err := fmt.Sscan(fmt.Sprint(row.([]any)[1]), &n); err != nil {
				t.Fatal(err)
			}
			counted += n
		}
		if counted != total {
			t.Fatalf("the groups have %d members, want %d", counted, total)
		}
	})
}

func TestTheSameQueryMayRunManyTimesAtOnce(t *testing.T) {
	q, err := jsonql.Parse(`{id, tags where tags = 'dev' and age = :v order by id}`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{36: `[{"id":"@ada","tags":["dev"]}]`, 35: `[]`}
	failed := make(chan error, 8)
	for i := range cap(failed) {
		src := sourceOf(t, shop)
		go func() {
			age := 35 + i%2
			got, err := q.Run(t.Context(), src, jsonql.Bindings{"v": age}, jsonql.Limits{})
			if text := string(pjson.AppendJSON(nil, got.Rows)); err == nil && text != want[age] {
				err = fmt.Errorf("for %d: %s, want %s", age, text, want[age])
			}
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}
