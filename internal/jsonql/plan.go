package jsonql

import "slices"

// plan says how the rows of a query are found: the where clause taken apart
// into conditions that must all hold.
type plan struct {
	// constant queries refer to no object and have one row.
	constant bool
	// ownersOnly queries name nothing but ids: embedded objects are no rows.
	ownersOnly bool
	// aggregated queries have one row for all objects.
	aggregated bool
	// required are the properties that an object must have to be a row.
	required []string
	// nullable are the properties that may be missing, and then are null.
	nullable map[string]bool
	// shown are the properties whose values are all constructed, although
	// filters select some: the where clause names them by themselves.
	shown   map[string]bool
	absent  []string
	ids     []*binary // id = constant
	filters []filter
	rest    []expr // conditions on the row as a whole
}

// filter is prop = constant, or prop != constant: it selects values.
type filter struct {
	at      int
	prop    string
	value   expr // a literal or a bind variable
	negated bool
}

func (p *parser) newPlan(c *construct) (*plan, error) {
	pl := &plan{nullable: map[string]bool{}, shown: map[string]bool{}}
	if err := p.checkConstruct(c, pl); err != nil {
		return nil, err
	}
	if c.where != nil {
		if err := p.conjuncts(c.where, pl); err != nil {
			return nil, err
		}
	}
	pl.properties(c)
	return pl, nil
}

// checkConstruct refuses combinations that have no meaning yet.
func (p *parser) checkConstruct(c *construct, pl *plan) error {
	for _, key := range c.orderBy {
		switch key.value.(type) {
		case *propRef, *idRef:
		default:
			return p.unsupported(key.value.place(), "ordering by an expression")
		}
	}
	if c.groupBy != nil {
		if _, ok := c.groupBy.(*propRef); !ok {
			return p.unsupported(c.groupBy.place(), "grouping by anything but a property")
		}
	}
	if err := p.checkWhere(c.where); err != nil {
		return err
	}
	return p.checkItems(c, pl)
}

func (p *parser) checkWhere(where expr) (err error) {
	walk(where, func(e expr) bool {
		if fn, ok := e.(*call); ok && aggregates[fn.name] {
			err = p.fail(e.place(), "use it in the construct", "%s has no meaning in a where clause", fn.name)
		}
		return err == nil
	})
	return err
}

// checkItems finds out whether the query aggregates, and that aggregates and
// single objects do not stand side by side.
func (p *parser) checkItems(c *construct, pl *plan) error {
	single := -1 // where an item is that has a value for each object
	for _, it := range c.items {
		each, err := p.checkItem(c, it, pl)
		if err != nil {
			return err
		}
		if each {
			single = it.at
		}
	}
	if pl.aggregated && c.groupBy == nil && single >= 0 {
		return p.unsupported(single, "values of single objects beside aggregates, without group by")
	}
	pl.aggregated = pl.aggregated && c.groupBy == nil
	pl.constant = single < 0 && !pl.aggregated && c.groupBy == nil && !mentionsObject(c.where)
	if pl.aggregated && len(c.orderBy) > 0 {
		return p.unsupported(c.orderBy[0].value.place(), "ordering a single row")
	}
	return nil
}

func (p *parser) checkItem(c *construct, it item, pl *plan) (each bool, err error) {
	if it.star && c.groupBy != nil {
		return false, p.unsupported(it.at, `"*" with group by`)
	}
	each = it.star
	visit := func(e expr) bool {
		switch e := e.(type) {
		case *call:
			if !aggregates[e.name] {
				return true
			}
			pl.aggregated = true
			err = p.checkAggregate(e)
			return false
		case *idRef, *wholeObject:
			each = true
			if c.groupBy != nil {
				err = p.unsupported(e.place(), "the id of an object with group by")
			}
		case *propRef:
			each = true
		}
		return err == nil
	}
	walk(it.key, visit)
	if err == nil {
		walk(it.value, visit)
	}
	return each, err
}

func (p *parser) checkAggregate(c *call) error {
	if c.star {
		return nil
	}
	if _, ok := withoutMaybe(c.args[0]).(*propRef); !ok {
		return p.unsupported(c.args[0].place(), "the "+c.name+" of anything but a property")
	}
	return nil
}

func withoutMaybe(e expr) expr {
	if m, ok := e.(*maybe); ok {
		return m.inner
	}
	return e
}

// mentionsObject reports whether an expression depends on the object of a row.
func mentionsObject(e expr) (found bool) {
	walk(e, func(e expr) bool {
		switch e.(type) {
		case *propRef, *idRef, *wholeObject:
			found = true
		}
		return !found
	})
	return found
}

