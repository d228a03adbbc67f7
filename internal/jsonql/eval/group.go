package eval

import (
	"cmp"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// split puts the solutions together that make one row.
func (r *Run) split(b *resolve.Block, list []Solution) ([]*Scope, error) {
	switch {
	case b.Aggregated:
		return []*Scope{{list: list, all: list, main: b.Main, grouped: true}}, nil
	case len(b.GroupBy) > 0:
		return r.byKeys(b, list)
	case b.Main == resolve.NoSet:
		if len(list) == 0 {
			return nil, nil
		}
		return []*Scope{{list: list, all: list, main: b.Main}}, nil
	}
	at := map[string]*Scope{}
	var out []*Scope
	for _, one := range list {
		o := one[b.Main]
		if o == nil || o.subject == statement.Nil {
			continue
		}
		if at[o.subject] == nil {
			at[o.subject] = &Scope{all: list, main: b.Main}
			out = append(out, at[o.subject])
		}
		at[o.subject].list = append(at[o.subject].list, one)
	}
	slices.SortFunc(out, func(x, y *Scope) int {
		return source.CompareSubjects(x.list[0][b.Main].subject, y.list[0][b.Main].subject)
	})
	return out, nil
}

// KeyOf returns the value of the only key of a group, if there is but one and it
// has one value. It uses the scope of one row for the solution.
func (r *Run) KeyOf(b *resolve.Block, one *Scope, s Solution) (v value.Value, alone bool, err error) {
	if len(b.GroupBy) != 1 {
		return v, false, nil
	}
	one.list[0] = s
	v, err = r.Eval(b.GroupBy[0], one)
	return v, !v.IsList, err
}

// KeysOf returns the values that a solution has in the keys of a group: one
// list for each group that it belongs to. A key with several values puts it
// into several groups.
func (r *Run) KeysOf(b *resolve.Block, s Solution) ([][]value.Value, error) {
	scope := &Scope{list: []Solution{s}}
	out := [][]value.Value{nil}
	for _, key := range b.GroupBy {
		v, err := r.Eval(key, scope)
		if err != nil {
			return nil, err
		}
		members := v.Members()
		if len(out)*len(members) > maxCombinations {
			return nil, r.Fail(key, "more than %d combinations of keys in one object", maxCombinations)
		}
		var next [][]value.Value
		for _, before := range out {
			for _, m := range members {
				next = append(next, append(slices.Clip(before), m))
			}
		}
		out = next
	}
	return out, nil
}

// AppendKeyText appends a text that is different for different keys of a group:
// 1 and 1.0 are equal in conditions, but two values.
func AppendKeyText(text []byte, key []value.Value) []byte {
	for _, v := range key {
		text = append(append(text, v.Term.Type...), 0)
		text = append(append(text, v.Term.Text...), 0)
	}
	return text
}

// CompareGroups orders groups by their keys.
func CompareGroups(a, b []value.Value) int {
	for i := range a {
		if o := cmp.Or(value.Compare(a[i], b[i]), a[i].Term.Compare(b[i].Term)); o != 0 {
			return o
		}
	}
	return 0
}

// byKeys puts the solutions together whose keys have the same values.
func (r *Run) byKeys(b *resolve.Block, list []Solution) ([]*Scope, error) {
	at := map[string]*Scope{}
	var out []*Scope
	for _, s := range list {
		keys, err := r.KeysOf(b, s)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			text := string(AppendKeyText(nil, key))
			if at[text] == nil {
				at[text] = &Scope{main: b.Main, grouped: true, keys: b.GroupBy, agreed: key}
				out = append(out, at[text])
			}
			at[text].list = append(at[text].list, s)
		}
	}
	for _, s := range out {
		s.all = s.list
	}
	slices.SortStableFunc(out, func(x, y *Scope) int { return CompareGroups(x.agreed, y.agreed) })
	return out, nil
}

// memberSet returns the set whose objects are the members that an expression is
// computed for: the only set in it, or else that of the rows.
func memberSet(e resolve.Expr, main resolve.SetID) resolve.SetID {
	if c, ok := e.(*resolve.Call); ok && c.Star {
		return main
	}
	if sets := resolve.SetsOf(e); len(sets) == 1 {
		for id := range sets {
			return id
		}
	}
	return main
}

// members returns a scope for each object that an expression is about, in order
// of their ids.
func (s *Scope) members(e resolve.Expr) []*Scope {
	set := memberSet(e, s.main)
	var out []*Scope
	if set == resolve.NoSet {
		for _, one := range s.all {
			out = append(out, s.narrow(one))
		}
		return out
	}
	seen := map[string]bool{}
	for _, one := range s.all {
		if o := one[set]; o != nil && !seen[o.subject] {
			seen[o.subject] = true
			out = append(out, s.narrow(one))
		}
	}
	slices.SortStableFunc(out, func(x, y *Scope) int {
		return source.CompareSubjects(x.list[0][set].subject, y.list[0][set].subject)
	})
	return out
}

// aggregate computes over the values of all members.
func (r *Run) aggregate(c *resolve.Call, s *Scope) (value.Value, error) {
	if t := s.known(c); t != nil {
		return r.result(c, t)
	}
	if s == nil || s.all == nil && !s.grouped {
		return value.Null, r.Fail(c, "%s has no meaning for one object", c.Name)
	}
	t := newTotal(c, len(s.keys) > 0, s.main)
	for _, m := range s.members(argument(c)) {
		if err := r.add(t, m); err != nil {
			return value.Null, err
		}
	}
	return r.result(c, t)
}

func (s *Scope) known(e resolve.Expr) *total {
	if s == nil {
		return nil
	}
	return s.totals[e]
}

// argument is what an aggregate is computed of; the call itself for count(*).
func argument(c *resolve.Call) resolve.Expr {
	if c.Star {
		return c
	}
	return c.Args[0]
}
