package jsonql_test

import (
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
)

// kinds has a value of each kind under v; a has two of some more.
const kinds = `[
	{"id":"n","v":null},{"id":"f","v":false},{"id":"t","v":true},{"id":"i","v":1},{"id":"d","v":1.0},{"id":"s","v":"1"},
	{"id":"r","v":"@u"},{"id":"q","v":{"datatype":"json","value":"@u"}},{"id":"l","v":[1,2]},
	{"id":"o","v":{"w":1}},{"id":"x","w":5}
]`

func TestAPropertyEqualsAConstantOfItsKindOnly(t *testing.T) {
	tells(t, kinds, []told{
		{name: "an integer", query: `(id where v = 1)`, want: `["@i","@l"]`},
		{name: "a double", query: `(id where v = 1.0)`, want: `["@d"]`},
		{name: "a string", query: `(id where v = '1')`, want: `["@s"]`},
		{name: "true", query: `(id where v = true)`, want: `["@t"]`},
		{name: "false", query: `(id where v = false)`, want: `["@f"]`},
		{name: "null", query: `(id where v = null)`, want: `["@n"]`},
		{name: "a reference", query: `(id where v = @u)`, want: `["@r"]`},
		{name: "one that a function makes", query: `(id where v = ref('u'))`, want: `["@r"]`},
		{name: "the text of a reference is none", query: `(id where v = 'u')`, want: `[]`},
		{name: "nor a text that looks like one", query: `(id where v = '@u')`, want: `["@q"]`},
		{name: "a bind variable that looks like one is", query: `(id where v = :b)`, want: `["@r"]`, bind: jsonql.Bindings{"b": "@u"}},
		{name: "in a list too", query: `(id where v in :b)`, want: `["@r","@s"]`, bind: jsonql.Bindings{"b": []any{"@u", "1"}}},
		{name: "the constant first", query: `(id where 1 = v)`, want: `["@i","@l"]`},
		{name: "an id as a text", query: `(v where id = 'i')`, want: `[1]`},
		{name: "an id as a reference", query: `(v where id = @i)`, want: `[1]`},
		{name: "an id that is bound", query: `(v where id = :b)`, want: `[1]`, bind: jsonql.Bindings{"b": "@i"}},
		{name: "an id below or", query: `(id where id = 'i' or id = @d or 'x' = id)`, want: `["@d","@i","@x"]`},
		{name: "an id in a construct", query: `[id = 'i', 'i' = id, id = @x, id != 'i' where id = @i]`, want: `[[true,true,false,false]]`},
		{name: "an id of nothing", query: `(id where id = @none)`, want: `[]`},
	})
}

func TestOtherEquationsCompareNumbersAsNumbersAndListsByWhatTheyHold(t *testing.T) {
	tells(t, `[{"id":"a","p":1,"q":1.0},{"id":"b","p":1,"q":2},{"id":"c","p":[1,2],"q":2},{"id":"d","p":"1","q":1},{"id":"e","p":true,"q":1},{"id":"f","p":null,"q":0}]`, []told{
		{name: "two properties", query: `(id where p = q)`, want: `["@a","@c","@e"]`},
		{name: "computed", query: `(id where p = 0 + 1)`, want: `["@a","@b","@c","@e"]`},
		{name: "a value in a list", query: `(id where p = q and q = 2)`, want: `["@c"]`},
		{name: "null is not 0", query: `(id where q = 0 and p = q)`, want: `[]`},
	})
}

func TestUnequalWantsAValueThatDiffers(t *testing.T) {
	tells(t, `[{"id":"a","v":[1,2]},{"id":"b","v":1},{"id":"c","v":"x"},{"id":"d"},{"id":"e","w":1}]`, []told{
		{name: "and shows only such", query: `{id, v where v != 1}`, want: `[{"id":"@a","v":[2]},{"id":"@c","v":"x"}]`},
		{name: "as not equal does", query: `{id, v where not v = 1}`, want: `[{"id":"@a","v":[2]},{"id":"@c","v":"x"}]`},
		{name: "or in brackets", query: `{id, v where not (v = 1)}`, want: `[{"id":"@a","v":[2]},{"id":"@c","v":"x"}]`},
		{name: "the property must be there", query: `(id where v != 7)`, want: `["@a","@b","@c"]`},
		{name: "of an id", query: `(id where v and id != @a)`, want: `["@b","@c"]`},
	})
}

func TestNotOfAPropertyIsItsAbsence(t *testing.T) {
	tells(t, `[{"id":"a","v":null},{"id":"b","v":false},{"id":"c","v":[]},{"id":"d","w":1}]`, []told{
		{name: "present, though null, false or empty", query: `(id where v)`, want: `["@a","@b","@c"]`},
		{name: "absent", query: `(id where not v)`, want: `["@d"]`},
		{name: "not absent", query: `(id where not not v)`, want: `["@a","@b","@c"]`},
		{name: "three times", query: `(id where not not not v)`, want: `["@d"]`},
		{name: "absent and present", query: `(id where not v and v)`, want: `[]`},
		{name: "null is a value", query: `(id where v = null)`, want: `["@a"]`},
		{name: "maybe null is absent too", query: `(id where (maybe v) = null)`, want: `["@a","@d"]`},
	})
}

