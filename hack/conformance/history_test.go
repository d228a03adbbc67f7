package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/statement"
)

// The original keeps its history as statements: each one that a changeset added
// or removed once more, in a scope that names the changeset, and what is to say
// of the changeset as properties of its id.
const (
	addedIn   = "context:add:"
	removedIn = "context:del:"
	scopeMark = ";;"
	archive   = "http://rx4rdf.sf.net/ns/archive#"
)

// withHistory is a source that knows which changeset wrote each value.
type withHistory struct {
	*jsonqltest.Source
	wrote map[statement.Fact]source.Transaction
}

// Transaction implements source.TransactionSource.
func (s withHistory) Transaction(subject, predicate string, term statement.Term) (source.Transaction, bool, error) {
	var last source.Transaction
	for fact, t := range s.wrote {
		if fact.Subject == subject && fact.Predicate == predicate && fact.Term == term && t.ID > last.ID {
			last = t
		}
	}
	return last, last.ID != "", nil
}

// change is one statement of a history.
type change struct {
	transaction string
	removed     bool
	statement   statement.Statement
}

// changes returns what the changesets in a history did, in their order.
func changes(history []statement.Statement) []change {
	revision := map[string]string{}
	var out []change
	for _, s := range history {
		if s.Predicate == archive+"hasRevision" {
			revision[s.Subject] = s.Text
		}
		for _, prefix := range []string{removedIn, addedIn} {
			rest, ok := strings.CutPrefix(s.Scope, prefix)
			id, scope, marked := strings.Cut(rest, scopeMark)
			if !ok || !marked {
				continue
			}
			s.Scope = scope
			out = append(out, change{transaction: id, removed: prefix == removedIn, statement: s})
		}
	}
	slices.SortStableFunc(out, func(a, b change) int {
		removedFirst := 0
		if a.removed != b.removed {
			removedFirst = 1
			if a.removed {
				removedFirst = -1
			}
		}
		return cmp.Or(strings.Compare(revision[a.transaction], revision[b.transaction]), removedFirst)
	})
	return out
}

// replayed returns the statements that a history leads to, each with the
// changeset that wrote it last.
func replayed(history []statement.Statement) map[statement.Fact]source.Transaction {
	about := map[string]source.Transaction{}
	for _, s := range history {
		t := about[s.Subject]
		switch s.Predicate {
		case archive + "createdOn":
			t.Time, _ = strconv.ParseFloat(s.Text, 64)
		case archive + "createdBy":
			t.Author = s.Text
		case archive + "comment":
			t.Comment = s.Text
		default:
			continue
		}
		about[s.Subject] = t
	}
	out := map[statement.Fact]source.Transaction{}
	for _, c := range changes(history) {
		if c.removed {
			delete(out, c.statement.Fact())
			continue
		}
		t := about[c.transaction]
		t.ID = c.transaction
		out[c.statement.Fact()] = t
	}
	return out
}

// historyOf returns the history that leads to just these statements, of those
// that were recorded; nil if none does.
func historyOf(list []statement.Statement, histories []map[statement.Fact]source.Transaction) map[statement.Fact]source.Transaction {
	facts := map[statement.Fact]bool{}
	for _, s := range list {
		facts[s.Fact()] = true
	}
	for _, h := range histories {
		if maps.EqualFunc(h, facts, func(source.Transaction, bool) bool { return true }) && len(h) > 0 {
			return h
		}
	}
	return nil
}

func TestAHistoryIsReplayedAndFoundByWhereItLeads(t *testing.T) {
	row := func(subject, predicate, text, scope string) statement.Statement {
		return statement.Statement{Subject: subject, Predicate: predicate, Term: statement.Literal(text), Scope: scope}
	}
	history := []statement.Statement{
		row("1", "a", "new", addedIn+"T2;;"), row("1", "a", "old", removedIn+"T2;;"), row("1", "a", "old", addedIn+"T1;;"),
		row("1", "b", "kept", addedIn+"T1;;mine"), row("1", "c", "again", removedIn+"T2;;"), row("1", "c", "again", addedIn+"T2;;"),
		row("T1", archive+"hasRevision", "0A00001", "T1"), row("T1", archive+"createdOn", "12.5", "T1"),
		row("T2", archive+"hasRevision", "0A00002", "T2"), row("T2", archive+"createdBy", "ann", "T2"), row("T2", archive+"comment", "why", "T2"),
	}
	got := replayed(history)
	first, second := source.Transaction{ID: "T1", Time: 12.5}, source.Transaction{ID: "T2", Author: "ann", Comment: "why"}
	now := []statement.Statement{row("1", "a", "new", ""), row("1", "b", "kept", "mine"), row("1", "c", "again", "")}
	want := map[statement.Fact]source.Transaction{now[0].Fact(): second, now[1].Fact(): first, now[2].Fact(): second}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	none := replayed([]statement.Statement{row("1", "a", "new", "")})
	histories := []map[statement.Fact]source.Transaction{none, got}
	if h := historyOf(now, histories); !maps.Equal(h, want) {
		t.Errorf("the statements it leads to have the history %v", h)
	}
	if historyOf(now[:2], histories) != nil || historyOf(nil, histories) != nil {
		t.Error("other statements have a history")
	}
	src := withHistory{jsonqltest.New(now), got}
	if at, found, err := src.Transaction("1", "a", statement.Literal("new")); at != second || !found || err != nil {
		t.Errorf("a source says %v, %v, %v", at, found, err)
	}
	if at, _, _ := src.Transaction("1", "b", statement.Literal("kept")); at != first {
		t.Errorf("of a value in a scope, a source says %v", at)
	}
	if _, found, _ := src.Transaction("1", "a", statement.Literal("old")); found {
		t.Error("what is gone has a changeset")
	}
}
