package jsonql

import (
	"cmp"
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/statement"
)

// group is the scope of an aggregate or of "group by": several objects. A
// property has the values of all of them.
type group struct {
	run     *run
	members []*object
	// key and keyValue are the property that the members agree in, when the
	// group comes from "group by".
	key      string
	keyValue value
}

func (g *group) property(name string) value {
	if g.keyed() && name == g.key {
		return g.keyValue
	}
	var all []value
	for _, m := range g.members {
		if v := m.property(name); !v.IsNull() || len(m.own.of(name)) > 0 {
			all = append(all, v.Members()...)
		}
	}
	switch len(all) {
	case 0:
		return null
	case 1:
		return all[0]
	}
	return listValue(all)
}

func (g *group) keyed() bool { return g.key != "" }

func (g *group) id() value { return null }

// aggregate computes over the values of all members. Under "group by", min,
// max and count look at members instead, each with its one value or its list.
func (g *group) aggregate(c *call) (value, error) {
	if c.star { // each has an id
		t, err := statement.FromValue(len(g.members))
		return termValue(t), err
	}
	name := withoutMaybe(c.args[0]).(*propRef).name
	perMember := g.keyed() && c.name != "sum" && c.name != "avg" && c.name != "total"
	var values []value
	for _, m := range g.members {
		v := m.property(name)
		if g.keyed() && name == g.key {
			v = g.keyValue
		}
		if perMember {
			values = append(values, v)
		} else {
			values = append(values, v.Members()...)
		}
	}
	return g.run.total(c, values)
}

// distinct returns the different values of a property over objects, in order,
// with the objects that have each. 1 and 1.0 are equal in conditions, but two
// values.
func distinct(objects []*object, name string) []*group {
	var out []*group
	known := map[statement.Term]*group{}
	for _, o := range objects {
		for _, s := range o.own.of(name) {
			g := known[s.Term]
			if g == nil {
				g = &group{run: o.run, key: name, keyValue: termValue(s.Term)}
				known[s.Term] = g
				out = append(out, g)
			}
			g.members = append(g.members, o)
		}
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(compare(a.keyValue, b.keyValue), a.keyValue.Term.Compare(b.keyValue.Term))
	})
	return out
}

// collect returns all objects that are rows, with what an aggregate needs.
func (r *run) collect(c *construct) ([]*object, error) {
	needed := neededProperties(c)
	var all []*object
	r.readFor(c, true)
	err := r.matches(func(o *object) (bool, error) {
		small := o.only(needed)
		all = append(all, small)
		if err := r.hold(small.size()); err != nil {
			return false, err
		}
		return true, r.tooManyObjects(len(all))
	})
	return all, err
}

// only returns the object without anything but some of its properties, in order
// of their names.
func (o *object) only(properties []string) *object {
	small := &object{run: o.run, subject: o.subject}
	for _, name := range properties {
		list := o.values(name)
		if small.own == nil && o.tree.part {
			small.own = slices.Clip(list) // all of it will be used
			continue
		}
		small.own = append(small.own, list...)
	}
	return small
}

// neededProperties are those that a row about several objects is made of.
func neededProperties(c *construct) []string {
	needed := map[string]bool{}
	note := func(e expr) bool {
		if p, ok := e.(*propRef); ok {
			needed[p.name] = true
		}
		return true
	}
	for _, it := range c.items {
		walk(it.key, note)
		walk(it.value, note)
	}
	for _, k := range c.orderBy {
		walk(k.value, note)
	}
	walk(c.groupBy, note)
	return slices.Sorted(maps.Keys(needed))
}

// aggregatedRows makes the one row that is about all objects.
func (r *run) aggregatedRows(c *construct) ([]row, error) {
	all, err := r.collect(c)
	if err != nil {
		return nil, err
	}
	made, err := r.make(c, &group{run: r, members: all}, nil)
	if err != nil {
		return nil, err
	}
	return cut([]row{{value: made}}, c.offset, c.limit), nil
}

// groupedRows makes a row for each value of the property to group by, in order
// of these values.
func (r *run) groupedRows(c *construct) ([]row, error) {
	all, err := r.collect(c)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, g := range distinct(all, c.groupBy.(*propRef).name) {
		made, err := r.make(c, g, nil)
		if err != nil {
			return nil, err
		}
		keys, err := r.sortKeys(c, g)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{keys: keys, value: made})
		if err := r.tooManyRows(len(rows)); err != nil {
			return nil, err
		}
	}
	order(rows, c.orderBy)
	return cut(rows, c.offset, c.limit), nil
}
