package resolve

import "vesperdb.io/vesper/internal/jsonql/syntax"

// condition sorts the conjuncts of a where clause: what is about one set in a
// simple form goes to the set, everything else to the environment.
func (b *builder) condition(e syntax.Expr, main SetID) error {
	rows := b.aggregates
	b.aggregates = false
	defer func() { b.aggregates = rows }()
	switch e := e.(type) {
	case nil:
		return nil
	case *syntax.FilterSet:
		_, err := b.filterSet(e)
		return err
	case *syntax.Maybe:
		if _, ok := e.Inner.(*syntax.Property); !ok {
			return b.outerJoin(e, main)
		}
	case *syntax.Binary:
		if e.Op == "and" {
			if err := b.condition(e.Left, main); err != nil {
				return err
			}
			return b.condition(e.Right, main)
		}
		if b.isAlias(e, main) {
			return nil
		}
		if e.Op == "or" {
			cond, err := b.alternative(e, main)
			b.env.Conds = append(b.env.Conds, cond)
			return err
		}
	case *syntax.Not:
		if inner, ok := negated(e.Inner); ok {
			return b.condition(inner, main)
		}
	}
	return b.conjunct(e, main)
}

// isAlias reports whether a condition only made two names one set.
func (b *builder) isAlias(e *syntax.Binary, main SetID) bool {
	if e.Op != "=" {
		return false
	}
	left, ok := b.idOf(e.Left, main)
	right, both := b.idOf(e.Right, main)
	return ok && both && left == right
}

func (b *builder) idOf(e syntax.Expr, main SetID) (SetID, bool) {
	switch e := e.(type) {
	case *syntax.Label:
		set, up := b.reach(e.Name, main)
		return set, up == 0
	case *syntax.ID:
		set, up := b.reach(e.Label, main)
		return set, up == 0
	default:
		return NoSet, false
	}
}

var opposites = map[string]string{"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

// negated returns the condition that "not e" means, where there is one.
func negated(e syntax.Expr) (syntax.Expr, bool) {
	switch e := e.(type) {
	case *syntax.Not:
		return e.Inner, true
	case *syntax.Membership:
		flipped := *e
		flipped.Negate = !e.Negate
		return &flipped, true
	case *syntax.Binary:
		if opposite := opposites[e.Op]; opposite != "" {
			return &syntax.Binary{Pos: e.Pos, Op: opposite, Left: e.Left, Right: e.Right}, true
		}
		if e.Op == "and" || e.Op == "or" {
			both := &syntax.Binary{Pos: e.Pos, Op: "or", Left: &syntax.Not{Pos: e.Pos, Inner: e.Left}, Right: &syntax.Not{Pos: e.Pos, Inner: e.Right}}
			if e.Op == "or" {
				both.Op = "and"
			}
			return both, true
		}
	}
	return nil, false
}

// conjunct puts one condition where it belongs.
func (b *builder) conjunct(e syntax.Expr, main SetID) error {
	r, err := b.expr(e, main)
	if err != nil {
		return err
	}
	switch r := r.(type) {
	case *Prop:
		b.exists(r)
	case *Not:
		prop, ok := r.Inner.(*Prop)
		if !ok || len(prop.Path) != 1 || prop.EndID || prop.Up > 0 {
			b.env.Conds = append(b.env.Conds, &Not{r.Pos, present(r.Inner)})
			return nil
		}
		set := b.env.Sets[prop.Set]
		set.Absent = append(set.Absent, prop.Path[0])
	case *Binary:
		b.comparison(r)
	default:
		b.complex(r)
	}
	return nil
}

// exists is the condition that consists of a property.
func (b *builder) exists(p *Prop) {
	if p.Maybe {
		return
	}
	if p.Up > 0 {
		b.env.Conds = append(b.env.Conds, present(p))
		return
	}
	set := b.env.Sets[p.Set]
	set.Required = append(set.Required, p.Path[0])
	if len(p.Path) > 1 {
		b.env.Conds = append(b.env.Conds, present(p))
		return
	}
	set.Shown[p.Path[0]] = true
}

// comparison finds prop = constant and id = constant, either way around.
func (b *builder) comparison(e *Binary) {
	left, right := e.Left, e.Right
	if IsConstant(left) {
		left, right = right, left
	}
	if IsConstant(right) && (e.Op == "=" || e.Op == "!=") {
		switch left := left.(type) {
		case *ID:
			if e.Op == "=" && left.Up == 0 {
				set := b.env.Sets[left.Set]
				set.IDs = append(set.IDs, right)
				return
			}
		case *Prop:
			if len(left.Path) == 1 && !left.EndID && left.Up == 0 {
				set := b.env.Sets[left.Set]
				set.Filters = append(set.Filters, Filter{e.At, left.Path[0], right, e.Op == "!="})
				b.require(e)
				return
			}
		}
	}
	b.complex(e)
}

func (b *builder) complex(e Expr) {
	b.env.Conds = append(b.env.Conds, e)
	b.require(e)
}

// require notes the properties that an object must have for a condition to
// hold: all but those under maybe, and those that "not" may excuse. An "or" that
// computes a value excuses none.
func (b *builder) require(e Expr) {
	Walk(e, func(e Expr) bool {
		switch e := e.(type) {
		case *Not:
			return false
		case *Call:
			return e.Name != "if" && e.Name != "exists"
		case *Prop:
			if !e.Maybe && e.Up == 0 {
				b.env.Sets[e.Set].named[e.Path[0]] = true
			}
		}
		return true
	})
}
