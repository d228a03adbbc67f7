package jsonql

import (
	"cmp"
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
		if v := m.property(name); !v.isNull() || len(m.own[name]) > 0 {
			all = append(all, v.members()...)
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
	if c.star {
		members := make([]value, len(g.members))
		for i, m := range g.members {
			members[i] = m.id()
		}
		return g.run.total(c, members)
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
			values = append(values, v.members()...)
		}
	}
	return g.run.total(c, values)
}

// distinct returns the different values of a property over objects, in order,
// with the objects that have each.
func distinct(objects []*object, name string) []*group {
	var out []*group
	for _, o := range objects {
		for _, v := range o.property(name).members() {
			at, known := slices.BinarySearchFunc(out, v, func(g *group, v value) int {
				// 1 and 1.0 are equal in conditions, but two values.
				return cmp.Or(compare(g.keyValue, v), g.keyValue.term.Compare(v.term))
			})
			if !known {
				out = slices.Insert(out, at, &group{run: o.run, key: name, keyValue: v})
			}
			out[at].members = append(out[at].members, o)
		}
	}
	return out
}

// collect returns all objects that are rows, with what an aggregate needs.
func (r *run) collect(c *construct) ([]*object, error) {
	needed := neededProperties(c)
	var all []*object
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

// only returns the object without anything but some of its properties.
func (o *object) only(properties map[string]bool) *object {
	small := &object{run: o.run, subject: o.subject, own: map[string][]statement.Statement{}}
	for name := range properties {
		if values := o.values(name); len(values) > 0 {
			small.own[name] = values
		}
	}
	return small
}

// neededProperties are those that a row about several objects is made of.
func neededProperties(c *construct) map[string]bool {
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
	return needed
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
