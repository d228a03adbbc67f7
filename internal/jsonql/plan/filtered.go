package plan

import (
	"fmt"
	"hash/maphash"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/statement"
)

// What is held of each costs so much besides its text.
const (
	stringBytes = 16
	entryBytes  = 24
)

// filtered: a condition on one property is tried on the values of the index.
func (c *chooser) filtered(set *resolve.Set, cond resolve.Expr, matters float64) (access, bool) {
	postings, ok := c.run.Source().(source.PostingSource)
	name, single := onlyProperty(cond)
	if !ok || !single || set.Nullable[name] || !slices.Contains(set.Required, name) && !asksFor(cond, name) {
		return access{}, false
	}
	rows := c.est.countHaving(name, matters)
	return access{
		op: opFiltered, detail: textOf(cond, c.env), rows: max(rows, keptOf) / keptOf, cost: rows*costEntry + rows/keptOf*costObject,
		find: func(visit visitor) error { return c.tried(postings, set, name, cond, visit) },
	}, true
}

// asksFor reports whether a condition holds for no object without the property.
func asksFor(cond resolve.Expr, name string) bool {
	switch e := cond.(type) {
	case *resolve.Call:
		return e.Name == "exists" && isProperty(e.Args[0], name)
	case *resolve.Binary:
		switch e.Op {
		case "and":
			return asksFor(e.Left, name) || asksFor(e.Right, name)
		case "or":
			return asksFor(e.Left, name) && asksFor(e.Right, name)
		}
	}
	return false
}

// onlyProperty returns the property of a condition on the values of one.
func onlyProperty(cond resolve.Expr) (name string, single bool) {
	single = true
	resolve.Walk(cond, func(e resolve.Expr) bool {
		switch e := e.(type) {
		case *resolve.Prop:
			single = single && (name == "" || name == e.Path[0]) && len(e.Path) == 1 && !e.EndID && !e.Maybe && e.Up == 0
			name = e.Path[0]
		case *resolve.Call:
			single = single && e.Name != "follow" && e.Name != "rfollow" && !syntax.IsRevision(e.Name) // which are about the object
		case *resolve.Const, *resolve.Bind, *resolve.Binary, *resolve.Not, *resolve.In:
		default:
			single = false
		}
		return single
	})
	return name, single && name != ""
}

// tried finds the subjects with a value for which the condition holds, and
// those with several values, of which the condition may hold together. It
// remembers the others by a number: if two have the same, one too many is
// looked at. What fails on a value is left to fail on the object.
func (c *chooser) tried(postings source.PostingSource, set *resolve.Set, name string, cond resolve.Expr, visit visitor) error {
	var found []string
	held := 0
	defer func() { _ = c.run.Hold(-held) }()
	seed, once := maphash.MakeSeed(), map[uint64]struct{}{}
	probe := c.run.NewProbe(c.env, set, name)
	for p, err := range postings.Postings(name) {
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", statement.Excerpt(name), err)
		}
		if err := c.run.Looked(); err != nil {
			return err
		}
		key := maphash.String(seed, p.Subject)
		_, several := once[key]
		if p.Cut || several || probe.MayHold(cond, p.Term) {
			found = append(found, p.Subject)
			held += len(p.Subject) + stringBytes
			if err := c.run.Hold(len(p.Subject) + stringBytes); err != nil {
				return err
			}
			continue
		}
		held += entryBytes
		if err := c.run.Hold(entryBytes); err != nil {
			return err
		}
		once[key] = struct{}{}
	}
	return eachOf(inOrder(found), visit)
}
