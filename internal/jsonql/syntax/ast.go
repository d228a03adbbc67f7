// Package syntax reads the text of a jsonQL query into a tree (Parse). It knows
// the grammar of docs/jsonql.md and nothing of what names mean; package resolve
// does that. It does no I/O, never panics, and says of every fault where it is.
package syntax

import "vesperdb.io/vesper/internal/statement"

// Query is a parsed query. It is never changed after Parse.
type Query struct {
	// Text is the query as it was given; positions are byte offsets in it.
	Text string
	// Root is the outermost construct.
	Root *Construct
	// Skipped are complaints about characters that mean nothing and were left
	// out; the query still runs.
	Skipped []string
}

// Shape is the kind of brackets around a construct.
type Shape uint8

// The shapes of a row: {...}, [...], and (...), which is one bare value.
const (
	Object Shape = iota
	List
	Value
)

// Construct is the template of a row, with the operations that say which rows
// there are.
type Construct struct {
	// At is the byte offset of the opening bracket.
	At    int
	Shape Shape
	// Label names the row set of the construct, without "?"; empty without.
	Label string
	Items []Item
	// Where is nil without a condition.
	Where   Expr
	OrderBy []SortKey
	GroupBy []Expr
	// Limit is -1 without a limit; Offset and Depth are 0 without.
	Limit, Offset, Depth int
	// After are the values of the order's keys after which rows begin; nil
	// without. A single bind variable may stand for the list of them.
	After    []Expr
	MergeAll bool
	// Namemap is the JSON text of a namemap, "" without, at byte NamemapAt.
	Namemap   string
	NamemapAt int
}

// Item is one part of a row.
type Item struct {
	At int
	// Key is the name in the row; nil for a "*" that stands alone and in lists.
	Key Expr
	// Value is nil for a "*" that stands alone.
	Value Expr
	// Star is "*": every property of the object.
	Star      bool
	ForceList bool
	OmitNull  bool
}

// SortKey is one key of an order.
type SortKey struct {
	Value Expr
	Desc  bool
}

// Expr is a node of an expression; Place is its byte offset in the query.
type Expr interface{ Place() int }

// Pos is the place of a node.
type Pos struct{ At int }

// Place returns the byte offset of the node.
func (p Pos) Place() int { return p.At }

type (
	// Literal is a constant.
	Literal struct {
		Pos
		Term statement.Term
	}
	// BindVar is ":name".
	BindVar struct {
		Pos
		Name string
	}
	// ID is "id", or "?label.id".
	ID struct {
		Pos
		Label string
	}
	// Label is "?name": the id of the object of a row set.
	Label struct {
		Pos
		Name string
	}
	// WholeObject is "*" in the place of a value: the object of the row.
	WholeObject struct{ Pos }
	// Property is a property or a path of them: "a", "?label.a", "a.b". EndID
	// says that the path ends in ".id".
	Property struct {
		Pos
		Label string
		Path  []string
		EndID bool
	}
	// Maybe is "maybe x".
	Maybe struct {
		Pos
		Inner Expr
	}
	// Not is "not x".
	Not struct {
		Pos
		Inner Expr
	}
	// Negative is "-x".
	Negative struct {
		Pos
		Inner Expr
	}
	// Binary has an operator of: and or = != < <= > >= + - * / %.
	Binary struct {
		Pos
		Op          string
		Left, Right Expr
	}
	// Membership is "x in (a, b)", "x in y" or "x not in ...".
	Membership struct {
		Pos
		Value  Expr
		Set    []Expr
		Negate bool
	}
	// Call is a function call; Star is that of count(*).
	Call struct {
		Pos
		Name string
		Args []Expr
		Star bool
	}
	// FilterSet is "{?label condition}": the objects of another row set.
	FilterSet struct {
		Pos
		Label string
		// Where may be nil.
		Where Expr
	}
	// Nested is a construct in the place of a value.
	Nested struct {
		Pos
		Construct *Construct
	}
)

// Children returns the expressions directly inside e, but not those inside a
// filter set or a nested construct, whose names mean something else.
func Children(e Expr) []Expr {
	switch e := e.(type) {
	case *Maybe:
		return []Expr{e.Inner}
	case *Not:
		return []Expr{e.Inner}
	case *Negative:
		return []Expr{e.Inner}
	case *Binary:
		return []Expr{e.Left, e.Right}
	case *Membership:
		return append([]Expr{e.Value}, e.Set...)
	case *Call:
		return e.Args
	default:
		return nil
	}
}

// Walk calls visit for e and all inside it, as long as visit returns true.
func Walk(e Expr, visit func(Expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	for _, c := range Children(e) {
		Walk(c, visit)
	}
}
