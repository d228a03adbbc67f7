package pjson

import (
	"encoding/json"

	"vesperdb.io/vesper/internal/statement"
)

// term returns the value that a JSON value stands for, and its scope.
func (p *parser) term(v *node, f frame) (statement.Term, string, error) {
	switch v.kind {
	case kindObject:
		return p.objectTerm(v, f)
	case kindArray: // empty, or item would have been called
		return statement.EmptyList(), f.scope, nil
	case kindString:
		t, err := f.names.stringTerm(v.text)
		if err != nil {
			return t, "", faultf(v.at, "", "%v", err)
		}
		return t, f.scope, nil
	default:
	}
	t, err := scalar(v)
	return t, f.scope, err
}

// scalar types a value by its JSON kind alone.
func scalar(v *node) (statement.Term, error) {
	var value any
	switch v.kind {
	case kindString:
		value = v.text
	case kindNumber:
		value = json.Number(v.text)
	case kindBool:
		value = v.text == "true"
	case kindNull:
	default:
		return statement.Term{}, faultf(v.at, "leave out the datatype",
			`with datatype "json" a value must be a string, number, true, false or null, and this is %s`, v.kind)
	}
	t, err := statement.FromValue(value)
	if err != nil {
		return t, faultf(v.at, "", "%v", err)
	}
	return t, nil
}

func (p *parser) objectTerm(n *node, f frame) (statement.Term, string, error) {
	if p.isRef(n, f) {
		return p.refObject(n, f)
	}
	if typed := typedValue(n, f); typed != nil {
		return p.typedObject(n, typed, f)
	}
	id, err := p.object(n, f)
	return statement.Reference(id), f.scope, err
}

func (p *parser) isRef(n *node, f frame) bool {
	if n.member(f.names.ref) == nil {
		return false
	}
	if f.names.ref != f.names.id {
		return true
	}
	// The two names are one: an object with anything else has it as its id.
	return len(n.members) == 1 || len(n.members) == 2 && n.member(f.names.context) != nil
}

func (p *parser) refObject(n *node, f frame) (statement.Term, string, error) {
	ref := &n.member(f.names.ref).value
	inner, err := p.enter(n, f)
	if err != nil {
		return statement.Term{}, "", err
	}
	if ref.kind != kindString {
		return statement.Term{}, "", faultf(ref.at, "", "a reference must be a string, and this is %s", ref.kind)
	}
	for i := range n.members {
		if m := &n.members[i]; m.key != f.names.ref && m.key != f.names.context {
			return statement.Term{}, "", faultf(m.at, "give the object an id instead to set its properties",
				"an object with %q is a reference and cannot have %q", f.names.ref, m.key)
		}
	}
	id := f.names.parseID(ref.text)
	return statement.Reference(id), inner.scope, p.checkID(ref.at, id)
}

// typedValue returns the value of an object that stands for a typed value:
// {"datatype": T, "value": V}, perhaps with a context. Else it returns nil.
func typedValue(n *node, f frame) *node {
	value := n.member(keyValue)
	size := 2
	if n.member(f.names.context) != nil {
		size = 3
	}
	if value == nil || len(n.members) != size || n.member(f.names.datatype) == nil {
		return nil
	}
	return &value.value
}

func (p *parser) typedObject(n, value *node, f frame) (statement.Term, string, error) {
	none := statement.Term{}
	inner, err := p.enter(n, f)
	if err != nil {
		return none, "", err
	}
	datatype := &n.member(f.names.datatype).value
	if datatype.kind != kindString {
		return none, "", faultf(datatype.at, "", "a datatype must be a string, and this is %s", datatype.kind)
	}
	if datatype.text == datatypeJSON {
		t, err := scalar(value)
		return t, inner.scope, err
	}
	if value.kind != kindString {
		return none, "", faultf(value.at, "write the value in double quotes",
			"a value of datatype %q must be a string, and this is %s", datatype.text, value.kind)
	}
	t, err := statement.FromTyped(datatype.text, value.text)
	if err != nil {
		return none, "", faultf(datatype.at, "", "%v", err)
	}
	return t, inner.scope, nil
}
