package resolve

import (
	"slices"
	"testing"
)

func conditions(t *testing.T, query string) *Env {
	t.Helper()
	s, root := declared(t, query)
	b := &builder{text: query, scope: s, env: &Env{}, ids: map[SetID]SetID{}}
	if err := b.condition(root.Where, b.place(s.owners[root])); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	b.finish()
	return b.env
}

func TestConditionsGoToTheSetTheyAreAbout(t *testing.T) {
	for _, c := range []struct {
		query            string
		sets, filters    int // filters and ids are those of the first set
		ids, conds       int
		required, absent []string
	}{
		{"{* where a = 1}", 1, 1, 0, 0, []string{"a"}, nil},
		{"{* where 1 != a}", 1, 1, 0, 0, []string{"a"}, nil},
		{"{* where not (a = 1)}", 1, 1, 0, 0, []string{"a"}, nil},
		{"{* where not not a}", 1, 0, 0, 0, []string{"a"}, nil},
		{"{* where not a and b}", 1, 0, 0, 0, []string{"b"}, []string{"a"}},
		{"{* where id = 'x'}", 1, 0, 1, 0, nil, nil},
		{"{* where id != 'x'}", 1, 0, 0, 1, nil, nil},
		{"{* where v < 2 and v > 0}", 1, 0, 0, 2, []string{"v"}, nil},
		{"{* where a = 1 or b = 2}", 1, 0, 0, 1, nil, nil},
		{"{* where not (a = 1 and b = 2)}", 1, 0, 0, 1, nil, nil},
		{"{* where a.b = 1}", 1, 0, 0, 1, []string{"a"}, nil},
		{"{* where tags = ?t and {?t l = 1}}", 2, 0, 0, 1, []string{"tags"}, nil},
		{"{* where id = ?t and ?t = 'x'}", 1, 0, 1, 0, nil, nil},
		{"{* where a = ?b.x and c = ?b.y}", 2, 0, 0, 2, []string{"a", "c"}, nil},
		{"{* where a = maybe b}", 1, 0, 0, 1, []string{"a"}, nil},
	} {
		env := conditions(t, c.query)
		first := env.Sets[0]
		if len(env.Sets) != c.sets || len(first.Filters) != c.filters || len(first.IDs) != c.ids || len(env.Conds) != c.conds {
			t.Errorf("%s: %d sets, %d filters, %d ids, %d conditions", c.query,
				len(env.Sets), len(first.Filters), len(first.IDs), len(env.Conds))
		}
		if !slices.Equal(first.Required, c.required) || !slices.Equal(first.Absent, c.absent) {
			t.Errorf("%s: required %v, absent %v", c.query, first.Required, first.Absent)
		}
	}
}
