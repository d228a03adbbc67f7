package jsonql

import (
	"fmt"
	"math"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// scope is what the names in an expression mean: an object, or a group of them.
type scope interface {
	property(name string) value
	id() value
	aggregate(c *call) (value, error)
}

// evaluator evaluates expressions of one run of a query.
type evaluator struct {
	text  string
	bound map[string]value
}

func (ev *evaluator) fail(e expr, format string, args ...any) error {
	p := positionOf(ev.text, e.place())
	return &EvaluationError{Line: p.line, Col: p.col, Message: fmt.Sprintf(format, args...)}
}

// bind converts the bind variables. Strings that look like references are.
func bind(b Bindings) (map[string]value, error) {
	out := map[string]value{}
	for name, v := range b {
		bound, err := bindValue(v)
		if err != nil {
			return nil, &EvaluationError{Message: fmt.Sprintf("bind variable %s: %v", statement.Excerpt(name), err)}
		}
		out[name] = bound
	}
	return out, nil
}

func bindValue(v any) (value, error) {
	switch v := v.(type) {
	case []any:
		list := make([]value, 0, len(v))
		for _, item := range v {
			bound, err := bindValue(item)
			if err != nil {
				return null, err
			}
			list = append(list, bound)
		}
		return listValue(list), nil
	case string:
		if id, ok := pjson.ParseReference("", v); ok {
			return termValue(statement.Reference(id)), nil
		}
	}
	t, err := statement.FromValue(v)
	return termValue(t), err
}

func (ev *evaluator) eval(e expr, s scope) (value, error) {
	switch e := e.(type) {
	case *literal:
		return termValue(e.term), nil
	case *bindVar:
		v, ok := ev.bound[e.name]
		if !ok {
			return null, ev.fail(e, "bind variable %s has no value: pass one", statement.Excerpt(e.name))
		}
		return v, nil
	case *idRef:
		return s.id(), nil
	case *propRef:
		return s.property(e.name), nil
	case *maybe:
		return ev.eval(e.inner, s)
	case *not:
		v, err := ev.eval(e.inner, s)
		return boolValue(!v.Truth()), err
	case *negative:
		return ev.arithmetic(&binary{e.node, "-", &literal{e.node, statement.Term{Text: "0", Type: statement.XSDInteger}}, e.inner}, s)
	case *binary:
		return ev.binary(e, s)
	case *membership:
		return ev.membership(e, s)
	case *call:
		return ev.call(e, s)
	default:
		return null, ev.fail(e, `"*" cannot be computed with`)
	}
}

func (ev *evaluator) binary(e *binary, s scope) (value, error) {
	switch e.op {
	case "and", "or":
		left, err := ev.eval(e.left, s)
		if err != nil || left.Truth() == (e.op == "or") {
			return left, err
		}
		return ev.eval(e.right, s)
	case "+", "-", "*", "/", "%":
		return ev.arithmetic(e, s)
	default:
		return ev.comparison(e, s)
	}
}

func (ev *evaluator) pair(e *binary, s scope) (left, right value, err error) {
	if left, err = ev.eval(e.left, s); err != nil {
		return
	}
	right, err = ev.eval(e.right, s)
	return
}

func (ev *evaluator) comparison(e *binary, s scope) (value, error) {
	left, right, err := ev.pair(e, s)
	if err != nil {
		return null, err
	}
	left, right = asID(e.right, left), asID(e.left, right)
	switch e.op {
	case "=":
		return boolValue(equal(left, right)), nil
	case "!=":
		return boolValue(!equal(left, right)), nil
	}
	order := compare(left, right)
	return boolValue(e.op[0] == '<' && order < 0 || e.op[0] == '>' && order > 0 ||
		len(e.op) == 2 && order == 0), nil
}

// asID makes the strings that are compared with the id of an object references.
func asID(other expr, v value) value {
	if !isID(other) {
		return v
	}
	if v.IsList {
		list := make([]value, 0, len(v.List))
		for _, m := range v.List {
			list = append(list, asID(other, m))
		}
		return listValue(list)
	}
	if v.Term.Type == statement.TypeLiteral {
		return termValue(statement.Reference(v.Term.Text))
	}
	return v
}

// membership: a value is in a set that has it, a list if any of its values is.
func (ev *evaluator) membership(e *membership, s scope) (value, error) {
	v, err := ev.eval(e.value, s)
	if err != nil {
		return null, err
	}
	for _, member := range e.set {
		set, err := ev.eval(member, s)
		if err != nil {
			return null, err
		}
		if intersect(v, asID(e.value, set)) {
			return boolValue(!e.not), nil
		}
	}
	return boolValue(e.not), nil
}

func intersect(a, b value) bool {
	for _, x := range a.Members() {
		for _, y := range b.Members() {
			if equal(x, y) {
				return true
			}
		}
	}
	return false
}

// maxCombinations bounds the results of an expression over several lists.
const maxCombinations = 100_000

// each applies f to the arguments; where one is a list, to each of its values,
// and where several are, to each combination.
func (ev *evaluator) each(e expr, args []value, f func([]value) (value, error)) (value, error) {
	total := 1
	anyList := false
	for _, a := range args {
		anyList = anyList || a.IsList
		if total *= len(a.Members()); total > maxCombinations {
			return null, ev.fail(e, "more than %d combinations of list values", maxCombinations)
		}
	}
	if !anyList {
		return f(args)
	}
	var out []value
	for n := range total {
		one := make([]value, len(args))
		for i := len(args) - 1; i >= 0; i-- {
			members := args[i].Members()
			one[i] = members[n%len(members)]
			n /= len(members)
		}
		v, err := f(one)
		if err != nil {
			return null, err
		}
		out = append(out, v)
	}
	return listValue(out), nil
}

func (ev *evaluator) arithmetic(e *binary, s scope) (value, error) {
	left, right, err := ev.pair(e, s)
	if err != nil {
		return null, err
	}
	return ev.each(e, []value{left, right}, func(args []value) (value, error) {
		if args[0].IsNull() || args[1].IsNull() {
			return null, nil
		}
		return ev.calculate(e, toFloat(args[0]), toFloat(args[1]))
	})
}

func (ev *evaluator) calculate(e *binary, x, y float64) (value, error) {
	switch e.op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	case "/", "%":
		if y == 0 {
			return null, ev.fail(e, "division by zero")
		}
		if e.op == "/" {
			x /= y
		} else {
			x -= y * math.Floor(x/y)
		}
	}
	return ev.float(e, x)
}

func (ev *evaluator) float(e expr, f float64) (value, error) {
	t, err := statement.FromValue(f)
	if err != nil {
		return null, ev.fail(e, "the result is beyond the range of a number")
	}
	return termValue(t), nil
}
