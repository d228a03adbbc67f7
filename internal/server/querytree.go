package server

import (
	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// tree is a part of a query as printast shows it: "node" says what it is, and at
// which byte of the query it stands, "at".
type tree map[string]any

// queryTree returns a query as it was understood.
func queryTree(query string) (tree, error) {
	q, err := syntax.Parse(query)
	if err != nil {
		return nil, err
	}
	return constructTree(q.Root), nil
}

var shapeNames = map[syntax.Shape]string{syntax.Object: "object", syntax.List: "list", syntax.Value: "value"}

func constructTree(c *syntax.Construct) tree {
	t := tree{"node": "construct", "at": c.At, "shape": shapeNames[c.Shape], "items": each(c.Items, itemTree)}
	t.set("label", c.Label, c.Label != "")
	t.set("where", exprTree(c.Where), c.Where != nil)
	t.set("orderBy", each(c.OrderBy, func(k syntax.SortKey) tree { return tree{"value": exprTree(k.Value), "desc": k.Desc} }), len(c.OrderBy) > 0)
	t.set("groupBy", each(c.GroupBy, exprTree), len(c.GroupBy) > 0)
	t.set("limit", c.Limit, c.Limit >= 0)
	t.set("offset", c.Offset, c.Offset > 0)
	t.set("depth", c.Depth, c.Depth > 0)
	t.set("after", each(c.After, exprTree), len(c.After) > 0)
	t.set("mergeall", true, c.MergeAll)
	t.set("namemap", c.Namemap, c.Namemap != "")
	return t
}

func itemTree(i syntax.Item) tree {
	t := tree{"node": "item", "at": i.At}
	t.set("key", exprTree(i.Key), i.Key != nil)
	t.set("value", exprTree(i.Value), i.Value != nil)
	t.set("star", true, i.Star)
	t.set("forceList", true, i.ForceList)
	t.set("omitNull", true, i.OmitNull)
	return t
}

func (t tree) set(name string, value any, has bool) {
	if has {
		t[name] = value
	}
}

func each[T any](list []T, one func(T) tree) []tree {
	out := make([]tree, len(list))
	for i, v := range list {
		out[i] = one(v)
	}
	return out
}

// exprTree is nil for nil.
func exprTree(e syntax.Expr) tree {
	if e == nil {
		return nil
	}
	t := leafTree(e)
	if t == nil {
		t = branchTree(e)
	}
	t["at"] = e.Place()
	return t
}

// leafTree is nil for what has other expressions in it.
func leafTree(e syntax.Expr) tree {
	switch e := e.(type) {
	case *syntax.Literal:
		return tree{"node": "literal", "text": e.Term.Text, "type": e.Term.Type}
	case *syntax.BindVar:
		return tree{"node": "bindvar", "name": e.Name}
	case *syntax.ID:
		return tree{"node": "id"}.labeled(e.Label)
	case *syntax.Label:
		return tree{"node": "label"}.labeled(e.Name)
	case *syntax.WholeObject:
		return tree{"node": "object"}
	case *syntax.Property:
		t := tree{"node": "property", "path": e.Path}.labeled(e.Label)
		t.set("endId", true, e.EndID)
		return t
	}
	return nil
}

func branchTree(e syntax.Expr) tree {
	inner := func() []tree { return each(syntax.Children(e), exprTree) }
	switch e := e.(type) {
	case *syntax.Maybe:
		return tree{"node": "maybe", "of": inner()}
	case *syntax.Not:
		return tree{"node": "not", "of": inner()}
	case *syntax.Negative:
		return tree{"node": "negative", "of": inner()}
	case *syntax.Binary:
		return tree{"node": e.Op, "of": inner()}
	case *syntax.Membership:
		return tree{"node": map[bool]string{false: "in", true: "not in"}[e.Negate], "of": inner()}
	case *syntax.Call:
		t := tree{"node": "call", "name": e.Name, "of": inner()}
		t.set("star", true, e.Star)
		return t
	case *syntax.FilterSet:
		t := tree{"node": "filter"}.labeled(e.Label)
		t.set("where", exprTree(e.Where), e.Where != nil)
		return t
	case *syntax.Nested:
		return constructTree(e.Construct)
	}
	return tree{"node": "unknown"}
}

func (t tree) labeled(label string) tree {
	t.set("label", label, label != "")
	return t
}
