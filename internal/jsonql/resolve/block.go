package resolve

import (
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// Resolve ties every name of a query to a row set. Its errors are *syntax.Error.
func Resolve(q *syntax.Query) (*Query, error) {
	b := &builder{text: q.Text}
	root, env, err := b.environment(q.Root)
	if err != nil {
		return nil, err
	}
	out := &Query{Text: q.Text, Skipped: q.Skipped, Env: env, Root: root}
	out.looks = looksOf(out)
	return out, nil
}

// environment resolves a construct that shares nothing with those around it.
func (b *builder) environment(c *syntax.Construct) (*Block, *Env, error) {
	counts := map[string]int{}
	countLabels(c, counts)
	in := &builder{text: b.text, scope: newScope(), env: &Env{}, ids: map[SetID]SetID{}, names: b.names}
	in.scope.construct(c, counts)
	block, err := in.block(c)
	if err != nil {
		return nil, nil, err
	}
	block.Own = true
	in.finish()
	return block, in.env, nil
}

// finish decides which properties are required: those that are named, unless
// they are named under maybe too.
func (b *builder) finish() {
	for _, s := range b.env.Sets {
		for name := range s.named {
			if !s.Nullable[name] {
				s.Required = append(s.Required, name)
			}
		}
		slices.Sort(s.Required)
		s.Required = slices.Compact(s.Required)
		for _, name := range s.Required {
			delete(s.Nullable, name)
		}
		s.Dangling = len(s.Required)+len(s.Absent)+len(s.Filters)+len(s.IDs)+len(s.Nullable) == 0
	}
}

func (b *builder) block(c *syntax.Construct) (*Block, error) {
	outer := b.names
	defer func() { b.names = outer }()
	if c.Namemap != "" {
		inner, err := b.names.with(c.Namemap)
		if err != nil {
			return nil, b.fail(c.NamemapAt, "", "the namemap cannot be read: %v", err)
		}
		b.names = inner
	}
	out := &Block{
		At: c.At, Shape: Shape(c.Shape), Env: b.env, Main: NoSet, Limit: c.Limit, Offset: c.Offset, Depth: c.Depth,
		MergeAll: c.MergeAll, Namemap: b.names.text,
	}
	if usesMain(c) {
		out.Main = b.place(b.scope.owners[c])
		b.labeled(c.Label, out.Main)
	}
	b.around = append(b.around, out.Main)
	defer func() { b.around = b.around[:len(b.around)-1] }()
	if err := b.condition(c.Where, out.Main); err != nil {
		return nil, err
	}
	b.aggregates = true
	if err := b.items(c, out); err != nil {
		return nil, err
	}
	return out, b.operations(c, out)
}

func (b *builder) items(c *syntax.Construct, out *Block) error {
	each := false
	for _, it := range c.Items {
		r := Item{At: it.At, Star: it.Star, ForceList: it.ForceList, OmitNull: it.OmitNull}
		var err error
		if it.Key != nil {
			if r.Key, err = b.shown(it.Key, out.Main); err != nil {
				return err
			}
		}
		if it.Value != nil {
			if r.Value, err = b.shown(it.Value, out.Main); err != nil {
				return err
			}
		}
		aggregate := HasAggregate(r.Value)
		out.Aggregated = out.Aggregated || aggregate
		if _, constant := r.Value.(*Const); !aggregate && !constant {
			each = true
		}
		out.Items = append(out.Items, r)
	}
	out.Aggregated = out.Aggregated && !each && len(c.GroupBy) == 0
	if out.Main != NoSet && c.Where == nil && !out.Aggregated {
		set := b.env.Sets[out.Main]
		set.OwnersOnly = set.OwnersOnly || len(set.named)+len(set.Nullable)+len(set.Required) == 0
	}
	return nil
}

// HasAggregate reports whether an expression is about several objects.
func HasAggregate(e Expr) (found bool) {
	Walk(e, func(e Expr) bool {
		c, ok := e.(*Call)
		found = found || ok && syntax.IsAggregate(c.Name)
		return !found
	})
	return found
}

// shown ties an expression of a row, whose properties the object must have.
func (b *builder) shown(e syntax.Expr, main SetID) (Expr, error) {
	r, err := b.expr(e, main)
	if err != nil {
		return nil, err
	}
	Walk(r, func(e Expr) bool {
		switch e := e.(type) {
		case *Call:
			return e.Name != "exists" // which asks, and does not require
		case *Prop:
			if !e.Maybe && e.Up == 0 {
				b.env.Sets[e.Set].named[e.Path[0]] = true
			}
		}
		return true
	})
	return r, nil
}

func (b *builder) operations(c *syntax.Construct, out *Block) (err error) {
	for _, k := range c.OrderBy {
		v, err := b.expr(k.Value, out.Main)
		if err != nil {
			return err
		}
		out.OrderBy = append(out.OrderBy, SortKey{v, k.Desc})
	}
	if out.GroupBy, err = b.all(c.GroupBy, out.Main); err != nil {
		return err
	}
	for _, it := range out.Items {
		if _, whole := it.Value.(*Whole); (it.Star || whole) && (len(out.GroupBy) > 0 || out.Aggregated) {
			return b.fail(it.At, "name the properties", `"*" has no meaning for several objects`)
		}
	}
	for _, e := range out.GroupBy {
		if p, ok := e.(*Prop); ok && !p.Maybe {
			set := b.env.Sets[p.Set]
			set.Required = append(set.Required, p.Path[0])
		}
	}
	if out.After, err = b.all(c.After, out.Main); err != nil {
		return err
	}
	out.expressions = out.Expressions()
	return nil
}

// usesMain reports whether a construct is about objects of its own, and not
// only about those of other sets, or none.
func usesMain(c *syntax.Construct) bool {
	if c.Label != "" || mentionsMain(c.Where) {
		return true
	}
	for _, it := range c.Items {
		if it.Star || mentionsMain(it.Key) || mentionsMain(it.Value) {
			return true
		}
	}
	for _, k := range c.OrderBy {
		if mentionsMain(k.Value) {
			return true
		}
	}
	return slices.ContainsFunc(c.GroupBy, mentionsMain)
}

// mentionsMain reports whether an expression has names without a label.
func mentionsMain(e syntax.Expr) (found bool) {
	syntax.Walk(e, func(e syntax.Expr) bool {
		switch e := e.(type) {
		case *syntax.Property:
			found = found || e.Label == ""
		case *syntax.ID:
			found = found || e.Label == ""
		case *syntax.WholeObject:
			found = true
		case *syntax.Call:
			found = found || e.Star
		}
		return !found
	})
	return found
}

// filterSet ties a filter set: as part of the join where it must hold, else as
// a query of its own.
func (b *builder) filterSet(e *syntax.FilterSet) (Expr, error) {
	owner, joined := b.scope.owners[e]
	if !joined {
		return b.sub(e)
	}
	set := NoSet
	if e.Label != "" || mentionsMain(e.Where) || e.Where == nil {
		set = b.place(owner)
		b.labeled(e.Label, set)
	}
	return &ID{Pos: Pos(e.Pos), Set: set}, b.condition(e.Where, set)
}

// sub resolves a filter set that is a value: its labels are those of the
// environment around, where that has them.
func (b *builder) sub(e *syntax.FilterSet) (Expr, error) {
	in := &builder{text: b.text, scope: newScope(), env: &Env{Outer: b.env}, ids: map[SetID]SetID{}, names: b.names, outer: b}
	in.scope.outer = maps.Clone(b.scope.outer)
	if in.scope.outer == nil {
		in.scope.outer = map[string]bool{}
	}
	for label := range b.scope.labels {
		in.scope.outer[label] = true
	}
	if e.Label != "" && in.scope.outer[e.Label] {
		return nil, b.fail(e.At, "take another label", "?%s is a row set outside of this one", e.Label)
	}
	in.scope.filterSet(e)
	main, err := in.filterSet(e)
	if err != nil {
		return nil, err
	}
	in.finish()
	return &Sub{Pos(e.Pos), in.env, main.(*ID).Set}, nil
}

// nested resolves a construct in the place of a value.
func (b *builder) nested(n *syntax.Nested) (Expr, error) {
	if b.scope.apart[n.Construct] {
		block, _, err := b.environment(n.Construct)
		return &Nested{Pos(n.Pos), block}, err
	}
	if _, known := b.scope.owners[n.Construct]; !known {
		return nil, b.fail(n.At, "", "a construct has no meaning here")
	}
	block, err := b.block(n.Construct)
	return &Nested{Pos(n.Pos), block}, err
}
