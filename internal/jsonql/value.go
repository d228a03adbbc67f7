package jsonql

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// value is what an expression gives: one term, or a list of values. What is
// absent is null.
type value struct {
	term   statement.Term
	list   []value
	isList bool
}

var null = value{term: statement.Null()}

func termValue(t statement.Term) value { return value{term: t} }

func boolValue(b bool) value {
	return termValue(statement.Term{Text: strconv.FormatBool(b), Type: statement.XSDBoolean})
}

func listValue(list []value) value { return value{list: list, isList: true} }

// termsValue is the value of a property in an expression: null, the only
// value, or the list of them.
func termsValue(terms []statement.Term) value {
	switch len(terms) {
	case 0:
		return null
	case 1:
		return termValue(terms[0])
	}
	list := make([]value, 0, len(terms))
	for _, t := range terms {
		list = append(list, termValue(t))
	}
	return listValue(list)
}

func (v value) isNull() bool { return !v.isList && v.term.Type == statement.TypeNull }

// members returns the values of a list, or the value itself.
func (v value) members() []value {
	if v.isList {
		return v.list
	}
	return []value{v}
}

// truth says whether a value counts as true: everything but null, false, zero,
// the empty string and the empty list.
func (v value) truth() bool {
	if v.isList {
		return len(v.list) > 0
	}
	switch kindOf(v.term) {
	case rankNull:
		return false
	case rankNumber:
		return compareNumbers(v.term, zero) != 0
	case rankRef:
		return v.term != statement.EmptyList()
	default:
		return v.term.Text != ""
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
	case t.Type == statement.TypeRef:
		return rankRef
	case t == statement.Null():
		return rankNull
	case t.Type == statement.TypeLiteral:
		return rankString
	case isSmall(t):
		return rankNumber
	case slices.Contains(numberTypes, t.Type):
		if _, ok := numberText(t); ok {
			return rankNumber
		}
	}
	return rankString
}

func (v value) rank() rank {
	if v.isList {
		return rankList
	}
	return kindOf(v.term)
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

// compare orders all values: null, then numbers, lists, strings by code point,
// and references by id. It returns 0 for values that are equal.
func compare(a, b value) int {
	ra, rb := a.rank(), b.rank()
	if ra != rb {
		return cmp.Compare(ra, rb)
	}
	switch ra {
	case rankNull:
		return 0
	case rankNumber:
		return compareNumbers(a.term, b.term)
	case rankList:
		return slices.CompareFunc(a.sorted(), b.sorted(), compare)
	default:
		return a.term.Compare(b.term)
	}
}

// sorted returns the members in their order: a property's values have none of
// their own in expressions.
func (v value) sorted() []value {
	out := slices.Clone(v.list)
	slices.SortStableFunc(out, compare)
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

// equal is the "=" of conditions: 1 equals 1.0 and true; a list equals what it
// contains.
func equal(a, b value) bool {
	if a.isList != b.isList {
		if b.isList {
			a, b = b, a
		}
		return slices.ContainsFunc(a.list, func(m value) bool { return equal(m, b) })
	}
	return compare(a, b) == 0
}
