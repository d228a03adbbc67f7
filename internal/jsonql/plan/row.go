package plan

import (
	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
)

// Row is a row of an answer that is made when it is asked for, as values or as
// JSON. It is of no use once the next row has come.
type Row struct {
	run   *eval.Run
	block *resolve.Block
	scope *eval.Scope // nil if the row is made already
	made  any
}

// rowOf is the row that is made of a scope.
func (a *Answer) rowOf(s *eval.Scope) Row { return Row{run: a.run, block: a.block, scope: s} }

// rowMade is a row that is made already.
func (a *Answer) rowMade(v any) Row { return Row{run: a.run, made: v} }

// Value makes the row, of values that pjson.AppendJSON writes.
func (r Row) Value() (any, error) {
	if r.scope == nil {
		return r.made, nil
	}
	return r.run.Row(r.block, r.scope)
}

// AppendJSON appends the row as JSON. It gives up, and returns false, soon after
// dst has become longer than limit.
func (r Row) AppendJSON(dst []byte, limit int) (out []byte, fits bool, err error) {
	if r.scope == nil {
		out = eval.AppendMade(dst, r.made, limit)
	} else {
		out, err = r.run.AppendRow(dst, r.block, r.scope, limit)
	}
	return out, len(out) <= limit, err
}
