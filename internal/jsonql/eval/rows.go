package eval

import (
	"maps"
	"slices"
	"sync"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/pjson"
)

// Independent answers a construct that has an environment for itself.
func (r *Run) Independent(b *resolve.Block) ([]any, error) {
	if rows, done := r.apart[b]; done {
		return rows, nil
	}
	list, err := r.Collect(b)
	if err != nil {
		return nil, err
	}
	rows, err := r.Collected(b, list)
	if err != nil {
		return nil, err
	}
	if r.apart == nil {
		r.apart = map[*resolve.Block][]any{}
	}
	r.apart[b] = rows
	return rows, nil
}

// Collect returns all solutions that the rows of a construct are made of.
func (r *Run) Collect(b *resolve.Block) ([]Solution, error) {
	var list []Solution
	err := r.Solver.Solve(b.Env, resolve.Visible(b), nil, func(s Solution) (bool, error) {
		list = append(list, s)
		if err := r.HoldObjects(len(list)); err != nil {
			return false, err
		}
		return true, r.Hold(s.Size())
	})
	return list, err
}

// Size is about how many bytes a solution holds.
func (s Solution) Size() int {
	n := ValueBytes + 8*len(s)
	for _, o := range s {
		if o != nil {
			n += o.Size()
		}
	}
	return n
}

// SortSolutions puts the solutions of rows in order of the objects that the rows
// are about, whatever the order in which they were found.
func (r *Run) SortSolutions(b *resolve.Block, list []Solution) {
	if len(list) < 2 {
		return
	}
	visible := r.visibleIn(b)
	slices.SortStableFunc(list, func(x, y Solution) int {
		for _, id := range visible {
			switch {
			case x[id] == y[id]:
				continue
			case x[id] == nil:
				return -1
			case y[id] == nil:
				return 1
			}
			if o := source.CompareSubjects(x[id].subject, y[id].subject); o != 0 {
				return o
			}
		}
		return 0
	})
}

// visibleIn returns the sets that the rows of a construct are about, in order.
func (r *Run) visibleIn(b *resolve.Block) []resolve.SetID {
	if list, known := r.visible[b]; known {
		return list
	}
	list := slices.Sorted(maps.Keys(resolve.Visible(b)))
	if r.visible == nil {
		r.visible = map[*resolve.Block][]resolve.SetID{}
	}
	r.visible[b] = list
	return list
}

