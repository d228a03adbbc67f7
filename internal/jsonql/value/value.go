// Package value has the values that jsonQL computes with: their total order,
// their equality, and their reading as numbers and truths. It does no I/O.
package value

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// Value is what an expression gives: one term, or a list of values. What is
// absent is null.
type Value struct {
	// Term is the value, unless IsList.
	Term statement.Term
	// List has the members of a list, which may be none.
	List   []Value
	IsList bool
}

// Null is the value of what is absent.
var Null = Value{Term: statement.Null()}

// Of returns the value of a term.
func Of(t statement.Term) Value { return Value{Term: t} }

// Bool returns true or false.
func Bool(b bool) Value {
	return Of(statement.Term{Text: strconv.FormatBool(b), Type: statement.XSDBoolean})
}

// ListOf returns a list of values.
func ListOf(list []Value) Value { return Value{List: list, IsList: true} }

// OfTerms returns the value of a property in an expression: null, the only
// value, or the list of them.
func OfTerms(terms []statement.Term) Value {
	switch len(terms) {
	case 0:
		return Null
	case 1:
		return Of(terms[0])
	}
	list := make([]Value, 0, len(terms))
	for _, t := range terms {
		list = append(list, Of(t))
	}
	return ListOf(list)
}

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return !v.IsList && v.Term.Type == statement.TypeNull }

// Members returns the values of a list, or the value itself.
func (v Value) Members() []Value {
	if v.IsList {
		return v.List
	}
	return []Value{v}
}

// Truth says whether a value counts as true: everything but null, false, zero,
// the empty string and the empty list.
func (v Value) Truth() bool {
	if v.IsList {
		return len(v.List) > 0
	}
	switch kindOf(v.Term) {
	case rankNull:
		return false
	case rankNumber:
		return compareNumbers(v.Term, zero) != 0
	case rankRef:
		return true
	case rankList:
		return false
	default:
		return v.Term.Text != ""
	}
}

var zero = statement.Term{Text: "0", Type: statement.XSDInteger}

// rank is the place of a kind of value in the total order of all values.
type rank int

const (
	rankNull rank = iota
	rankNumber
	rankList
	rankString
	rankRef
)

var numberTypes = []string{
	statement.XSDInteger, statement.XSDDouble, statement.XSDBoolean,
	"http://www.w3.org/2001/XMLSchema#decimal",
	"http://www.w3.org/2001/XMLSchema#int",
	"http://www.w3.org/2001/XMLSchema#float",
}

// kindOf returns the rank of a term. Numbers and booleans have one rank; a
// text with a numeric type that is no number ranks with the strings.
func kindOf(t statement.Term) rank {
	switch {
	case t == statement.EmptyList():
		return rankList
	case t.Type == statement.TypeRef:
		return rankRef
	case t == statement.Null():
		return rankNull
	case isSmall(t):
		return rankNumber
	case slices.Contains(numberTypes, t.Type):
		if _, ok := numberText(t); ok {
			return rankNumber
		}
	}
	return rankString
}

func (v Value) rank() rank {
	if v.IsList {
		return rankList
	}
	return kindOf(v.Term)
}

// numberText returns a number's JSON text; true is 1 and false 0.
func numberText(t statement.Term) (string, bool) {
	if t.Type == statement.XSDBoolean {
		switch t.Text {
		case "true":
			return "1", true
		case "false":
			return "0", true
		}
		return "", false
	}
	n, err := statement.FromNumber(t.Text)
	return n.Text, err == nil
}

// maxSmall is how many digits an integer has at most that fits into 64 bits for
// sure.
const maxSmall = 18

// isSmall tells, without a parser of JSON, of most integers that they are some.
func isSmall(t statement.Term) bool {
	n := len(t.Text)
	if t.Type != statement.XSDInteger || n == 0 || n > maxSmall {
		return false
	}
	digits := strings.TrimPrefix(t.Text, "-")
	if digits == "" || digits[0] == '0' && t.Text != "0" {
		return false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// smallInteger is the number of what isSmall has said yes to.
func smallInteger(text string) (n int64) {
	digits := strings.TrimPrefix(text, "-")
	for _, c := range []byte(digits) {
		n = 10*n + int64(c-'0')
	}
	if len(digits) < len(text) {
		return -n
	}
	return n
}

// Compare orders all values: null, then numbers, lists, strings by code point,
// and references by id. It returns 0 for values that are equal.
func Compare(a, b Value) int {
	ra, rb := a.rank(), b.rank()
	if ra != rb {
		return cmp.Compare(ra, rb)
	}
	switch ra {
	case rankNull:
		return 0
	case rankNumber:
		return compareNumbers(a.Term, b.Term)
	case rankList:
		return slices.CompareFunc(a.sorted(), b.sorted(), Compare)
	default:
		return a.Term.Compare(b.Term)
	}
}

// sorted returns the Members in their order: a property's values have none of
// their own in expressions.
func (v Value) sorted() []Value {
	out := slices.Clone(v.List)
	slices.SortStableFunc(out, Compare)
	return out
}

// exactFloat bounds the integers that a double holds exactly.
const exactFloat = 1 << 53

func compareNumbers(a, b statement.Term) int {
	if isSmall(a) && isSmall(b) {
		return cmp.Compare(smallInteger(a.Text), smallInteger(b.Text))
	}
	x, _ := numberText(a)
	y, _ := numberText(b)
	i, errI := strconv.ParseInt(x, 10, 64)
	j, errJ := strconv.ParseInt(y, 10, 64)
	if errI == nil && errJ == nil {
		return cmp.Compare(i, j)
	}
	f, okF := exact(x)
	g, okG := exact(y)
	if okF && okG {
		return cmp.Compare(f, g)
	}
	left, okL := new(big.Rat).SetString(x)
	right, okR := new(big.Rat).SetString(y)
	if !okL || !okR {
		return strings.Compare(x, y)
	}
	return left.Cmp(right)
}

// exact returns a number as a double, if it is one exactly: it was written as
// a double, or is an integer that is not too large.
func exact(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	isDouble := strings.ContainsAny(text, ".eE")
	return f, err == nil && (isDouble || math.Abs(f) < exactFloat)
}

// Equal is the "=" of conditions: 1 equals 1.0 and true; a list equals what it
// contains.
func Equal(a, b Value) bool {
	if a.IsList != b.IsList {
		if b.IsList {
			a, b = b, a
		}
		return slices.ContainsFunc(a.List, func(m Value) bool { return Equal(m, b) })
	}
	return Compare(a, b) == 0
}

// Intersects reports whether a and b, taken as lists, have an equal member.
func Intersects(a, b Value) bool {
	for _, x := range a.Members() {
		for _, y := range b.Members() {
			if Equal(x, y) {
				return true
			}
		}
	}
	return false
}

// Float reads any value as a number: 0 if it is none.
func Float(v Value) float64 {
	if v.IsList || v.Term.IsRef() {
		return 0
	}
	t := v.Term
	t.Text = strings.TrimSpace(t.Text)
	text, ok := numberText(t)
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return f
}

// Exact reports whether no other term equals the value: equal numbers are
// written in several ways, and equal lists in any order.
func (v Value) Exact() bool {
	switch v.rank() {
	case rankNumber, rankList:
		return false
	default:
		return true
	}
}
