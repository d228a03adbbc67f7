package jsonql

import (
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// function is one that computes a value from values. Null arguments give null,
// and lists are taken value by value.
type function struct {
	min, max int
	apply    func(ev *evaluator, e expr, args []value) (value, error)
}

// functions by name; "if" is apart, because it evaluates only one branch.
var functions = map[string]function{
	"if":     {min: 3, max: 3},
	"number": {1, 1, func(ev *evaluator, e expr, a []value) (value, error) { return ev.float(e, toFloat(a[0])) }},
	"bool":   {1, 1, func(_ *evaluator, _ expr, a []value) (value, error) { return boolValue(a[0].Truth()), nil }},
	"string": {1, 1, text(func(s, _ string) string { return s })},
	"upper":  {1, 1, text(func(s, _ string) string { return strings.ToUpper(s) })},
	"lower":  {1, 1, text(func(s, _ string) string { return strings.ToLower(s) })},
	"trim":   {1, 2, text(strings.Trim)},
	"ltrim":  {1, 2, text(strings.TrimLeft)},
	"rtrim":  {1, 2, text(strings.TrimRight)},
	"ref": {1, 1, func(_ *evaluator, _ expr, a []value) (value, error) {
		return termValue(statement.Reference(a[0].Term.Text)), nil
	}},
	"isref": {1, 1, func(_ *evaluator, _ expr, a []value) (value, error) {
		return boolValue(a[0].Term.IsRef()), nil
	}},
	"isbnode": {1, 1, func(_ *evaluator, _ expr, a []value) (value, error) {
		return boolValue(a[0].Term.IsRef() && statement.IsAnonymous(a[0].Term.Text)), nil
	}},
}

// aggregates are the functions over the values of several objects.
var aggregates = map[string]bool{
	"count": true, "sum": true, "avg": true, "min": true, "max": true, "total": true,
}

// later are the functions of the language that are still to come.
var later = map[string]bool{
	"follow": true, "rfollow": true,
	"getTransactionId": true, "getTransactionTime": true,
	"getTransactionAuthor": true, "getTransactionComment": true,
}

// blanks are what the trim functions remove unless told otherwise.
const blanks = " \t\n\r\f\v"

// text makes a function of a text, and perhaps of a second one.
func text(f func(s, chars string) string) func(*evaluator, expr, []value) (value, error) {
	return func(_ *evaluator, _ expr, args []value) (value, error) {
		chars := blanks
		if len(args) > 1 {
			chars = args[1].Term.Text
		}
		return termValue(statement.Literal(f(args[0].Term.Text, chars))), nil
	}
}

func (ev *evaluator) call(c *call, s scope) (value, error) {
	if aggregates[c.name] {
		return s.aggregate(c)
	}
	if c.name == "if" {
		return ev.choose(c, s)
	}
	args := make([]value, len(c.args))
	for i, a := range c.args {
		var err error
		if args[i], err = ev.eval(a, s); err != nil {
			return null, err
		}
	}
	return ev.each(c, args, func(args []value) (value, error) {
		for _, a := range args {
			if a.IsNull() {
				return null, nil
			}
		}
		return functions[c.name].apply(ev, c, args)
	})
}

func (ev *evaluator) choose(c *call, s scope) (value, error) {
	condition, err := ev.eval(c.args[0], s)
	if err != nil {
		return null, err
	}
	if condition.Truth() {
		return ev.eval(c.args[1], s)
	}
	return ev.eval(c.args[2], s)
}

// total computes one of the aggregates over values; nulls do not count.
func (ev *evaluator) total(c *call, values []value) (value, error) {
	var present []value
	for _, v := range values {
		if !v.IsNull() {
			present = append(present, v)
		}
	}
	switch c.name {
	case "count":
		t, err := statement.FromValue(len(present))
		return termValue(t), err
	case "min", "max":
		return extreme(present, c.name == "max"), nil
	case "sum", "avg":
		if len(present) == 0 {
			return null, nil
		}
	}
	sum := 0.0
	for _, v := range present {
		sum += toFloat(v)
	}
	if c.name == "avg" {
		sum /= float64(len(present))
	}
	return ev.float(c, sum)
}

func extreme(values []value, greatest bool) value {
	if len(values) == 0 {
		return null
	}
	best := values[0]
	for _, v := range values[1:] {
		if order := compare(v, best); order > 0 == greatest && order != 0 {
			best = v
		}
	}
	return best
}
