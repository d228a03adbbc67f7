package eval

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// maker makes the rows of one construct.
type maker struct {
	run    *Run
	block  *resolve.Block
	writer *pjson.Writer
	// star says that rows show all properties; more is how many the last did.
	star bool
	more int
	// plain says that rows can be written part by part, those of objects by keys,
	// which are those of the items that are not "*".
	plain bool
	keys  []string
}

func (m *maker) row(s *Scope) (any, error) {
	switch m.block.Shape {
	case resolve.Object:
		return m.object(s)
	case resolve.List:
		return m.list(s)
	default:
		return m.item(m.block.Items[0], s)
	}
}

// main returns the one object that a row is about, or nil.
func (m *maker) main(s *Scope) *Object {
	if s.grouped || m.block.Main == resolve.NoSet || len(s.list) == 0 {
		return nil
	}
	return s.list[0][m.block.Main]
}

func (m *maker) object(s *Scope) (any, error) {
	out := make(pjson.Map, 0, len(m.block.Items)+m.more)
	for _, it := range m.block.Items {
		if it.Star {
			continue
		}
		key, err := m.key(it, s)
		if err != nil {
			return nil, err
		}
		v, err := m.item(it, s)
		if err != nil {
			return nil, err
		}
		if key != "" && (v != nil || !it.OmitNull) {
			out.Set(key, v)
		}
	}
	if o := m.main(s); o != nil {
		return m.addStar(out, o)
	}
	return out, nil
}

// addStar adds what "*" stands for: the id first, if it is to be seen, then
// every property that the row does not have yet.
func (m *maker) addStar(out pjson.Map, o *Object) (any, error) {
	forUpdate := m.run.ForUpdate
	if !m.star && !forUpdate {
		return out, nil
	}
	if _, has := out.Get("id"); !has && (forUpdate || m.star && !statement.IsHidden(o.subject)) {
		out = slices.Insert(out, 0, pjson.Member{Key: "id", Value: m.writer.ID(o.subject)})
	}
	if !m.star {
		return out, nil
	}
	defer func() { m.more = len(out) }()
	for name, list := range o.own.properties() {
		key := m.writer.Key(name)
		if _, has := out.Get(key); has {
			continue
		}
		v, err := m.property(list, o.tree, m.block.Depth, &trail{subject: o.subject})
		if err != nil {
			return nil, err
		}
		out.Set(key, v)
	}
	return out, nil
}

