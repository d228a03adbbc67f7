package pjson

import "bytes"

type kind uint8

const (
	kindObject kind = iota
	kindArray
	kindString
	kindNumber
	kindBool
	kindNull
)

var kindNames = [...]string{"an object", "a list", "a string", "a number", "true or false", "null"}

// String returns the word for the kind that messages use.
func (k kind) String() string { return kindNames[k] }

// node is one JSON value with its place in the text. A tree is needed, and not
// a stream, because the members that say how to read an object (its id,
// namemap and context) may come after those they apply to.
type node struct {
	kind    kind
	at      int
	text    string // the string, the number as written, "true" or "false"
	items   []node
	members []member
}

type member struct {
	key   string
	at    int
	value node
}

func (n *node) member(key string) *member {
	for i := range n.members {
		if n.members[i].key == key {
			return &n.members[i]
		}
	}
	return nil
}

// same reports whether two values are equal as JSON, in any order of members.
func (n *node) same(o *node) bool {
	if n.kind != o.kind || n.text != o.text || len(n.items) != len(o.items) || len(n.members) != len(o.members) {
		return false
	}
	for i := range n.items {
		if !n.items[i].same(&o.items[i]) {
			return false
		}
	}
	for i := range n.members {
		other := o.member(n.members[i].key)
		if other == nil || !n.members[i].value.same(&other.value) {
			return false
		}
	}
	return true
}

// appendJSON appends the value as compact JSON, members in their order.
func (n *node) appendJSON(dst []byte) []byte {
	switch n.kind {
	case kindString:
		return appendString(dst, n.text)
	case kindArray:
		dst = append(dst, '[')
		for i := range n.items {
			dst = append(n.items[i].appendJSON(dst), ',')
		}
		return append(bytes.TrimSuffix(dst, []byte(",")), ']')
	case kindObject:
		dst = append(dst, '{')
		for i := range n.members {
			dst = append(appendString(dst, n.members[i].key), ':')
			dst = append(n.members[i].value.appendJSON(dst), ',')
		}
		return append(bytes.TrimSuffix(dst, []byte(",")), '}')
	case kindNull:
		return append(dst, "null"...)
	default:
		return append(dst, n.text...)
	}
}
