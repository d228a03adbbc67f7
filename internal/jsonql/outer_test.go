package jsonql_test

import (
	"testing"

	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/statement"
)

func TestRowsAroundAConstructStayWhereItFindsNothing(t *testing.T) {
	tells(t, `[{"id":"red","label":"Red"},{"id":"green","label":"Green"},{"id":"ann","name":"Ann","team":"@red"}]`, []told{
		{name: "a join in the construct", query: `{?t label, 'people': [{name where maybe team = ?t}]}`,
			want: `[{"label":"Green","people":[]},{"label":"Red","people":[{"name":"Ann"}]}]`},
		{name: "the other way around", query: `{?t label, 'people': [{name where maybe ?t = team}]}`,
			want: `[{"label":"Green","people":[]},{"label":"Red","people":[{"name":"Ann"}]}]`},
		{name: "an inner join", query: `{?t label, 'people': [{name where team = ?t}]}`, want: `[{"label":"Red","people":[{"name":"Ann"}]}]`},
	})
}

func TestExistsAsksAndDoesNotRequire(t *testing.T) {
	tells(t, `[{"id":"a","n":1},{"id":"b","n":null},{"id":"c","m":1}]`, []told{
		{name: "in a construct", query: `{id, 'has': exists(n) where id in (@a, @b, @c)}`,
			want: `[{"id":"@a","has":true},{"id":"@b","has":true},{"id":"@c","has":false}]`},
	})
}

// known tells of every value one changeset.
type known struct{ jsonqltest.Indexed }

func (known) Transaction(subject, _ string, _ statement.Term) (source.Transaction, bool, error) {
	return source.Transaction{ID: "txn:" + subject, Time: 5}, subject != "", nil
}

func TestAConditionOnTheHistoryOfAValueIsTriedOnItsObject(t *testing.T) {
	src := known{jsonqltest.Indexed{Source: sourceOf(t, `[{"id":"a","v":1},{"id":"b","v":2}]`)}}
	for query, want := range map[string]string{
		"(id where getTransactionTime(v) > 4)":            `["@a","@b"]`,
		"(id where getTransactionId(v) = ref('txn:b'))":   `["@b"]`,
		"{'n': max(getTransactionTime(v)) where v}":       `[{"n":5.0}]`,
		"[v, count(getTransactionTime(v)) group by v]":    `[[1,1],[2,1]]`,
		"(id where v = 1 or getTransactionTime(v) > 100)": `["@a"]`,
	} {
		if got := answer(t, src, query, nil); got != want {
			t.Errorf("%s gives %s, want %s", query, got, want)
		}
	}
}
