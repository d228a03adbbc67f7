package jsonql_test

import "testing"

const figures = `[
	{"id":"a","n":7,"s":"Mixed Case","l":[1,2,3],"m":[10,20],"z":null,"r":"@b","e":{"k":1},"b":true},
	{"id":"b","r":"@c"},{"id":"c","r":"@a","x":["@b","@d"]},{"id":"d","x":"@gone"}
]`

func TestNumbersAreComputedAsDoubles(t *testing.T) {
	tells(t, figures, []told{
		{name: "each operator", query: `[n + 1, n - 1, n * 2, n / 2, n % 4, -n]`, want: `[[8.0,6.0,14.0,3.5,3.0,-7.0]]`},
		{name: "the rest has the sign of the divisor", query: `[-7 % 3, 7 % -3]`, want: `[[2.0,-2.0]]`},
		{name: "what is no number is 0", query: `['x' + 1, r + 1 where n]`, want: `[[1.0,1.0]]`},
		{name: "what reads as one is one", query: `['12' + 1, true + 1]`, want: `[[13.0,2.0]]`},
		{name: "null stays null", query: `[z + 1, -z, upper(z), number(z), string(z)]`, want: `[[null,null,null,null,null]]`},
		{name: "a list, value by value", query: `[l * 2]`, want: `[[[2.0,4.0,6.0]]]`},
		{name: "two lists, each with each", query: `(l + m)`, want: `[[11.0,21.0,12.0,22.0,13.0,23.0]]`},
		{name: "a list in a condition", query: `(id where l + 1 = 4)`, want: `["@a"]`},
	})
	refuses(t, figures, []fault{
		{`(n / 0)`, "1:4", "division by zero"}, {"(id\nwhere n % 0 = 1)", "2:9", "division by zero"},
		{`(1e300 * 1e300)`, "1:8", "beyond the range"},
	})
}

func TestFunctionsConvertAndTest(t *testing.T) {
	tells(t, figures, []told{
		{name: "number", query: `[number('1.5'), number('x'), number(n)]`, want: `[[1.5,0.0,7.0]]`},
		{name: "string", query: `[string(n), string(r), string(b), string(1.5) where n]`, want: `[["7","b","true","1.5"]]`},
		{name: "bool", query: `[bool(n), bool(0), bool(''), bool('0'), bool(0.0)]`, want: `[[true,false,false,true,false]]`},
		{name: "ref", query: `[ref('b'), ref('b') = r where n]`, want: `[["@b",true]]`},
		{name: "upper and lower", query: `[upper(s), lower(s)]`, want: `[["MIXED CASE","mixed case"]]`},
		{name: "trim", query: `[trim(' a '), ltrim(' a '), rtrim(' a ')]`, want: `[["a","a "," a"]]`},
		{name: "trim of characters", query: `[trim('xyax', 'xy'), ltrim('xyax', 'xy'), rtrim('xyax', 'xy')]`, want: `[["a","ax","xya"]]`},
		{name: "if computes what it gives only", query: `[if(n, 'y', 1 / 0), if(z, 1 / 0, 'n'), if('', 1, 2)]`, want: `[["y","n",2]]`},
		{name: "isref", query: `[isref(r), isref(s), isref(e)]`, want: `[[true,false,true]]`},
		{name: "isbnode", query: `[isbnode(r), isbnode(s), isbnode(e)]`, want: `[[false,false,true]]`},
		{name: "of a list, value by value", query: `[string(l)]`, want: `[[["1","2","3"]]]`},
		{name: "of any letters", query: `[string('é'), upper('é'), lower('É'), string(@é)]`, want: `[["é","É","é","é"]]`},
		{name: "in the order of the list", query: `['x', m * -1, string(m)]`, want: `[["x",[-10.0,-20.0],["10","20"]]]`},
		{name: "in a condition", query: `(id where lower(s) = 'mixed case')`, want: `["@a"]`},
		{name: "alone as a condition", query: `(id where isref(r) and r != @b)`, want: `["@b","@c"]`},
		{name: "of texts", query: `[startswith(s, 'Mix'), startswith(s, 'mix'), endswith(s, 'Case'), contains(s, 'd C'), ieq(s, 'MIXED case')]`, want: `[[true,false,true,true,true]]`},
		{name: "exists", query: `(id where exists(x) and not exists(r))`, want: `["@d"]`},
	})
	refuses(t, figures, []fault{
		{`(upper())`, "1:2", "argument"}, {`(if(n, 1))`, "1:2", "argument"}, {`(trim(s, 'a', 'b'))`, "1:2", "argument"}, {`(other(s))`, "1:2", "unknown function"},
	})
}