// conjuncts sorts the parts of a where clause, which must all hold.
func (p *parser) conjuncts(e expr, pl *plan) error {
	switch e := e.(type) {
	case *binary:
		return p.binaryConjunct(e, pl)
	case *propRef:
		pl.shown[e.name] = true
		pl.required = append(pl.required, e.name)
		return nil
	case *maybe:
		prop, ok := e.inner.(*propRef)
		if !ok {
			return p.unsupported(e.at, "maybe on anything but a property")
		}
		pl.nullable[prop.name] = true
		return nil
	case *not:
		return p.negatedConjunct(e, pl)
	}
	pl.rest = append(pl.rest, e)
	return p.checkMaybes(e, pl)
}

func (p *parser) binaryConjunct(e *binary, pl *plan) error {
	switch {
	case e.op == "and":
		if err := p.conjuncts(e.left, pl); err != nil {
			return err
		}
		return p.conjuncts(e.right, pl)
	case e.op == "or":
		return p.unsupported(e.at, "or in a where clause")
	case e.op != "=" && e.op != "!=":
	case isID(e.left) && isConstant(e.right) || isConstant(e.left) && isID(e.right):
		if e.op == "=" {
			pl.ids = append(pl.ids, e)
			return nil
		}
	default:
		if f, ok := newFilter(e); ok {
			pl.filters = append(pl.filters, f)
			return p.checkMaybes(e, pl)
		}
	}
	pl.rest = append(pl.rest, e)
	return p.checkMaybes(e, pl)
}

func isID(e expr) bool {
	_, ok := e.(*idRef)
	return ok
}

func isConstant(e expr) bool {
	switch e.(type) {
	case *literal, *bindVar:
		return true
	default:
		return false
	}
}

func newFilter(e *binary) (filter, bool) {
	prop, value := withoutMaybe(e.left), e.right
	if isConstant(prop) {
		prop, value = withoutMaybe(e.right), e.left
	}
	ref, ok := prop.(*propRef)
	if !ok || !isConstant(value) {
		return filter{}, false
	}
	return filter{at: e.at, prop: ref.name, value: value, negated: e.op == "!="}, true
}

// negatedConjunct turns "not x" into the condition it means, where there is one.
func (p *parser) negatedConjunct(e *not, pl *plan) error {
	switch inner := e.inner.(type) {
	case *not:
		return p.conjuncts(inner.inner, pl)
	case *propRef:
		pl.absent = append(pl.absent, inner.name)
		return nil
	case *maybe:
		return p.unsupported(inner.at, "maybe under not")
	case *membership:
		flipped := *inner
		flipped.not = !inner.not
		return p.conjuncts(&flipped, pl)
	case *binary:
		switch inner.op {
		case "and", "or":
			return p.unsupported(e.at, "not before and, or")
		case "=":
			return p.binaryConjunct(&binary{inner.node, "!=", inner.left, inner.right}, pl)
		case "!=":
			return p.binaryConjunct(&binary{inner.node, "=", inner.left, inner.right}, pl)
		}
	}
	pl.rest = append(pl.rest, e)
	return p.checkMaybes(e, pl)
}

// checkMaybes notes the properties under maybe inside a condition.
func (p *parser) checkMaybes(e expr, pl *plan) (err error) {
	walk(e, func(e expr) bool {
		m, ok := e.(*maybe)
		if !ok {
			return err == nil
		}
		prop, isProp := m.inner.(*propRef)
		if !isProp {
			err = p.unsupported(m.at, "maybe on anything but a property")
			return false
		}
		pl.nullable[prop.name] = true
		return false
	})
	return err
}

// properties decides which properties an object must have: those that the query
// names, unless it names them under maybe anywhere; and those that stand as
// conditions by themselves in any case.
func (pl *plan) properties(c *construct) {
	named := map[string]bool{}
	for _, it := range c.items {
		pl.note(it.key, named)
		pl.note(it.value, named)
	}
	for _, e := range pl.rest {
		pl.note(e, named)
	}
	for _, f := range pl.filters {
		named[f.prop] = true
	}
	for name := range named {
		if !pl.nullable[name] {
			pl.required = append(pl.required, name)
		}
	}
	if key, ok := c.groupBy.(*propRef); ok {
		pl.required = append(pl.required, key.name)
	}
	slices.Sort(pl.required)
	pl.required = slices.Compact(pl.required)
	for _, name := range pl.required {
		delete(pl.nullable, name)
	}
	pl.ownersOnly = c.where == nil && len(pl.required) == 0 && len(pl.nullable) == 0
}

// note records the properties in an expression, under maybe or plain.
func (pl *plan) note(e expr, plain map[string]bool) {
	walk(e, func(e expr) bool {
		switch e := e.(type) {
		case *maybe:
			if prop, ok := e.inner.(*propRef); ok {
				pl.nullable[prop.name] = true
				return false
			}
		case *propRef:
			plain[e.name] = true
		}
		return true
	})
}
