package jsonql

import (
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/statement"
)

// Query is a parsed query. It may be run any number of times, by several
// goroutines at once.
type Query struct {
	// ForUpdate makes every object of the result have its id, embedded and
	// anonymous ones too, so that the result can be changed and sent back.
	ForUpdate bool

	text    string
	root    *construct
	plan    *plan
	skipped []string
	full    *resolve.Query // set when package reference answers the query
}

type shape uint8

const (
	shapeObject shape = iota
	shapeList
	shapeValue
)

// construct is the template of a row, and which rows there are.
type construct struct {
	at       int
	shape    shape
	items    []item
	where    expr
	orderBy  []sortKey
	groupBy  expr
	limit    int // -1 without
	offset   int
	depth    int
	mergeAll bool
}

// item is one part of a row.
type item struct {
	at int
	// key is the name of the property in the row; nil for "*" and in lists.
	key       expr
	value     expr // nil for "*" that stands alone
	star      bool // every property of the object
	forceList bool
	omitNull  bool
}

type sortKey struct {
	value expr
	desc  bool
}

// expr is a node of an expression; place is its byte offset in the query.
type expr interface{ place() int }

type node struct{ at int }

func (n node) place() int { return n.at }

type (
	literal struct {
		node
		term statement.Term
	}
	bindVar struct {
		node
		name string
	}
	idRef struct{ node }
	// wholeObject is "*" in the place of a value: the object of the row.
	wholeObject struct{ node }
	propRef     struct {
		node
		name string
	}
	maybe struct {
		node
		inner expr
	}
	not struct {
		node
		inner expr
	}
	negative struct {
		node
		inner expr
	}
	// binary has an operator of: and or = != < <= > >= + - * / %.
	binary struct {
		node
		op          string
		left, right expr
	}
	membership struct {
		node
		value expr
		set   []expr
		not   bool
	}
	call struct {
		node
		name string
		args []expr
		star bool // count(*)
	}
)

// children returns the expressions directly inside e.
func children(e expr) []expr {
	switch e := e.(type) {
	case *maybe:
		return []expr{e.inner}
	case *not:
		return []expr{e.inner}
	case *negative:
		return []expr{e.inner}
	case *binary:
		return []expr{e.left, e.right}
	case *membership:
		return append([]expr{e.value}, e.set...)
	case *call:
		return e.args
	default:
		return nil
	}
}

// walk calls visit for e and all inside it, as long as visit returns true.
func walk(e expr, visit func(expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	for _, c := range children(e) {
		walk(c, visit)
	}
}