// Collected makes the rows of a construct from all solutions of its environment,
// or from those of the row around it.
func (r *Run) Collected(b *resolve.Block, list []Solution) ([]any, error) {
	if len(list) > 1 {
		list = slices.Clone(list) // the row around has its own order
		r.SortSolutions(b, list)
	}
	scopes, err := r.split(b, list)
	if err != nil {
		return nil, err
	}
	ordered, err := r.ordered(b, scopes)
	if err != nil {
		return nil, err
	}
	ordered = Cut(b, ordered)
	if err := r.Rows(len(ordered)); err != nil {
		return nil, err
	}
	out := []any{}
	for _, one := range ordered {
		made, err := r.Row(b, one.from)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	if b.MergeAll && len(out) > 0 {
		return []any{Merge(out)}, nil
	}
	return out, nil
}

// Cut leaves the rows that a construct's offset and limit ask for.
func Cut[T any](b *resolve.Block, rows []T) []T {
	rows = rows[min(b.Offset, len(rows)):]
	if b.Limit >= 0 {
		rows = rows[:min(b.Limit, len(rows))]
	}
	return rows
}

// Row makes one row.
func (r *Run) Row(b *resolve.Block, s *Scope) (any, error) {
	m, err := r.makerOf(b)
	if err != nil {
		return nil, err
	}
	r.begin()
	defer r.end()
	return m.row(s)
}

// begin accounts for a row that is being made until end: one may be within another.
func (r *Run) begin() {
	if r.rows == 0 {
		r.rowBytes = 0
	}
	r.rows++
}

func (r *Run) end() { r.rows-- }

// makerOf returns what makes the rows of a construct.
func (r *Run) makerOf(b *resolve.Block) (*maker, error) {
	if m := r.lastMaker; m != nil && m.block == b {
		return m, nil
	}
	m := r.makers[b]
	if m == nil {
		w, err := r.writer(b)
		if err != nil {
			return nil, err
		}
		if m = &r.own.maker; r.lastMaker != nil {
			m = &maker{}
		}
		*m = maker{run: r, block: b, writer: w, star: slices.ContainsFunc(b.Items, func(it resolve.Item) bool { return it.Star })}
		m.plain = m.isPlain()
		if r.lastMaker != nil { // which most queries have no other of
			if r.makers == nil {
				r.makers = map[*resolve.Block]*maker{}
			}
			r.makers[r.lastMaker.block], r.makers[b] = r.lastMaker, m
		}
	}
	r.lastMaker = m
	return m, nil
}

// plainWriter writes rows without a namemap.
var plainWriter = sync.OnceValues(func() (*pjson.Writer, error) { return pjson.NewWriter(pjson.Format{OmitScopes: true}) })

func (r *Run) writer(b *resolve.Block) (*pjson.Writer, error) {
	if b.Namemap == "" {
		return plainWriter()
	}
	if w := r.writers[b.Namemap]; w != nil {
		return w, nil
	}
	w, err := pjson.NewWriter(pjson.Format{OmitScopes: true, Namemap: b.NamemapOf()})
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	if r.writers == nil {
		r.writers = map[string]*pjson.Writer{}
	}
	r.writers[b.Namemap] = w
	return w, nil
}

// row is an answer before it is made.
type row struct {
	keys []value.Value
	from *Scope
}

// ordered puts rows in order, and drops those that are not after where the
// query says to begin.
func (r *Run) ordered(b *resolve.Block, scopes []*Scope) ([]row, error) {
	after, err := r.After(b)
	if err != nil {
		return nil, err
	}
	var out []row
	for _, s := range scopes {
		keys, err := r.SortKeys(b, s)
		if err != nil {
			return nil, err
		}
		if after == nil || CompareKeys(b.OrderBy, keys, after) > 0 {
			out = append(out, row{keys, s})
		}
	}
	slices.SortStableFunc(out, func(x, y row) int { return CompareKeys(b.OrderBy, x.keys, y.keys) })
	return out, nil
}

// SortKeys returns what a row is put in order by.
func (r *Run) SortKeys(b *resolve.Block, s *Scope) ([]value.Value, error) {
	keys := make([]value.Value, 0, len(b.OrderBy))
	if !s.grouped { // an order looks at all values, whichever filters selected
		all := *s
		all.whole = true
		s = &all
	}
	for _, k := range b.OrderBy {
		v, err := r.computed(k.Value, s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, v)
	}
	return keys, nil
}

// CompareKeys orders rows by what SortKeys returned.
func CompareKeys(keys []resolve.SortKey, x, y []value.Value) int {
	for i, k := range keys {
		o := value.Compare(x[i], y[i])
		if k.Desc {
			o = -o
		}
		if o != 0 {
			return o
		}
	}
	return 0
}

// After returns the values after which rows begin, nil for all; strings stand
// for ids where the order is by id.
func (r *Run) After(b *resolve.Block) ([]value.Value, error) {
	if b.After == nil {
		return nil, nil
	}
	var out []value.Value
	for _, e := range b.After {
		v, err := r.Eval(e, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) == 1 && out[0].IsList {
		out = out[0].List
	}
	if len(out) != len(b.OrderBy) {
		return nil, r.Fail(b.After[0], "after has %d values, and the order has %d keys", len(out), len(b.OrderBy))
	}
	out = slices.Clone(out)
	for i, k := range b.OrderBy {
		if _, isID := k.Value.(*resolve.ID); isID {
			out[i] = AsReference(out[i])
		}
	}
	return out, nil
}

// Merge makes one object of objects, later properties replacing earlier ones,
// or one list of lists and values.
func Merge(rows []any) any {
	var object pjson.Map
	list := []any{}
	for _, one := range rows {
		switch one := one.(type) {
		case pjson.Map:
			object = append(object, one...)
		case []any:
			list = append(list, one...)
		default:
			list = append(list, one)
		}
	}
	if object == nil {
		return list
	}
	return lastOfEach(object)
}

// lastOfEach drops all but the last property of each name, in the place of the first.
func lastOfEach(m pjson.Map) pjson.Map {
	at := map[string]int{}
	out := m[:0:0]
	for _, one := range m {
		if i, known := at[one.Key]; known {
			out[i] = one
			continue
		}
		at[one.Key] = len(out)
		out = append(out, one)
	}
	return out
}

// Clone returns a copy of a solution, with the same objects.
func (s Solution) Clone() Solution { return slices.Clone(s) }