func TestValuesOfAllKindsHaveAnOrder(t *testing.T) {
	tells(t, kinds, []told{
		{name: "null is first", query: `(id where v <= null)`, want: `["@n"]`},
		{name: "then numbers, true as 1", query: `(id where v > null and v < 1)`, want: `["@f"]`},
		{name: "equal numbers", query: `(id where v >= 1 and v <= 1)`, want: `["@d","@i","@t"]`},
		{name: "numbers before texts", query: `(id where v < '')`, want: `["@d","@f","@i","@l","@n","@t"]`},
		{name: "lists after numbers", query: `(id where v > 99999 and v < '')`, want: `["@l"]`},
		{name: "texts by code point", query: `(id where v >= '0' and v < 'a')`, want: `["@q","@s"]`},
		{name: "references last", query: `(id where v > 'zzz')`, want: `["@o","@r"]`},
		{name: "by their ids", query: `(id where v >= @u)`, want: `["@r"]`},
	})
}

func TestEmptyListsAreOrderedAsLists(t *testing.T) {
	tells(t, `[{"id":"a","v":[]},{"id":"b","v":[[]]},{"id":"c","v":1},{"id":"d","v":"x"},{"id":"f","v":"@y"}]`, []told{
		{name: "before texts", query: `(id where v < '')`, want: `["@a","@b","@c"]`},
		{name: "in an order", query: `(id where id != @b order by v)`, want: `["@c","@a","@d","@f"]`},
	})
}

func TestMembershipLooksAtEachValue(t *testing.T) {
	tells(t, `[{"id":"a","v":[1,2],"to":["@b","@c"]},{"id":"b","v":1,"to":"@c"},{"id":"c","v":"x"},{"id":"d","w":1}]`, []told{
		{name: "one is enough", query: `(id where v in (2, 'x'))`, want: `["@a","@c"]`},
		{name: "none may be", query: `(id where v not in (2, 'x'))`, want: `["@b"]`},
		{name: "not before it", query: `(id where not v in (2, 'x'))`, want: `["@b"]`},
		{name: "a bound list", query: `(id where v in :l)`, want: `["@a","@b"]`, bind: jsonql.Bindings{"l": []any{1}}},
		{name: "ids", query: `(id where id in ('a', @c, 'none'))`, want: `["@a","@c"]`},
		{name: "a function", query: `(id where id in follow(@b, to))`, want: `["@b","@c"]`},
		{name: "a set of objects", query: `(id where to in {v = 'x'})`, want: `["@a","@b"]`},
		{name: "not in it", query: `(id where to not in {v = 1})`, want: `["@b"]`},
	})
}

func TestConditionsAreJoined(t *testing.T) {
	tells(t, `[{"id":"a","tag":["@x","@y"],"n":1},{"id":"b","tag":"@x","n":2},{"id":"c","n":3,"m":1},{"id":"d","tag":"@y"}]`, []told{
		{name: "both hold of the object, not of a value", query: `{id, tag where tag = @x and tag = @y}`, want: `[{"id":"@a","tag":["@x","@y"]}]`},
		{name: "one of two", query: `(id where n = 3 or tag = @y)`, want: `["@a","@c","@d"]`},
		{name: "an absent property meets nothing below or", query: `(id where m < 5 or n > 2)`, want: `["@c"]`},
		{name: "its absence does", query: `(id where not tag or n = 1)`, want: `["@a","@c"]`},
		{name: "and below or", query: `(id where n = 3 and m = 1 or n = 2 and tag = @x)`, want: `["@b","@c"]`},
		{name: "or below and", query: `(id where (n = 1 or n = 2) and (tag = @y or m))`, want: `["@a"]`},
		{name: "not both: not the one, or the other differs", query: `(id where n and not (n > 1 and tag = @x))`, want: `["@a"]`},
		{name: "neither: not the one, and the other differs", query: `(id where n and not (n > 2 or tag = @y))`, want: `["@a","@b"]`},
		{name: "not not both", query: `(id where not not (n > 1 and tag = @x))`, want: `["@b"]`},
		{name: "constants are conditions like others", query: `(id where n = 1 and 1 = 1)`, want: `["@a"]`},
		{name: "that may be false", query: `(id where n = 1 and 1 = 2)`, want: `[]`},
		{name: "alone they make up no row", query: `(id where 1 = 1)`, want: `["@a","@b","@c","@d"]`},
	})
}

func TestPathsLeadFromObjectToObject(t *testing.T) {
	tells(t, `[{"id":"a","to":"@b","in":{"k":1,"deep":{"k":7}},"all":["@b","@c"]},{"id":"b","to":"@c","k":2},{"id":"c","k":3},{"id":"d","to":"@gone"}]`, []told{
		{name: "by a reference", query: `(id where to.k = 2)`, want: `["@a"]`},
		{name: "by two", query: `(id where to.to.k = 3)`, want: `["@a"]`},
		{name: "into what is embedded", query: `(id where <in>.deep.k = 7)`, want: `["@a"]`},
		{name: "to an id", query: `(id where to.id = @gone)`, want: `["@d"]`},
		{name: "in a construct", query: `{id, 'k' : to.k}`, want: `[{"id":"@a","k":2},{"id":"@b","k":3},{"id":"@d","k":null}]`},
		{name: "under its last name", query: `{<in>.k}`, want: `[{"k":1}]`},
		{name: "to all", query: `[all.k]`, want: `[[[2,3]]]`},
		{name: "of a label", query: `{'k' : ?x.to.k where ?x = @a}`, want: `[{"k":2}]`},
	})
}
