package jsonql_test

import "testing"

// people are the data of the grammar: two who know each other, and a third.
const people = `[
	{"id":"ann","name":"Ann","age":30,"knows":"@bob","nick":["A","Annie"]},
	{"id":"bob","name":"Bob","age":40,"knows":"@ann","gone":null},
	{"id":"cid","name":"Cid"}
]`

func TestCommasAndOperationsStandWhereTheyMay(t *testing.T) {
	alike(t, people, `[{"name":"Bob","age":40},{"name":"Ann","age":30}]`,
		`{name, age order by age desc}`, `{name, age, order by age desc}`, `{name, age, order by age desc,}`,
		`{?p name, age order by age desc}`, `{?p, name, age order by age desc}`,
		`{name, age where age order by age desc limit 5}`, `{name, age limit 5 order by age desc where age}`,
		`{name, age limit 5, order by age desc, where age,}`, `{name, age order by age desc, limit 5}`)
	alike(t, people, `[["Ann"],["Bob"],["Cid"]]`, `[name]`, `[name,]`, `[?p name]`, `[?p, name,]`, `[name limit 9,]`, `[name, limit 9]`)
	alike(t, people, `["Ann","Bob","Cid"]`, `(name)`, `(name,)`, `(name limit 9)`, `(name, limit 9,)`)
	alike(t, people, `[{"name":"Bob"}]`,
		`{name limit 3 limit 1 offset 0 offset 1}`, `{name where age = 30 where age = 40}`,
		`{name order by age, limit 3 where age order by name desc limit 1}`)
}

func TestItemsOfAConstructHaveTheirForms(t *testing.T) {
	tells(t, people, []told{
		{name: "a property", query: `{name where id = @cid}`, want: `[{"name":"Cid"}]`},
		{name: "one that may be absent", query: `{name, maybe age where id = @cid}`, want: `[{"name":"Cid","age":null}]`},
		{name: "or is left out", query: `{name, omitnull maybe age where id = @cid}`, want: `[{"name":"Cid"}]`},
		{name: "a forced list", query: `{[name], [maybe age] where id = @cid}`, want: `[{"name":["Cid"],"age":[]}]`},
		{name: "the id", query: `{id where name = 'Cid'}`, want: `[{"id":"@cid"}]`},
		{name: "a name and a value", query: `{'n' : name, 'o' : omitnull maybe age where id = @cid}`, want: `[{"n":"Cid"}]`},
		{name: "the value of a property as a name", query: `{name : age}`, want: `[{"Ann":30},{"Bob":40}]`},
		{name: "a computed name", query: `{upper(name) : age}`, want: `[{"ANN":30},{"BOB":40}]`},
		{name: "a null name leaves the item out", query: `{(maybe age) : 1, 'id' : id}`, want: `[{"30":1,"id":"@ann"},{"40":1,"id":"@bob"},{"id":"@cid"}]`},
		{name: "a list of several forms", query: `[id, [name], 'x', age + 1, maybe gone where id = @ann]`, want: `[["@ann",["Ann"],"x",31.0,null]]`},
		{name: "a constant of each kind", query: `['s', 1, 1.5, true, false, null, @r]`, want: `[["s",1,1.5,true,false,null,"@r"]]`},
	})
	refuses(t, people, []fault{
		{`{nick : name}`, "1:2", "a property has one name"},
		{`{age + 1}`, "1:2", "needs a name"},
		{`(name, age)`, "1:1", "exactly one value"},
		{`(*)`, "1:1", "exactly one value"},
	})
}

// A value in braces is a set where it has a condition, and a construct else.
func TestBracketsInAnItemMeanWhatIsInThem(t *testing.T) {
	tells(t, people, []told{
		{name: "a condition: the id of who meets it", query: `{name, 'x' : {age = 40} where id = @cid}`, want: `[{"name":"Cid","x":"@bob"}]`},
		{name: "a comparison", query: `{'x' : {age < 35}}`, want: `[{"x":"@ann"}]`},
		{name: "a name: a construct", query: `{'x' : {name} where id = @cid}`, want: `[{"x":[{"name":"Ann"},{"name":"Bob"},{"name":"Cid"}]}]`},
		{name: "several names", query: `{'x' : {name, age} where id = @cid}`, want: `[{"x":[{"name":"Ann","age":30},{"name":"Bob","age":40}]}]`},
		{name: "the id", query: `{'x' : {id} where id = @cid}`, want: `[{"x":[{"id":"@ann"},{"id":"@bob"},{"id":"@cid"}]}]`},
		{name: "a name with a value", query: `{'x' : {'k' : age} where id = @cid}`, want: `[{"x":[{"k":30},{"k":40}]}]`},
		{name: "a label and names", query: `{'x' : {?l name, age} where id = @cid}`, want: `[{"x":[{"name":"Ann","age":30},{"name":"Bob","age":40}]}]`},
		{name: "a star", query: `{'x' : {* where id = @cid} where id = @ann}`, want: `[{"x":{"id":"@cid","name":"Cid"}}]`},
		{name: "a single value in brackets: a forced list", query: `{'x' : [name] where id = @cid}`, want: `[{"x":["Cid"]}]`},
		{name: "several: a list for each row", query: `{'x' : [name, age] where id = @cid}`, want: `[{"x":[["Ann",30],["Bob",40]]}]`},
		{name: "a condition: a list for each row", query: `{'x' : [name where age] where id = @cid}`, want: `[{"x":[["Ann"],["Bob"]]}]`},
		{name: "two brackets: a list of lists", query: `{'x' : [[name]] where id = @cid}`, want: `[{"x":[["Ann"],["Bob"],["Cid"]]}]`},
		{name: "brackets and braces: a list of objects", query: `{'x' : [{name where age = 40}] where id = @cid}`, want: `[{"x":[{"name":"Bob"}]}]`},
		{name: "a bare name in a list is a value", query: `[name where age]`, want: `[["Ann"],["Bob"]]`},
	})
}