func (m *maker) list(s *Scope) (any, error) {
	out := make([]any, 0, len(m.block.Items))
	for _, it := range m.block.Items {
		if !it.Star {
			v, err := m.item(it, s)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			continue
		}
		o := m.main(s)
		if o == nil {
			continue
		}
		for _, list := range o.own.properties() {
			v, err := m.property(list, o.tree, m.block.Depth, &trail{subject: o.subject})
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// key returns the name of an item in its row; "" leaves the item out.
func (m *maker) key(it resolve.Item, s *Scope) (string, error) {
	if c, ok := it.Key.(*resolve.Const); ok && c.Term.Type == statement.TypeLiteral {
		return c.Term.Text, nil
	}
	v, err := m.run.computed(it.Key, s)
	switch {
	case err != nil || v.IsNull():
		return "", err
	case v.IsList:
		return "", m.run.Fail(it.Key, "the key has %d values, and a property has one name", len(v.List))
	}
	if text, ok := m.writer.Term(v.Term).(string); ok {
		return text, nil
	}
	return v.Term.Text, nil
}

func (m *maker) item(it resolve.Item, s *Scope) (any, error) {
	v, err := m.value(it.Value, s)
	if err != nil || !it.ForceList {
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

// value makes the JSON of an expression. A property by itself keeps the order
// of its list; anything computed has none.
func (m *maker) value(e resolve.Expr, s *Scope) (any, error) {
	switch e := e.(type) {
	case *resolve.Prop:
		if !s.grouped && len(e.Path) == 1 && !e.EndID {
			return m.properties(e, s)
		}
	case *resolve.ID:
		if !s.grouped {
			return m.ids(e, s)
		}
	case *resolve.Whole:
		o := m.main(s)
		if o == nil {
			return nil, m.run.Fail(e, `"*" has no meaning here`)
		}
		// The object itself is one level below its own row.
		return m.expand(statement.Reference(o.subject), o.tree, m.block.Depth+1, nil)
	case *resolve.Nested:
		return m.nested(e.Block, s)
	}
	v, err := m.run.computed(e, s)
	if err != nil {
		return nil, err
	}
	return m.write(v)
}

// computed evaluates an expression: of a group, for each of its members.
func (r *Run) computed(e resolve.Expr, s *Scope) (value.Value, error) {
	if !s.grouped || resolve.HasAggregate(e) || s.aboutKeys(e) {
		return r.Eval(e, s)
	}
	if t := s.totals[e]; t != nil {
		return one(t.list), nil
	}
	var list []value.Value
	for _, member := range s.members(e) {
		v, err := r.Eval(e, member)
		if err != nil {
			return value.Null, err
		}
		if !v.IsNull() || !isMissing(e, member) {
			list = append(list, v.Members()...)
		}
	}
	return one(list), nil
}

// isMissing reports whether a plain property has no value at all.
func isMissing(e resolve.Expr, s *Scope) bool {
	p, ok := e.(*resolve.Prop)
	if !ok {
		return false
	}
	for _, o := range s.objects(p.Set, p.Up) {
		if len(o.own.of(p.Path[0])) > 0 {
			return false
		}
	}
	return true
}

func (m *maker) properties(e *resolve.Prop, s *Scope) (any, error) {
	if o, single := s.only(e.Set, e.Up); single {
		if o == nil {
			return nil, nil
		}
		return m.property(o.values(e.Path[0]), o.tree, m.block.Depth, &trail{subject: o.subject})
	}
	objects := s.objects(e.Set, e.Up)
	if len(objects) == 1 {
		return m.property(objects[0].values(e.Path[0]), objects[0].tree, m.block.Depth, &trail{subject: objects[0].subject})
	}
	var out []any
	for _, o := range objects {
		v, err := m.property(o.values(e.Path[0]), o.tree, m.block.Depth, &trail{subject: o.subject})
		if err != nil {
			return nil, err
		}
		if list, ok := v.([]any); ok {
			out = append(out, list...)
		} else if v != nil {
			out = append(out, v)
		}
	}
	return single(out), nil
}

func (m *maker) ids(e *resolve.ID, s *Scope) (any, error) {
	if o, single := s.only(e.Set, e.Up); single {
		if o == nil {
			return nil, nil
		}
		return m.writer.ID(o.subject), m.run.count(1)
	}
	var out []any
	for _, o := range s.objects(e.Set, e.Up) {
		out = append(out, m.writer.ID(o.subject))
	}
	return single(out), m.run.count(len(out))
}

// single returns nil, the only value, or the list of values.
func single(list []any) any {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

func (m *maker) nested(b *resolve.Block, s *Scope) (any, error) {
	var rows []any
	var err error
	if b.Own {
		rows, err = m.run.Independent(b)
	} else {
		rows, err = m.run.Collected(b, s.list)
	}
	if err != nil {
		return nil, err
	}
	return single(rows), m.run.count(len(rows))
}

func (m *maker) write(v value.Value) (any, error) {
	if !v.IsList {
		return m.expand(v.Term, nil, m.block.Depth, nil)
	}
	out := []any{}
	for _, member := range v.List {
		made, err := m.write(member)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}

// trail has the subjects that are being written around a value, so that
// references in a circle end; nil is none.
type trail struct {
	subject string
	around  *trail
}

func (t *trail) has(subject string) bool {
	for ; t != nil; t = t.around {
		if t.subject == subject {
			return true
		}
	}
	return false
}

func (m *maker) property(list []statement.Statement, in *Tree, depth int, t *trail) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	ordered, isList := statement.InOrder(list)
	if !isList {
		return m.expand(ordered[0].Term, in, depth, t)
	}
	return m.values(ordered, in, depth, t)
}

func (m *maker) values(list []statement.Statement, in *Tree, depth int, t *trail) ([]any, error) {
	out := make([]any, 0, len(list))
	for _, s := range list {
		v, err := m.expand(s.Term, in, depth, t)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// expand writes a term. Lists in lists and anonymous objects are always
// written in place of the reference to them, other objects as deep as asked.
func (m *maker) expand(term statement.Term, in *Tree, depth int, t *trail) (any, error) {
	if err := m.run.made(term.Text); err != nil {
		return nil, err
	}
	id := term.Text
	anonymous := statement.IsAnonymous(id)
	if !term.IsRef() || term == statement.EmptyList() || t.has(id) || !anonymous && depth <= 0 {
		return m.writer.Term(term), nil
	}
	own, in, err := m.run.factsOf(id, in)
	if err != nil {
		return nil, err
	}
	if statement.IsList(id) {
		items, _ := statement.InOrder(own.of(statement.ListItem))
		return m.values(items, in, depth, &trail{id, t})
	}
	if !anonymous {
		depth--
	}
	out := pjson.Map{}
	if !statement.IsHidden(id) || m.run.ForUpdate {
		out.Set("id", m.writer.ID(id))
	}
	for name, list := range own.properties() {
		v, err := m.property(list, in, depth, &trail{id, t})
		if err != nil {
			return nil, err
		}
		out.Set(m.writer.Key(name), v)
	}
	return out, nil
}
