package syntax

import (
	"fmt"

	"vesperdb.io/vesper/internal/statement"
)

// labeled reads ?label, ?label.id or ?label.path.
func (p *parser) labeled() (Expr, error) {
	t := p.take()
	if !p.peek().symbol(".") {
		return &Label{Pos{t.at}, t.text}, nil
	}
	return p.path(&Property{Pos: Pos{t.at}, Label: t.text})
}

// named reads a property, a path of properties, or a function call.
func (p *parser) named() (Expr, error) {
	t := p.take()
	if t.kind == tokenName && p.peek().symbol("(") {
		return p.call(t)
	}
	return p.path(&Property{Pos: Pos{t.at}, Path: []string{t.text}})
}

// path reads what follows a property or label: .name, and .id at the end.
func (p *parser) path(prop *Property) (Expr, error) {
	for p.accept(".") {
		t := p.peek()
		switch {
		case t.keyword("id"):
			p.next++
			if len(prop.Path) == 0 {
				return &ID{prop.Pos, prop.Label}, nil
			}
			prop.EndID = true
			return prop, nil
		case t.kind == tokenName || t.kind == tokenProp:
			p.next++
			prop.Path = append(prop.Path, t.text)
		default:
			return nil, p.unexpected("the name of a property should follow the dot")
		}
	}
	return prop, nil
}

// filterSet reads {?label condition} in the place of a value.
func (p *parser) filterSet() (Expr, error) {
	set := &FilterSet{Pos: Pos{p.take().at}}
	if p.declaresLabel() {
		set.Label = p.take().text
		p.accept(",")
	}
	if p.accept("}") {
		return set, nil
	}
	where, err := p.expr()
	if err != nil {
		return nil, err
	}
	set.Where = where
	p.accept(",")
	return set, p.expect("}")
}

// declaresLabel reports whether the label here names the set in whose braces it
// stands, rather than beginning an expression.
func (p *parser) declaresLabel() bool {
	if p.peek().kind != tokenLabel {
		return false
	}
	switch t := p.after(); t.kind {
	case tokenSymbol:
		return t.text == "," || t.text == "}" || t.text == "{" || t.text == "("
	case tokenKeyword:
		return t.text != "in" && t.text != "and" && t.text != "or" && (t.text != "not" || !p.tokens[min(p.next+2, len(p.tokens)-1)].keyword("in"))
	default:
		return true
	}
}

func (p *parser) call(name token) (Expr, error) {
	p.next++
	c := &Call{Pos: Pos{name.at}, Name: name.text}
	if IsAggregate(c.Name) && p.accept("*") {
		c.Star = true
		return p.checked(c, p.expect(")"))
	}
	args, err := p.callArguments(c.Name)
	c.Args = args
	return p.checked(c, err)
}

// callArguments reads arguments, some of which may be named.
func (p *parser) callArguments(function string) ([]Expr, error) {
	var list []Expr
	for !p.accept(")") {
		if t := p.peek(); t.kind == tokenName && p.after().symbol("=") && isFollow(function) && named[t.text] > 0 {
			p.next += 2
			for len(list) < named[t.text] {
				list = append(list, &Literal{Pos{t.at}, statement.Term{Text: "false", Type: statement.XSDBoolean}})
			}
			list = list[:named[t.text]]
		}
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if !p.accept(",") && !p.peek().symbol(")") {
			return nil, p.unexpected(`"," or ")" should be here`)
		}
	}
	return list, nil
}

// named are the places of the arguments of follow that may be named.
var named = map[string]int{"excludeInitial": 2, "edgesOnly": 3}

func isFollow(name string) bool { return name == "follow" || name == "rfollow" }

// arity says how many arguments a function takes, at least and at most.
var arity = map[string][2]int{
	"if": {3, 3}, "number": {1, 1}, "bool": {1, 1}, "string": {1, 1}, "ref": {1, 1},
	"upper": {1, 1}, "lower": {1, 1}, "trim": {1, 2}, "ltrim": {1, 2}, "rtrim": {1, 2},
	"isref": {1, 1}, "isbnode": {1, 1}, "exists": {1, 1},
	"startswith": {2, 2}, "endswith": {2, 2}, "contains": {2, 2}, "ieq": {2, 2},
	"follow": {2, 4}, "rfollow": {2, 4},
	"count": {1, 1}, "sum": {1, 1}, "avg": {1, 1}, "min": {1, 1}, "max": {1, 1}, "total": {1, 1},
	"getTransactionId": {1, 1}, "getTransactionTime": {1, 1},
	"getTransactionAuthor": {1, 1}, "getTransactionComment": {1, 1},
}

// IsAggregate reports whether a function computes one value of the rows of a
// group.
func IsAggregate(name string) bool {
	switch name {
	case "count", "sum", "avg", "min", "max", "total":
		return true
	default:
		return false
	}
}

// IsRevision reports whether a function asks for the history of a value.
func IsRevision(name string) bool {
	switch name {
	case "getTransactionId", "getTransactionTime", "getTransactionAuthor", "getTransactionComment":
		return true
	default:
		return false
	}
}

func howMany(n [2]int) string {
	switch {
	case n[0] != n[1]:
		return fmt.Sprintf("%d to %d arguments", n[0], n[1])
	case n[0] == 1:
		return "1 argument"
	default:
		return fmt.Sprintf("%d arguments", n[0])
	}
}

// checked returns the call if there is such a function and it takes as many
// arguments.
func (p *parser) checked(c *Call, err error) (Expr, error) {
	if err != nil {
		return nil, err
	}
	n, known := arity[c.Name]
	switch {
	case !known:
		hint := "see the list of functions"
		if like := near(c.Name, functionNames()); like != "" {
			hint = "did you mean " + like + "? Names of functions are case-sensitive"
		}
		return nil, p.fail(c.At, hint, "unknown function %s", statement.Excerpt(c.Name))
	case c.Star && c.Name != "count":
		return nil, p.fail(c.At, "", "%s takes one value", c.Name)
	case !c.Star && (len(c.Args) < n[0] || len(c.Args) > n[1]):
		return nil, p.fail(c.At, "", "%s takes %s, and here are %d", c.Name, howMany(n), len(c.Args))
	}
	return c, nil
}
