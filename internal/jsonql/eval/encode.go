package eval

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// Most rows are of plain parts: properties and ids by constant names. This file
// writes them as JSON without making values first. What it writes is what
// pjson.AppendJSON writes of what construct.go makes.

// AppendMade appends a row that is made as JSON, and gives up soon after dst has
// become longer than limit.
func AppendMade(dst []byte, row any, limit int) []byte {
	dst, _ = pjson.AppendJSONWithin(dst, row, limit)
	return dst
}

// AppendRow appends a row as JSON, and gives up soon after dst has become longer
// than limit.
func (r *Run) AppendRow(dst []byte, b *resolve.Block, s *Scope, limit int) ([]byte, error) {
	m, err := r.makerOf(b)
	if err != nil {
		return dst, err
	}
	r.begin()
	defer r.end()
	if !m.plain {
		row, err := m.row(s)
		if err != nil {
			return dst, err
		}
		return AppendMade(dst, row, limit), nil
	}
	e := encoder{maker: m, dst: dst, limit: limit}
	switch b.Shape {
	case resolve.Object:
		err = e.object(s)
	case resolve.List:
		err = e.list(s)
	default:
		err = e.item(b.Items[0], s)
	}
	return e.dst, err
}

// isPlain reports whether the rows of a construct can be written part by part: no
// part decides about another one.
func (m *maker) isPlain() bool {
	if m.block.Shape != resolve.Object {
		return true
	}
	if m.star && m.block.Namemap != "" {
		return false // two properties may have one key
	}
	var keys []string
	for _, it := range m.block.Items {
		if it.Star {
			continue
		}
		c, ok := it.Key.(*resolve.Const)
		if !ok || c.Term.Type != statement.TypeLiteral || c.Term.Text == "" || it.OmitNull || slices.Contains(keys, c.Term.Text) {
			return false
		}
		keys = append(keys, c.Term.Text)
	}
	m.keys = keys
	return true
}

// encoder writes one row.
type encoder struct {
	*maker
	dst   []byte
	limit int
	parts int
}

// next begins the next part of an object or a list.
func (e *encoder) next() {
	if e.parts++; e.parts > 1 {
		e.dst = append(e.dst, ',')
	}
}

func (e *encoder) key(name string) {
	e.next()
	e.dst = append(pjson.AppendString(e.dst, name), ':')
}

func (e *encoder) full() bool { return len(e.dst) > e.limit }

func (e *encoder) object(s *Scope) error {
	e.dst = append(e.dst, '{')
	o := e.main(s)
	if o != nil && e.showsID(o) {
		e.key("id")
		e.dst = e.writer.AppendID(e.dst, o.subject)
	}
	n := 0
	for i := range e.block.Items {
		it := &e.block.Items[i]
		if it.Star {
			continue
		}
		e.key(e.keys[n])
		n++
		if err := e.item(*it, s); err != nil || e.full() {
			return err
		}
	}
	if o != nil && e.star {
		if err := e.properties(o); err != nil || e.full() {
			return err
		}
	}
	e.dst = append(e.dst, '}')
	return nil
}

// showsID reports whether a row begins with the id of its object.
func (m *maker) showsID(o *Object) bool {
	return (m.run.ForUpdate || m.star && !statement.IsHidden(o.subject)) && !slices.Contains(m.keys, "id")
}

// properties writes those that the row does not have yet.
func (e *encoder) properties(o *Object) error {
	list := o.own
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Predicate == list[0].Predicate {
			n++
		}
		key := e.writer.Key(list[0].Predicate)
		if !slices.Contains(e.keys, key) {
			e.key(key)
			if err := e.property(list[:n:n], o); err != nil || e.full() {
				return err
			}
		}
		list = list[n:]
	}
	return nil
}

func (e *encoder) list(s *Scope) error {
	e.dst = append(e.dst, '[')
	for i := range e.block.Items {
		it := &e.block.Items[i]
		if !it.Star {
			e.next()
			if err := e.item(*it, s); err != nil || e.full() {
				return err
			}
			continue
		}
		o := e.main(s)
		if o == nil {
			continue
		}
		for _, list := range o.own.properties() {
			e.next()
			if err := e.property(list, o); err != nil || e.full() {
				return err
			}
		}
	}
	e.dst = append(e.dst, ']')
	return nil
}

// item writes the value of a part: at once if it is the property or the id of one
// object.
func (e *encoder) item(it resolve.Item, s *Scope) error {
	if !s.grouped && !it.ForceList {
		switch v := it.Value.(type) {
		case *resolve.Prop:
			if o, single := s.only(v.Set, v.Up); single && len(v.Path) == 1 && !v.EndID {
				if o == nil {
					e.dst = append(e.dst, "null"...)
					return nil
				}
				return e.property(o.values(v.Path[0]), o)
			}
		case *resolve.ID:
			if o, single := s.only(v.Set, v.Up); single && o != nil {
				e.dst = e.writer.AppendID(e.dst, o.subject)
				return e.run.count(1)
			}
		}
	}
	made, err := e.maker.item(it, s)
	if err == nil {
		e.dst = AppendMade(e.dst, made, e.limit)
	}
	return err
}

func (e *encoder) property(list []statement.Statement, o *Object) error {
	if len(list) == 0 {
		e.dst = append(e.dst, "null"...)
		return nil
	}
	ordered, isList := statement.InOrder(list)
	if !isList {
		return e.term(ordered[0].Term, o)
	}
	e.dst = append(e.dst, '[')
	for i := range ordered {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if err := e.term(ordered[i].Term, o); err != nil || e.full() {
			return err
		}
	}
	e.dst = append(e.dst, ']')
	return nil
}

// term writes a value of an object: a reference by itself, or what it refers to.
func (e *encoder) term(t statement.Term, o *Object) error {
	if t.IsRef() && (e.block.Depth > 0 || statement.IsAnonymous(t.Text)) {
		made, err := e.expand(t, o.tree, e.block.Depth, &trail{subject: o.subject})
		if err == nil {
			e.dst = AppendMade(e.dst, made, e.limit)
		}
		return err
	}
	if err := e.run.made(t.Text); err != nil {
		return err
	}
	e.dst = e.writer.AppendTerm(e.dst, t)
	return nil
}