func TestLogicInAConstructGivesValues(t *testing.T) {
	tells(t, figures, []told{
		{name: "or", query: `[z or 'none', n or 1 / 0, false or null]`, want: `[["none",7,null]]`},
		{name: "and", query: `[n and 'yes', z and 1 / 0]`, want: `[["yes",null]]`},
		{name: "not", query: `[not z, not n]`, want: `[[true,false]]`},
		{name: "comparisons", query: `[n = 7, n = 7.0, n != 7, n > 'a', 1 = true, '1' = 1, null < 0]`, want: `[[true,true,false,false,true,false,true]]`},
		{name: "membership", query: `[2 in l, 9 in l, n not in (1, 2)]`, want: `[[true,false,true]]`},
	})
}

func TestFollowFindsAllThatAPropertyLeadsTo(t *testing.T) {
	tells(t, figures, []told{
		{name: "with where it begins, in a circle", query: `(follow(id, r) where n)`, want: `[["@a","@b","@c"]]`},
		{name: "without", query: `(follow(id, r, true) where n)`, want: `[["@b","@c"]]`},
		{name: "by name", query: `(follow(id, r, excludeInitial=true) where n)`, want: `[["@b","@c"]]`},
		{name: "ends only", query: `(follow(id, x, edgesOnly=true) where r = @b or x = @gone)`, want: `["@a","@gone"]`},
		{name: "several ends", query: `[@b in follow(id, x, false, true), @gone in follow(id, x, false, true), @d in follow(id, x, false, true) where r = @a]`, want: `[[true,true,false]]`},
		{name: "several ways", query: `(follow(id, x, true) where r = @a)`, want: `[["@b","@d","@gone"]]`},
		{name: "from several", query: `(follow(x, x) where r = @a)`, want: `[["@b","@d","@gone"]]`},
		{name: "backwards", query: `(rfollow(id, x, true) where id = @b)`, want: `["@c"]`},
		{name: "over two steps back", query: `(rfollow(@gone, x, true) where n)`, want: `[["@d","@c"]]`},
		{name: "in a condition", query: `(id where id in follow(@c, x) and (x or r))`, want: `["@b","@c","@d"]`},
		{name: "backwards in a condition", query: `(id where id in rfollow(@gone, x) and x)`, want: `["@c","@d"]`},
		{name: "from the text of an id", query: `(id where id in follow('c', x) and r)`, want: `["@b","@c"]`},
		{name: "from an object of another set", query: `{?p id, 'q' : [{?q id where ?q in follow(?p, r, true)}] where l}`, want: `[{"id":"@a","q":[{"id":"@b"},{"id":"@c"}]}]`},
		{name: "a constant in what another leads to", query: `(id where @b in follow(id, x))`, want: `["@b","@c"]`},
	})
	refuses(t, figures, []fault{{`(follow(id, 'r'))`, "1:13", "property"}, {`(follow(id))`, "1:2", "argument"}})
}

// A source has no history, and tells none.
func TestFunctionsOfTheHistoryAreNullWithoutOne(t *testing.T) {
	tells(t, figures, []told{
		{name: "each", query: `[getTransactionId(n), getTransactionTime(n), getTransactionAuthor(n), getTransactionComment(n)]`, want: `[[null,null,null,null]]`},
		{name: "of a label", query: `(getTransactionId(?x.n) where ?x.n = 7 and id = ?x)`, want: `[null]`},
	})
}
