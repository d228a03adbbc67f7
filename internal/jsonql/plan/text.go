package plan

import (
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/statement"
)

// textOf writes an expression as it may stand in a query, for people who read
// plans.
func textOf(e resolve.Expr, env *resolve.Env) string {
	switch e := e.(type) {
	case *resolve.Const:
		return termText(e.Term)
	case *resolve.Bind:
		return ":" + e.Name
	case *resolve.ID:
		return idText(e, env)
	case *resolve.Prop:
		return propText(e, env)
	case *resolve.Not:
		return "not " + inner(e.Inner, env)
	case *resolve.Binary:
		return inner(e.Left, env) + " " + e.Op + " " + inner(e.Right, env)
	case *resolve.In:
		return inText(e, env)
	case *resolve.Call:
		if e.Star {
			return e.Name + "(*)"
		}
		return e.Name + "(" + list(e.Args, env) + ")"
	case *resolve.Sub:
		return "{...}"
	default:
		return "..."
	}
}

func inText(e *resolve.In, env *resolve.Env) string {
	op := " in "
	if e.Negate {
		op = " not in "
	}
	if len(e.Set) == 1 {
		return inner(e.Value, env) + op + inner(e.Set[0], env)
	}
	return inner(e.Value, env) + op + "(" + list(e.Set, env) + ")"
}

func list(all []resolve.Expr, env *resolve.Env) string {
	var parts []string
	for _, e := range all {
		parts = append(parts, textOf(e, env))
	}
	return strings.Join(parts, ", ")
}

func inner(e resolve.Expr, env *resolve.Env) string {
	if b, ok := e.(*resolve.Binary); ok {
		return "(" + textOf(b, env) + ")"
	}
	return textOf(e, env)
}

func termText(t statement.Term) string {
	switch {
	case t.IsRef():
		return "@" + statement.Shorten(t.Text)
	case t.Type == statement.TypeLiteral:
		return strconv.Quote(statement.Shorten(t.Text))
	default:
		return statement.Shorten(t.Text)
	}
}

func labelOf(set resolve.SetID, up int, env *resolve.Env) string {
	for ; up > 0 && env != nil; up-- {
		env = env.Outer
	}
	if env == nil || set == resolve.NoSet || env.Sets[set].Label == "" {
		return ""
	}
	return "?" + env.Sets[set].Label
}

func idText(e *resolve.ID, env *resolve.Env) string {
	if label := labelOf(e.Set, e.Up, env); label != "" {
		return label
	}
	return "id"
}

func propText(e *resolve.Prop, env *resolve.Env) string {
	text := strings.Join(e.Path, ".")
	if e.EndID {
		text += ".id"
	}
	if label := labelOf(e.Set, e.Up, env); label != "" {
		text = label + "." + text
	}
	if e.Maybe {
		return "maybe " + text
	}
	return text
}

// setText writes all that is asked of the objects of a set.
func setText(env *resolve.Env, id resolve.SetID, conds []resolve.Expr) string {
	set := env.Sets[id]
	var parts []string
	prefix := ""
	if set.Label != "" {
		prefix = "?" + set.Label + "."
	}
	for _, e := range set.IDs {
		parts = append(parts, idText(&resolve.ID{Set: id}, env)+" = "+textOf(e, env))
	}
	for _, f := range set.Filters {
		op := " = "
		if f.Negated {
			op = " != "
		}
		parts = append(parts, prefix+f.Prop+op+textOf(f.Value, env))
	}
	for _, name := range set.Required {
		if set.Shown[name] {
			parts = append(parts, prefix+name)
		}
	}
	for _, name := range set.Absent {
		parts = append(parts, "not "+prefix+name)
	}
	for _, c := range conds {
		parts = append(parts, inner(c, env))
	}
	return statement.Shorten(strings.Join(parts, " and "))
}
