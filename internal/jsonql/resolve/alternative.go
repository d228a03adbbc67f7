package resolve

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// present is the condition that there is a value.
func present(e Expr) Expr {
	if _, ok := e.(*Prop); !ok {
		return e
	}
	return &Call{Pos: Pos{e.Place()}, Name: "exists", Args: []Expr{e}}
}

// alternative ties a condition that need not hold by itself: one side of "or".
// What would be required of the object for the condition is made part of it.
func (b *builder) alternative(e syntax.Expr, main SetID) (Expr, error) {
	switch e := e.(type) {
	case *syntax.Binary:
		if e.Op == "and" || e.Op == "or" {
			return b.both(e, main)
		}
	case *syntax.Not:
		if inner, ok := negated(e.Inner); ok {
			return b.alternative(inner, main)
		}
		inner, err := b.expr(e.Inner, main)
		if err != nil {
			return nil, err
		}
		return &Not{Pos(e.Pos), present(inner)}, nil
	}
	r, err := b.expr(e, main)
	if err != nil {
		return nil, err
	}
	if _, ok := r.(*Prop); ok {
		return present(r), nil
	}
	return guarded(r), nil
}

func (b *builder) both(e *syntax.Binary, main SetID) (Expr, error) {
	left, err := b.alternative(e.Left, main)
	if err != nil {
		return nil, err
	}
	right, err := b.alternative(e.Right, main)
	return &Binary{Pos: Pos(e.Pos), Op: e.Op, Left: left, Right: right}, err
}

// guarded adds to a condition that the properties in it have values.
func guarded(cond Expr) Expr {
	out := cond
	Walk(cond, func(e Expr) bool {
		switch e := e.(type) {
		case *Not:
			return false
		case *Call:
			return e.Name != "if" && e.Name != "exists"
		case *Prop:
			if !e.Maybe {
				out = &Binary{Pos: e.Pos, Op: "and", Left: present(e), Right: out}
			}
		}
		return true
	})
	return out
}

// outerJoin ties "maybe a = b": one of its sets may stay without an object.
func (b *builder) outerJoin(m *syntax.Maybe, main SetID) error {
	join, ok := m.Inner.(*syntax.Binary)
	if !ok || join.Op != "=" {
		return b.fail(m.At, "write maybe before a property or a join", "maybe can not be used on a condition that is not a join")
	}
	tied, err := b.expr(join, main)
	if err != nil {
		return err
	}
	left, okL := setOf(tied.(*Binary).Left)
	right, okR := setOf(tied.(*Binary).Right)
	_, idL := tied.(*Binary).Left.(*ID)
	_, idR := tied.(*Binary).Right.(*ID)
	if !okL || !okR || left == right || idL && idR {
		return b.fail(m.At, "a join compares a property of one row set with another set", "maybe can not be used on a condition that is not a join")
	}
	optional := right
	if right == main && !b.isAround(left) || b.isAround(right) {
		optional = left
	}
	Walk(tied, func(e Expr) bool {
		if p, ok := e.(*Prop); ok && p.Set != optional {
			b.env.Sets[p.Set].Nullable[p.Path[0]] = true
		}
		return true
	})
	b.env.Conds = append(b.env.Conds, tied)
	b.env.Sets[optional].Optional = len(b.env.Conds)
	return nil
}

// isAround reports whether a set is that of a construct around the innermost: its
// rows are there whatever the constructs in them find.
func (b *builder) isAround(set SetID) bool {
	return len(b.around) > 1 && slices.Contains(b.around[:len(b.around)-1], set)
}

// setOf returns the one set that a plain side of a join is about.
func setOf(e Expr) (SetID, bool) {
	switch e := e.(type) {
	case *ID:
		return e.Set, e.Up == 0
	case *Prop:
		return e.Set, e.Up == 0
	default:
		return NoSet, false
	}
}
