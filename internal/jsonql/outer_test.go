package jsonql_test

import "testing"

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
