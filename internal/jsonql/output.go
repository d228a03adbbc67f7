package jsonql

import (
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// make constructs a row. The scope gives the names in its expressions their
// meaning; o is the object of the row, nil for a row about none or several.
func (r *run) make(c *construct, s scope, o *object) (any, error) {
	switch c.shape {
	case shapeObject:
		return r.makeObject(c, s, o)
	case shapeList:
		return r.makeList(c, s, o)
	default:
		return r.itemValue(c, c.items[0], s, o)
	}
}

func (r *run) makeObject(c *construct, s scope, o *object) (any, error) {
	out := pjson.Map{}
	for _, it := range c.items {
		if it.star {
			continue
		}
		key, err := r.key(it, s)
		if err != nil {
			return nil, err
		}
		v, err := r.itemValue(c, it, s, o)
		if err != nil {
			return nil, err
		}
		if key != "" && (v != nil || !it.omitNull) {
			out.Set(key, v)
		}
	}
	if o == nil {
		return out, nil
	}
	return r.addStar(c, out, o)
}

// addStar adds what "*" stands for: the id first, if it is to be seen, then
// every property that the row does not have yet.
func (r *run) addStar(c *construct, out pjson.Map, o *object) (any, error) {
	star := slices.ContainsFunc(c.items, func(it item) bool { return it.star })
	visible := !statement.IsHidden(o.subject) || r.query.ForUpdate
	if _, has := out.Get("id"); !has && (star && visible || r.query.ForUpdate) {
		out = slices.Concat(pjson.Map{{Key: "id", Value: r.writer.ID(o.subject)}}, out)
	}
	if !star {
		return out, nil
	}
	for name, list := range o.own.properties() {
		key := r.writer.Key(name)
		if _, has := out.Get(key); has {
			continue
		}
		v, err := r.expandProperty(list, o.tree, c.depth, path{o.subject: true})
		if err != nil {
			return nil, err
		}
		out.Set(key, v)
	}
	return out, nil
}

func (r *run) makeList(c *construct, s scope, o *object) (any, error) {
	out := []any{}
	for _, it := range c.items {
		if it.star {
			all, err := r.allValues(c, o)
			if err != nil {
				return nil, err
			}
			out = append(out, all...)
			continue
		}
		v, err := r.itemValue(c, it, s, o)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// allValues is "*" in a list: the values of all properties in order of their names.
func (r *run) allValues(c *construct, o *object) ([]any, error) {
	var out []any
	for _, list := range o.own.properties() {
		v, err := r.expandProperty(list, o.tree, c.depth, path{o.subject: true})
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// key returns the name of an item in its row; "" leaves the item out.
func (r *run) key(it item, s scope) (string, error) {
	if l, ok := it.key.(*literal); ok && l.term.Type == statement.TypeLiteral {
		return l.term.Text, nil
	}
	v, err := r.eval(it.key, s)
	switch {
	case err != nil || v.IsNull():
		return "", err
	case v.IsList:
		return "", r.fail(it.key, "the key has %d values, and a property has one name", len(v.List))
	}
	if text, ok := r.writer.Term(v.Term).(string); ok {
		return text, nil
	}
	return v.Term.Text, nil
}

func (r *run) itemValue(c *construct, it item, s scope, o *object) (any, error) {
	v, err := r.construct(c, it.value, s, o)
	if err != nil || !it.forceList {
		return v, err
	}
	switch v := v.(type) {
	case nil:
		return []any{}, nil
	case []any:
		return v, nil
	default:
		return []any{v}, nil
	}
}

// construct makes the JSON of an expression. A property by itself keeps the
// order of its list; anything computed has none.
func (r *run) construct(c *construct, e expr, s scope, o *object) (any, error) {
	switch inner := withoutMaybe(e).(type) {
	case *propRef:
		if o != nil {
			return r.expandProperty(o.values(inner.name), o.tree, c.depth, path{o.subject: true})
		}
	case *idRef:
		if o != nil {
			return r.writer.ID(o.subject), r.count(1)
		}
	case *wholeObject:
		if o == nil {
			return nil, r.fail(e, `"*" has no meaning here`)
		}
		// The object itself is one level below its own row.
		return r.expand(statement.Reference(o.subject), o.tree, c.depth+1, path{})
	}
	v, err := r.eval(e, s)
	if err != nil {
		return nil, err
	}
	return r.write(v, o, c.depth)
}

func (r *run) write(v value, o *object, depth int) (any, error) {
	var t *tree
	if o != nil {
		t = o.tree
	}
	if !v.IsList {
		return r.expand(v.Term, t, depth, path{})
	}
	out := []any{}
	for _, m := range v.List {
		one, err := r.write(m, o, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// count notes that so many JSON values are made, and refuses too many.
func (r *run) count(n int) error {
	if r.values += n; r.values > r.limits.MaxValues {
		return &EvaluationError{Message: "the result is too large: ask for fewer rows, properties or a lower depth"}
	}
	return r.ctx.Err()
}

// path has the subjects that are being written around a value, so that
// references in a circle end.
type path map[string]bool

func (p path) with(subject string) path {
	out := maps.Clone(p)
	out[subject] = true
	return out
}

func (r *run) expandProperty(list []statement.Statement, t *tree, depth int, p path) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	ordered, isList := statement.InOrder(list)
	if !isList {
		return r.expand(ordered[0].Term, t, depth, p)
	}
	return r.expandList(ordered, t, depth, p)
}

func (r *run) expandList(list []statement.Statement, t *tree, depth int, p path) ([]any, error) {
	out := make([]any, 0, len(list))
	for _, s := range list {
		v, err := r.expand(s.Term, t, depth, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// expand writes a term. Lists in lists and anonymous objects are always
// written in place of the reference to them, other objects as deep as asked.
func (r *run) expand(term statement.Term, t *tree, depth int, p path) (any, error) {
	if err := r.count(1); err != nil {
		return nil, err
	}
	id := term.Text
	anonymous := statement.IsAnonymous(id)
	if !term.IsRef() || term == statement.EmptyList() || p[id] || !anonymous && depth <= 0 {
		return r.writer.Term(term), nil
	}
	own, t, err := r.properties(id, t)
	if err != nil {
		return nil, err
	}
	if statement.IsList(id) {
		items, _ := statement.InOrder(own.of(statement.ListItem))
		return r.expandList(items, t, depth, p.with(id))
	}
	if !anonymous {
		depth--
	}
	return r.expandObject(id, own, t, depth, p.with(id))
}

// properties returns what is known of a subject, and the tree it is in. One that
// is there in part is read anew.
func (r *run) properties(id string, t *tree) (facts, *tree, error) {
	if t != nil && !t.part {
		if own := t.of(id); len(own) > 0 {
			return own, t, nil
		}
	}
	t, err := r.wholeOf(statement.Root(id))
	if err != nil {
		return nil, nil, err
	}
	return t.of(id), t, nil
}

func (r *run) expandObject(id string, own facts, t *tree, depth int, p path) (any, error) {
	out := pjson.Map{}
	if !statement.IsHidden(id) || r.query.ForUpdate {
		out.Set("id", r.writer.ID(id))
	}
	for name, list := range own.properties() {
		v, err := r.expandProperty(list, t, depth, p)
		if err != nil {
			return nil, err
		}
		out.Set(r.writer.Key(name), v)
	}
	return out, nil
}
