package plan

import (
	"strings"

	"vesperdb.io/vesper/internal/jsonql/resolve"
)

// explain makes the tree that tells the plan: joins of what is before with the
// objects of one more set.
func (d *draft) explain(p *envPlan) {
	known := d.est.known()
	for i, st := range p.steps {
		op, detail, rows := st.access.op, st.access.detail, st.access.rows
		if st.kind == lookup {
			op, detail, rows = opID, textOf(st.way.Cond, d.env), d.perLookup(st.way)
			if st.way.Prop != "" {
				op = opValue
			}
			if st.bare {
				op = opBare
			}
		}
		st.found = newNode(op, detail, rows, known && (st.kind != lookup || i > 0))
		filter := setText(d.env, st.id, st.alone)
		if i == 0 {
			st.joined = newNode("filter", joinText(filter, "", condsText(st.conds, d.env)), 0, false, st.found)
		} else {
			st.joined = newNode(joinOp(st), joinText(condsText(st.conds, d.env), "; of the latter ", filter), 0, false, p.top, st.found)
		}
		p.top = st.joined
	}
}

func joinOp(st *step) string {
	op := map[kind]string{scan: "nested loop join", lookup: "index join", hash: "hash join"}[st.kind]
	if st.kind == scan && len(st.conds) == 0 {
		op = "cross join"
	}
	if st.optional != nil {
		op = "outer " + op
	}
	if !st.needed && st.optional == nil {
		op += ", first match"
	}
	return op
}

func condsText(conds []resolve.Expr, env *resolve.Env) string {
	var parts []string
	for _, c := range conds {
		parts = append(parts, textOf(c, env))
	}
	return strings.Join(parts, " and ")
}

func joinText(a, between, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	case between == "":
		between = " and "
	}
	return a + between + b
}
