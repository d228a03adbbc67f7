// Package resolve turns the tree of a query into the form that evaluators run:
// every name is tied to a row set, every condition to the sets it is about. It
// does no I/O and knows nothing of data.
//
// A query has one or more environments (Env). An environment is a flat join: a
// list of row sets, each ranging over the objects of the store, and conditions.
// A solution binds every set to one object so that all conditions hold. The
// solutions with equal Main objects make one row. A nested construct that
// shares sets with its parent, or is joined to it, belongs to the parent's
// environment; its rows are the solutions of the parent's row, by the nested
// Main.
package resolve

import "vesperdb.io/vesper/internal/statement"

// Query is a resolved query.
type Query struct {
	Text    string
	Skipped []string
	Env     *Env
	Root    *Block

	looks []Looks // by Set.Number
}

// SetID is the place of a row set in its environment's Sets.
type SetID int

// NoSet stands for no row set.
const NoSet SetID = -1

// Env is a flat join of row sets.
type Env struct {
	// Outer is the environment whose sets expressions may use besides, for a
	// sub-query; nil for the query itself.
	Outer *Env
	Sets  []*Set
	// Conds are the conditions about several sets, and those about one that
	// have no simpler form. All must hold; a missing value is null in them.
	Conds []Expr
}

// Set is a row set: the objects that satisfy all its fields.
type Set struct {
	// Label is the first name it has, or "".
	Label string
	// Required properties have a value; Absent ones have none.
	Required, Absent []string
	// Nullable properties may be missing, and are null then.
	Nullable map[string]bool
	// Shown properties are constructed with all their values, although filters
	// select some.
	Shown map[string]bool
	// Filters compare a property with a constant.
	Filters []Filter
	// IDs are constants that the object's id equals.
	IDs []Expr
	// OwnersOnly excludes embedded objects.
	OwnersOnly bool
	// Dangling says that the set may be bound to an id that has no object,
	// because all that is asked of it is to be referred to.
	Dangling bool
	// Optional is the place in Env.Conds of the condition of the outer join
	// that gives this set its objects, plus 1; 0 for an inner set.
	Optional int

	// Number is its place among the sets of all environments of the query that
	// anything is looked at of.
	Number int

	// named are the properties that conditions and constructs name: they are
	// required unless they are nullable too.
	named map[string]bool
}

// Filter is prop = constant, or prop != constant: it selects values.
type Filter struct {
	At      int
	Prop    string
	Value   Expr
	Negated bool
}

// Block is a construct: which rows, and what each looks like.
type Block struct {
	At    int
	Shape Shape
	Env   *Env
	// Own says that the block has an environment for itself: it is evaluated
	// apart from its parent.
	Own bool
	// Main is the set whose objects are the rows, NoSet when the block is about
	// none.
	Main                 SetID
	Items                []Item
	GroupBy              []Expr
	OrderBy              []SortKey
	After                []Expr
	Limit, Offset, Depth int
	MergeAll             bool
	// Aggregated blocks without GroupBy have one row for all solutions.
	Aggregated bool
	// Namemap is the JSON text of the namemap that rows are written with, "" for
	// none: its own, with what it does not say as the construct around has it.
	Namemap string

	expressions []Expr
}

// Shape is the kind of a row.
type Shape uint8

// The shapes of a row.
const (
	Object Shape = iota
	List
	Value
)

// Item is one part of a row; see syntax.Item.
type Item struct {
	At                        int
	Key, Value                Expr
	Star, ForceList, OmitNull bool
}

// SortKey is one key of an order; nulls come first, or last if Desc.
type SortKey struct {
	Value Expr
	Desc  bool
}

// Expr is a resolved expression; At is its byte offset in the query.
type Expr interface{ Place() int }

// Pos is the place of an expression.
type Pos struct{ At int }

// Place returns the byte offset.
func (p Pos) Place() int { return p.At }

type (
	// Const is a constant.
	Const struct {
		Pos
		Term statement.Term
	}
	// Bind is a bind variable.
	Bind struct {
		Pos
		Name string
	}
	// ID is the id of the object of a set, in the environment Up levels out.
	ID struct {
		Pos
		Set SetID
		Up  int
	}
	// Prop is what a path of properties leads to from the object of a set.
	Prop struct {
		Pos
		Set   SetID
		Up    int
		Path  []string
		Maybe bool
		// EndID asks for the ids that the path leads to, and not for values.
		EndID bool
	}
	// Whole is the object of a set as a value.
	Whole struct {
		Pos
		Set SetID
	}
	// Not negates the truth of its operand.
	Not struct {
		Pos
		Inner Expr
	}
	// Binary has an operator of: and or = != < <= > >= + - * / %. Crosses says
	// of "=" that it is about two sets: values of the one are looked for among
	// those of the other.
	Binary struct {
		Pos
		Op          string
		Left, Right Expr
		Crosses     bool
	}
	// In tests membership in any of the members of Set.
	In struct {
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
	// Sub is the list of the ids that Main has in the solutions of Env; it is
	// true when there are any.
	Sub struct {
		Pos
		Env  *Env
		Main SetID
	}
	// Nested is a construct as a value.
	Nested struct {
		Pos
		Block *Block
	}
)

// Children returns the expressions directly inside e, in the same environment.
func Children(e Expr) []Expr {
	switch e := e.(type) {
	case *Not:
		return []Expr{e.Inner}
	case *Binary:
		return []Expr{e.Left, e.Right}
	case *In:
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