func TestOperatorsBindInTheirOrder(t *testing.T) {
	tells(t, people, []told{
		{name: "or less than and", query: `[true or false and false, (true or false) and false]`, want: `[[true,false]]`},
		{name: "and less than not", query: `[not false and false, not (false and false)]`, want: `[[false,true]]`},
		{name: "not less than in", query: `[not 1 in (2, 3), (not 1) in (2, 3)]`, want: `[[true,false]]`},
		{name: "in less than comparison", query: `[2 = 2 in (true,), 2 = (2 in (true,))]`, want: `[[true,false]]`},
		{name: "comparison less than sum", query: `[1 + 1 = 2, 1 + (1 = 2)]`, want: `[[true,1.0]]`},
		{name: "sum less than product", query: `[1 + 2 * 3, (1 + 2) * 3, 7 - 6 / 2, 1 + 7 % 4]`, want: `[[7.0,9.0,4.0,4.0]]`},
		{name: "product less than sign", query: `[-age + 50, -(age + 50) where age = 30]`, want: `[[20.0,-80.0]]`},
		{name: "from the left", query: `[9 - 4 - 3, 9 - (4 - 3), 16 / 4 / 2, 16 / (4 / 2)]`, want: `[[2.0,8.0,2.0,8.0]]`},
		{name: "and less than maybe", query: `(id where maybe age and name)`, want: `["@ann","@bob","@cid"]`},
		{name: "both signs of equality", query: `(id where age = 30 and age == 30)`, want: `["@ann"]`},
	})
	refuses(t, people, []fault{
		{`(id where 1 < age < 50)`, "1:19", "cannot be chained"},
		{`(id where age = age = age)`, "1:21", "cannot be chained"},
	})
}

func TestMembershipHasItsForms(t *testing.T) {
	tells(t, people, []told{
		{name: "of values", query: `(id where age in (30, 99))`, want: `["@ann"]`},
		{name: "of expressions", query: `(id where age in (10 + 20, 99,))`, want: `["@ann"]`},
		{name: "of one value", query: `(id where age in (40))`, want: `["@bob"]`},
		{name: "not", query: `(id where age not in (30, 99))`, want: `["@bob"]`},
		{name: "in a property", query: `(id where 'Annie' in nick)`, want: `["@ann"]`},
		{name: "in a set of objects", query: `(id where knows in {age = 40})`, want: `["@ann"]`},
		{name: "a label and its id", query: `{name, 'k' : ?k.id, 'm' : ?k where knows = ?k and ?k.age = 40}`, want: `[{"name":"Ann","k":"@bob","m":"@bob"}]`},
		{name: "arguments with names", query: `(follow(id, knows, excludeInitial = true) where id = @ann)`, want: `["@bob"]`},
	})
}

func TestWhatTheGrammarDoesNotHaveIsRefused(t *testing.T) {
	refuses(t, people, []fault{
		{``, "1:1", "a query starts with"}, {`name`, "1:1", "a query starts with"}, {`{*} {*}`, "1:5", "should end here"},
		{`{*`, "1:3", "end of the query"}, {`{name age}`, "1:7", `"age"`}, {`{, name}`, "1:2", `","`}, {`{name where}`, "1:12", "a value should be here"},
		{`{name,, age}`, "1:7", `","`}, {`{'x'}`, "1:2", "needs a name"}, {`{'x' : }`, "1:8", "a value should be here"},
		{`{* limit -1}`, "1:10", "whole number"}, {`{* offset 1.5}`, "1:11", "whole number"}, {`{* depth x}`, "1:10", "whole number"},
		{`{* order name}`, "1:10", `"by"`}, {`{* where age in ()}`, "1:18", "empty set"}, {`{* where name.}`, "1:15", "dot"},
		{"{*\n where nofunc(age)}", "2:8", `unknown function "nofunc"`}, {`{'x' : upper()}`, "1:8", "argument"},
		{`{* where count(age) = 1}`, "1:10", "count"},
	})
}
