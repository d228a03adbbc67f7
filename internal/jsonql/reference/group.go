package reference

import (
	"cmp"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// split puts the solutions together that make one row.
func (r *run) split(b *resolve.Block, list []solution) ([]*scope, error) {
	switch {
	case b.Aggregated:
		return []*scope{{list: list, all: list, main: b.Main, grouped: true}}, nil
	case len(b.GroupBy) > 0:
		return r.byKey(b, list)
	case b.Main == resolve.NoSet:
		if len(list) == 0 {
			return nil, nil
		}
		return []*scope{{list: list, all: list, main: b.Main}}, nil
	}
	at := map[string]*scope{}
	var out []*scope
	for _, one := range list {
		o := one[b.Main]
		if o == nil || o.subject == statement.Nil {
			continue
		}
		if at[o.subject] == nil {
			at[o.subject] = &scope{all: list, main: b.Main}
			out = append(out, at[o.subject])
		}
		at[o.subject].list = append(at[o.subject].list, one)
	}
	slices.SortFunc(out, func(x, y *scope) int {
		return compareSubjects(x.list[0][b.Main].subject, y.list[0][b.Main].subject)
	})
	return out, nil
}

// byKey puts the solutions together whose key has the same value; one that has
// several values is in several groups.
func (r *run) byKey(b *resolve.Block, list []solution) ([]*scope, error) {
	key := b.GroupBy[0]
	at := map[statement.Term]*scope{}
	var out []*scope
	for _, s := range list {
		v, err := r.eval(key, &scope{list: []solution{s}})
		if err != nil {
			return nil, err
		}
		for _, m := range v.Members() {
			if at[m.Term] == nil {
				at[m.Term] = &scope{main: b.Main, grouped: true, key: key, keyValue: m}
				out = append(out, at[m.Term])
			}
			at[m.Term].list = append(at[m.Term].list, s)
		}
	}
	for _, s := range out {
		s.all = s.list
	}
	slices.SortStableFunc(out, func(x, y *scope) int {
		return cmp.Or(value.Compare(x.keyValue, y.keyValue), x.keyValue.Term.Compare(y.keyValue.Term))
	})
	return out, nil
}

// members returns a scope for each object that an expression is about: each
// object of the only set in it, or else of the rows.
func (s *scope) members(e resolve.Expr) []*scope {
	set := s.main
	if sets := setsOf(e); len(sets) == 1 {
		for id := range sets {
			set = id
		}
	}
	var out []*scope
	if set == resolve.NoSet {
		for _, one := range s.all {
			out = append(out, s.narrow([]solution{one}))
		}
		return out
	}
	seen := map[string]bool{}
	for _, one := range s.all {
		if o := one[set]; o != nil && !seen[o.subject] {
			seen[o.subject] = true
			out = append(out, s.narrow([]solution{one}))
		}
	}
	return out
}

func (s *scope) narrow(list []solution) *scope {
	inner := *s
	inner.list, inner.grouped = list, false
	return &inner
}

// aggregate computes over the values of all members. Under "group by", min,
// max and count look at members instead, each with its one value or its list.
func (r *run) aggregate(c *resolve.Call, s *scope) (value.Value, error) {
	if s == nil || s.all == nil && !s.grouped {
		return value.Null, r.fail(c, "%s has no meaning for one object", c.Name)
	}
	if c.Star {
		return r.total(c, members(len(s.members(&resolve.ID{Set: s.main}))))
	}
	perMember := s.key != nil && c.Name != "sum" && c.Name != "avg" && c.Name != "total"
	var values []value.Value
	for _, m := range s.members(c.Args[0]) {
		v, err := r.eval(c.Args[0], m)
		if err != nil {
			return value.Null, err
		}
		if perMember {
			values = append(values, v)
		} else {
			values = append(values, v.Members()...)
		}
	}
	return r.total(c, values)
}

// members returns so many values that are not null.
func members(n int) []value.Value {
	out := make([]value.Value, n)
	for i := range out {
		out[i] = value.Bool(true)
	}
	return out
}

// total computes one of the aggregates over values; nulls do not count.
func (r *run) total(c *resolve.Call, values []value.Value) (value.Value, error) {
	present := slices.DeleteFunc(values, value.Value.IsNull)
	switch c.Name {
	case "count":
		t, err := statement.FromValue(len(present))
		return value.Of(t), err
	case "min", "max":
		return extreme(present, c.Name == "max"), nil
	}
	if len(present) == 0 && c.Name != "total" {
		return value.Null, nil
	}
	sum := 0.0
	for _, v := range present {
		sum += value.Float(v)
	}
	if c.Name == "avg" {
		sum /= float64(len(present))
	}
	return r.float(c, sum)
}

func extreme(values []value.Value, greatest bool) value.Value {
	if len(values) == 0 {
		return value.Null
	}
	best := values[0]
	for _, v := range values[1:] {
		if order := value.Compare(v, best); order != 0 && order > 0 == greatest {
			best = v
		}
	}
	return best
}
