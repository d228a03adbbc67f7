package reference

import (
	"encoding/json"
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/pjson"
)

// row is an answer before it is made.
type row struct {
	keys []value.Value
	from *scope
}

// rows makes the rows of a construct from solutions of its environment.
func (r *run) rows(b *resolve.Block, list []solution) ([]any, error) {
	scopes, err := r.split(b, list)
	if err != nil {
		return nil, err
	}
	ordered, err := r.ordered(b, scopes)
	if err != nil {
		return nil, err
	}
	ordered = ordered[min(b.Offset, len(ordered)):]
	if b.Limit >= 0 {
		ordered = ordered[:min(b.Limit, len(ordered))]
	}
	if len(ordered) > r.limits.MaxRows {
		return nil, &Error{Message: fmt.Sprintf("the result has more than %d rows: add a condition, or limit and offset", r.limits.MaxRows)}
	}
	w, err := r.writer(b)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, one := range ordered {
		made, err := (&maker{run: r, block: b, writer: w}).row(one.from)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	if b.MergeAll && len(out) > 0 {
		return []any{merge(out)}, nil
	}
	return out, nil
}

func (r *run) writer(b *resolve.Block) (*pjson.Writer, error) {
	if w := r.writers[b.Namemap]; w != nil {
		return w, nil
	}
	format := pjson.Format{OmitScopes: true}
	if b.Namemap != "" {
		m, err := namemap(b.Namemap)
		if err != nil {
			return nil, err
		}
		format.Namemap = m
	}
	w, err := pjson.NewWriter(format)
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	r.writers[b.Namemap] = w
	return w, nil
}

func namemap(text string) (pjson.Map, error) {
	var raw map[string]any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, &Error{Message: fmt.Sprintf("the namemap cannot be read: %v", err)}
	}
	return mapOf(raw), nil
}

func mapOf(raw map[string]any) pjson.Map {
	out := pjson.Map{}
	for _, key := range sortedKeys(raw) {
		v := raw[key]
		if inner, ok := v.(map[string]any); ok {
			v = mapOf(inner)
		}
		out.Set(key, v)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for key := range m {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

// ordered puts rows in order, and drops those that are not after where the
// query says to begin.
func (r *run) ordered(b *resolve.Block, scopes []*scope) ([]row, error) {
	after, err := r.after(b)
	if err != nil {
		return nil, err
	}
	var out []row
	for _, s := range scopes {
		one := row{from: s}
		for _, k := range b.OrderBy {
			v, err := r.eval(k.Value, s)
			if err != nil {
				return nil, err
			}
			one.keys = append(one.keys, v)
		}
		if after == nil || compareKeys(b.OrderBy, one.keys, after) > 0 {
			out = append(out, one)
		}
	}
	slices.SortStableFunc(out, func(x, y row) int { return compareKeys(b.OrderBy, x.keys, y.keys) })
	return out, nil
}

func compareKeys(keys []resolve.SortKey, x, y []value.Value) int {
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

// after returns the values after which rows begin; strings stand for ids where
// the order is by id.
func (r *run) after(b *resolve.Block) ([]value.Value, error) {
	if b.After == nil {
		return nil, nil
	}
	var out []value.Value
	for _, e := range b.After {
		v, err := r.eval(e, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) == 1 && out[0].IsList {
		out = out[0].List
	}
	if len(out) != len(b.OrderBy) {
		return nil, r.fail(b.After[0], "after has %d values, and the order has %d keys", len(out), len(b.OrderBy))
	}
	for i, k := range b.OrderBy {
		if _, isID := k.Value.(*resolve.ID); isID {
			out[i] = reference(out[i])
		}
	}
	return out, nil
}

// merge makes one object of objects, later properties replacing earlier ones,
// or one list of lists and values.
func merge(rows []any) any {
	var object pjson.Map
	list := []any{}
	for _, one := range rows {
		switch one := one.(type) {
		case pjson.Map:
			for _, m := range one {
				object.Set(m.Key, m.Value)
			}
		case []any:
			list = append(list, one...)
		default:
			list = append(list, one)
		}
	}
	if object != nil {
		return object
	}
	return list
}
