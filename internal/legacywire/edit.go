package legacywire

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// fact is a value without its places in a list.
type fact struct {
	statement.Term
	scope string
}

func factOf(v changeset.Value) fact { return fact{v.Term, v.Scope} }

// item is a value at a place of a list.
type item struct {
	fact
	at int
}

// edit is what a message does to one property: statements that came and went,
// and items of the ordered list that came and went.
type edit struct {
	added, removed         []fact
	itemsAdded, itemsGoing []item
}

// Skipped is a statement of a message that cannot be stored here, and why. It
// is left out on every node.
type Skipped struct {
	Row Row
	Err error
}

// edits are what a message does, by object and property.
type edits struct {
	roots   map[string]map[property]*edit
	skipped []Skipped
}

func (e *edits) at(p property) *edit {
	root := statement.Root(p.subject)
	of := e.roots[root]
	if of == nil {
		of = map[property]*edit{}
		e.roots[root] = of
	}
	if of[p] == nil {
		of[p] = &edit{}
	}
	return of[p]
}

// orders are the properties whose order the records with these ids say.
type orders map[string]property

// collect sorts the data of a message by object and property.
func collect(m Message, past Past) (*edits, error) {
	e := &edits{roots: map[string]map[property]*edit{}}
	known := orders{}
	for _, row := range m.Rows {
		known.note(row)
	}
	var items []Row
	for _, row := range m.Rows {
		k, within := scopeOf(row[scope], m.Revision)
		if k != kindAdded && k != kindRemoved {
			continue
		}
		row[scope] = within
		switch {
		case !isOrder(row):
			e.value(row, k)
		case k == kindAdded:
			items = append(items, row)
		default:
			items = append(items, row)
			items[len(items)-1][scope] = removedIn + within
		}
	}
	return e, e.items(items, known, past)
}

// value takes a statement that is data.
func (e *edits) value(row Row, k kind) {
	f := fact{statement.Term{Text: row[object], Type: row[objectType]}, row[scope]}
	p := property{row[subject], row[predicate]}
	if err := storable(p, f, nil); err != nil {
		e.skipped = append(e.skipped, Skipped{Row: row, Err: err})
		return
	}
	at := e.at(p)
	if k == kindAdded {
		at.added = append(at.added, f)
	} else {
		at.removed = append(at.removed, f)
	}
}

func storable(p property, f fact, positions []int) error {
	s := statement.Statement{Subject: p.subject, Predicate: p.predicate, Term: f.Term, Scope: f.scope, Positions: positions}
	if err := s.Check(); err != nil {
		return err
	}
	return statement.CheckID(statement.Root(p.subject))
}

// note remembers which property an order record belongs to, if row says that.
func (o orders) note(row Row) {
	if _, ok := orderOf(row[subject]); !ok {
		return
	}
	p := o[row[subject]]
	switch row[predicate] {
	case seqProp:
		p.predicate = row[object]
	case seqSubject:
		p.subject = row[object]
	default:
		return
	}
	o[row[subject]] = p
}

// items takes the statements that say the places of values. They come after
// the values, which help to tell whose places they are.
func (e *edits) items(rows []Row, known orders, past Past) error {
	for _, row := range rows {
		within, gone := strings.CutPrefix(row[scope], removedIn)
		at, numbered := place(row[predicate])
		if !numbered {
			continue
		}
		p := property{row[subject], statement.ListItem}
		if rest, ok := orderOf(row[subject]); ok {
			var err error
			if p, err = e.owner(row[subject], rest, known, past); err != nil {
				return err
			}
		}
		i := item{fact{statement.Term{Text: row[object], Type: row[objectType]}, within}, at}
		row[scope] = within
		if err := storable(p, i.fact, []int{at}); err != nil {
			e.skipped = append(e.skipped, Skipped{Row: row, Err: err})
			continue
		}
		to := e.at(p)
		if gone {
			to.itemsGoing = append(to.itemsGoing, i)
		} else {
			to.itemsAdded = append(to.itemsAdded, i)
		}
	}
	return nil
}

// owner returns the property whose order a record says: as the message says
// itself, else by the record's id, subject;predicate. Where either contains the
// mark between them too, the first reading counts that the message or the
// object has a property for.
func (e *edits) owner(id, rest string, known orders, past Past) (property, error) {
	if p := known[id]; p.subject != "" && p.predicate != "" {
		return p, nil
	}
	var readings []property
	for at := range len(rest) {
		if strings.HasPrefix(rest[at:], orderCut) && at > 0 && at < len(rest)-1 {
			readings = append(readings, property{rest[:at], rest[at+1:]})
		}
	}
	switch len(readings) {
	case 0:
		return property{}, nil
	case 1:
		return readings[0], nil
	}
	for _, p := range readings {
		if e.roots[statement.Root(p.subject)][p] != nil {
			return p, nil
		}
		before, err := past(statement.Root(p.subject))
		if err != nil {
			return p, err
		}
		if slices.ContainsFunc(before.Statements, func(s statement.Statement) bool {
			return s.Subject == p.subject && s.Predicate == p.predicate
		}) {
			return p, nil
		}
	}
	return readings[0], nil
}

// apply returns the values of a property after an edit, in canonical order.
func (e *edit) apply(p property, was []changeset.Value) []changeset.Value {
	places := map[fact]map[int]bool{}
	for _, v := range was {
		places[factOf(v)] = map[int]bool{}
		for _, at := range v.Positions {
			places[factOf(v)][at] = true
		}
	}
	for _, f := range e.removed {
		dropFact(places, f)
	}
	for _, i := range e.itemsGoing {
		if at := places[i.fact]; at != nil {
			delete(at, i.at)
			if len(at) == 0 && isItems(p) {
				delete(places, i.fact)
			}
		}
	}
	for _, f := range e.added {
		if places[f] == nil {
			places[f] = map[int]bool{}
		}
	}
	for _, i := range e.itemsAdded {
		if places[i.fact] == nil && isItems(p) {
			places[i.fact] = map[int]bool{}
		}
		if at := places[i.fact]; at != nil {
			at[i.at] = true
		}
	}
	return valuesOf(places)
}

// dropFact takes a value away. The original shows a value of a context: scope
// without scope, and so that is how it removes it.
func dropFact(places map[fact]map[int]bool, f fact) {
	if places[f] != nil || f.scope != "" {
		delete(places, f)
		return
	}
	for have := range places {
		if have.Term == f.Term && strings.HasPrefix(have.scope, "context:") {
			delete(places, have)
		}
	}
}

func valuesOf(places map[fact]map[int]bool) []changeset.Value {
	out := make([]changeset.Value, 0, len(places))
	for f, at := range places {
		v := changeset.Value{Term: f.Term, Scope: f.scope}
		if len(at) > 0 {
			v.Positions = slices.Sorted(maps.Keys(at))
		}
		out = append(out, v)
	}
	slices.SortFunc(out, changeset.CompareValues)
	return out
}

// reason says what statements of a message were left out, for a log.
func reason(skipped []Skipped) error {
	if len(skipped) == 0 {
		return nil
	}
	return fmt.Errorf("%d of its statements cannot be stored here, the first because: %w", len(skipped), skipped[0].Err)
}
