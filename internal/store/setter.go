package store

import (
	"slices"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// setter sets the properties of one object of a document, as update and replace
// do. An embedded object or list that takes the place of another keeps the
// other's id, so that what refers to it, and what others change in it at the
// same time, stays.
type setter struct {
	work  *working
	given map[prop][]changeset.Value
	// named are the properties that the document names, of each subject.
	named map[string][]string
	// replace says that properties which are not named go.
	replace bool
	// apart are the objects that the document gives under ids of their own:
	// these keep them.
	apart map[string]bool
	// done are the subjects dealt with: a document may refer in circles.
	done map[string]bool
}

// setAll sets the properties of every object of a document.
func (w *writing) setAll(objects []pjson.Object, replace bool) error {
	apart := map[string]bool{}
	for _, o := range objects {
		apart[o.ID] = true
	}
	return w.each(objects, func(work *working, o pjson.Object) error {
		if replace && len(o.Statements) == 0 {
			return w.clear(work, o.ID)
		}
		s := setter{
			work: work, given: values(o), named: namedProps(o), replace: replace, apart: apart, done: map[string]bool{},
		}
		s.update(o.ID, o.ID)
		return nil
	})
}

func namedProps(o pjson.Object) map[string][]string {
	out := map[string][]string{}
	for _, p := range o.Props {
		out[p.Subject] = append(out[p.Subject], p.Predicate)
	}
	for _, s := range o.Statements {
		if !slices.Contains(out[s.Subject], s.Predicate) {
			out[s.Subject] = append(out[s.Subject], s.Predicate)
		}
	}
	return out
}

// update gives the subject to the properties that the document gives from; the
// two differ when an embedded object keeps its old id.
func (s *setter) update(from, to string) {
	if s.done[from] {
		return
	}
	s.done[from] = true
	if s.replace || statement.IsList(to) {
		for _, p := range s.work.propsOf(to) {
			if !slices.Contains(s.named[from], p.predicate) {
				s.work.set(p, nil)
			}
		}
	}
	for _, predicate := range s.named[from] {
		s.set(prop{to, predicate}, s.given[prop{from, predicate}])
	}
}

// set makes the values of a property the given ones.
func (s *setter) set(p prop, given []changeset.Value) {
	have := s.work.get(p)
	kept := s.pair(have, given)
	vals := make([]changeset.Value, len(given))
	for i, v := range given {
		if old, ok := kept[v.Text]; ok && v.IsRef() {
			v.Text = old
		}
		vals[i] = v
	}
	if _, written := s.work.now[p]; written || s.work.conflicts[p] || !sameReading(have, mergeValues(slices.Clone(vals))) {
		s.work.set(p, vals)
	}
	for from, to := range kept {
		if len(s.named[from]) > 0 {
			s.update(from, to)
		}
	}
}

// pair finds for each embedded object and list among the given values the one
// whose place it takes: itself if it is there, else the next of its kind that is
// not taken, in reading order; else none, and it keeps its own id.
func (s *setter) pair(have, given []changeset.Value) map[string]string {
	fresh := embedded(given)
	if len(fresh) == 0 {
		return nil
	}
	old := embedded(have)
	out := make(map[string]string, len(fresh))
	for _, id := range fresh {
		if at := slices.Index(old, id); at >= 0 {
			out[id] = id
			old = slices.Delete(old, at, at+1)
		} else if s.apart[id] {
			out[id] = id
		}
	}
	for _, id := range fresh {
		if _, done := out[id]; done {
			continue
		}
		out[id] = id
		at := slices.IndexFunc(old, func(o string) bool { return statement.IsList(o) == statement.IsList(id) })
		if at >= 0 {
			out[id] = old[at]
			old = slices.Delete(old, at, at+1)
		}
	}
	return out
}

// embedded returns the ids of the embedded objects and lists among values, in
// reading order, each once.
func embedded(values []changeset.Value) []string {
	refers := func(v changeset.Value) bool { return v.IsRef() && statement.IsEmbedded(v.Text) }
	if !slices.ContainsFunc(values, refers) {
		return nil
	}
	items, rest := inOrder(values)
	var ids []string
	for _, v := range slices.Concat(items, rest) {
		if refers(v) && !slices.Contains(ids, v.Text) {
			ids = append(ids, v.Text)
		}
	}
	return ids
}
