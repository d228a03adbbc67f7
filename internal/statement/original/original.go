// Package original translates between this project's statements and those of
// the original Vesper, which says the order of a list in statements of its
// own: a "proplist" resource beside each ordered property, and numbered
// properties on each list inside a list.
package original

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

const (
	rdf    = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	schema = "pjson:schema#"

	rdfType     = rdf + "type"
	rdfItem     = rdf + "_"
	rdfFirst    = rdf + "first"
	rdfSeq      = rdf + "Seq"
	propSeq     = schema + "propseq"
	seqProp     = schema + "propseqprop"
	seqSubject  = schema + "propseqsubject"
	typePropSeq = schema + "propseqtype"
	typeListSeq = schema + "standalongseqtype" // the original's spelling

	propListMark = "j:proplist:"
)

// property is what a proplist records the order of.
type property struct{ subject, predicate string }

// Expand returns the statements as the original would store them: without
// positions, and with its statements for the order of lists. The ids of
// proplists start with prefix, statement.AnonymousPrefix on a live node.
func Expand(list []statement.Statement, prefix string) []statement.Statement {
	var out []statement.Statement
	ordered := map[property][]statement.Statement{}
	var order []property
	for _, s := range statement.Set(list) {
		at := property{s.Subject, s.Predicate}
		if len(s.Positions) > 0 {
			if ordered[at] == nil {
				order = append(order, at)
			}
			ordered[at] = append(ordered[at], s)
		}
		if !isItem(s) {
			s.Positions = nil
			out = append(out, s)
		}
	}
	for _, at := range order {
		out = append(out, expandOrder(at, ordered[at], prefix)...)
	}
	return statement.Set(out)
}

// isItem reports whether s is an item of a list inside a list.
func isItem(s statement.Statement) bool {
	return s.Predicate == statement.ListItem && statement.IsList(s.Subject)
}

func expandOrder(at property, items []statement.Statement, prefix string) []statement.Statement {
	values, _ := statement.InOrder(items)
	if isItem(items[0]) {
		return expandList(at.subject, values)
	}
	if at.predicate == rdfFirst || at.predicate == statement.ListItem || strings.HasPrefix(at.predicate, rdfItem) {
		return nil
	}
	count := map[string]int{}
	for _, v := range values {
		count[v.Scope]++
	}
	var out []statement.Statement
	for scope, n := range count {
		// One value alone in its scope beside other scopes is no list there.
		if n > 1 || len(count) == 1 {
			out = append(out, expandPropList(at, values, scope, prefix)...)
		}
	}
	return out
}

func expandList(id string, values []statement.Statement) []statement.Statement {
	scope := values[0].Scope
	out := []statement.Statement{
		{Subject: id, Predicate: rdfType, Term: statement.Reference(rdfSeq), Scope: scope},
		{Subject: id, Predicate: rdfType, Term: statement.Reference(typeListSeq), Scope: scope},
	}
	return append(out, number(id, values)...)
}

func expandPropList(at property, values []statement.Statement, scope, prefix string) []statement.Statement {
	id := prefix + propListMark + at.subject + ";" + at.predicate
	inScope := slices.DeleteFunc(slices.Clone(values), func(s statement.Statement) bool { return s.Scope != scope })
	out := []statement.Statement{
		{Subject: at.subject, Predicate: propSeq, Term: statement.Reference(id), Scope: scope},
		{Subject: id, Predicate: rdfType, Term: statement.Reference(rdfSeq), Scope: scope},
		{Subject: id, Predicate: rdfType, Term: statement.Reference(typePropSeq), Scope: scope},
		{Subject: id, Predicate: seqProp, Term: statement.Reference(at.predicate), Scope: scope},
		{Subject: id, Predicate: seqSubject, Term: statement.Reference(at.subject), Scope: scope},
	}
	return append(out, number(id, inScope)...)
}

func number(id string, values []statement.Statement) []statement.Statement {
	var out []statement.Statement
	for i, v := range values {
		out = append(out, statement.Statement{
			Subject: id, Predicate: fmt.Sprintf("%s%d", rdfItem, i+1), Term: v.Term, Scope: v.Scope,
		})
	}
	return out
}

// Fold returns the original's statements as this project has them: with
// positions instead of proplists. A proplist entry without its value statement
// is dropped, as the original ignores it.
func Fold(list []statement.Statement) []statement.Statement {
	f := folder{items: map[string][]entry{}, of: map[string]property{}, places: map[statement.Fact][]int{}}
	for _, s := range list {
		f.collect(s)
	}
	var out []statement.Statement
	for id, entries := range f.items {
		slices.SortFunc(entries, compareEntries)
		if at, ok := f.of[id]; ok {
			f.place(at, entries)
		} else {
			out = append(out, listItems(id, entries)...)
		}
	}
	for _, s := range list {
		if !f.derived(s) {
			s.Positions = f.places[s.Fact()]
			out = append(out, s)
		}
	}
	return statement.Set(out)
}

// entry is one numbered item.
type entry struct {
	number int
	statement.Statement
}

func compareEntries(a, b entry) int {
	if a.number != b.number {
		return a.number - b.number
	}
	return statement.CompareFact(a.Statement, b.Statement)
}

type folder struct {
	items  map[string][]entry
	of     map[string]property // proplist id → its property
	places map[statement.Fact][]int
}

func (f *folder) collect(s statement.Statement) {
	if !isOrder(s.Subject) {
		return
	}
	at, isProperty := f.of[s.Subject]
	switch s.Predicate {
	case seqProp:
		at.predicate, isProperty = s.Text, true
	case seqSubject:
		at.subject, isProperty = s.Text, true
	default:
		if n, err := strconv.Atoi(strings.TrimPrefix(s.Predicate, rdfItem)); err == nil && n > 0 {
			f.items[s.Subject] = append(f.items[s.Subject], entry{n, s})
		}
	}
	if isProperty {
		f.of[s.Subject] = at
	}
}

// isOrder reports whether the subject says the order of something.
func isOrder(subject string) bool {
	return isPropList(subject) || statement.IsList(subject)
}

func isPropList(subject string) bool {
	return strings.HasPrefix(subject, statement.AnonymousPrefix+propListMark) ||
		strings.HasPrefix(subject, statement.ShortAnonymousPrefix+propListMark)
}

// derived reports whether s only says an order that positions say now.
func (f *folder) derived(s statement.Statement) bool {
	return isPropList(s.Subject) || s.Predicate == propSeq && isPropList(s.Text) ||
		statement.IsList(s.Subject) && (s.Predicate == rdfType || strings.HasPrefix(s.Predicate, rdfItem))
}

func (f *folder) place(at property, entries []entry) {
	for i, e := range entries {
		fact := e.Fact()
		fact.Subject, fact.Predicate = at.subject, at.predicate
		f.places[fact] = append(f.places[fact], i)
	}
}

func listItems(id string, entries []entry) []statement.Statement {
	var out []statement.Statement
	for i, e := range entries {
		e.Subject, e.Predicate, e.Positions = id, statement.ListItem, []int{i}
		out = append(out, e.Statement)
	}
	return out
}
