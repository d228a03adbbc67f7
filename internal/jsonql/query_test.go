package jsonql_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// sourceOf returns a source that holds pJSON.
func sourceOf(t testing.TB, text string) *jsonqltest.Source {
	t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{IDs: pjson.Counter()})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var list []statement.Statement
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.New(list)
}

func answer(t testing.TB, src jsonql.Source, query string, b jsonql.Bindings) string {
	t.Helper()
	q, err := jsonql.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	got, err := q.Run(t.Context(), src, b, jsonql.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return string(pjson.AppendJSON(nil, got.Rows))
}

// shop is the data of most tests.
const shop = `[
 {"id":"ada","type":"user","name":"Ada","age":36,"tags":["admin","dev"],"boss":"@eve","address":{"city":"London","zip":"W1"}},
 {"id":"bob","type":"user","name":"Bob","age":36.0,"tags":["dev"],"boss":"@ada","mail":null},
 {"id":"eve","type":"user","name":"Eve","age":"36","active":true,"scores":[3,1,2,3]},
 {"id":"p1","type":"post","title":"Hello","by":"@ada","empty":[],"nested":[[1,[2]],["x"]]},
 {"title":"Anonymous","by":"@nobody"}
]`

type question struct {
	name, query, want string
	bind              jsonql.Bindings
}

func ask(t *testing.T, data string, list []question) {
	t.Helper()
	src := sourceOf(t, data)
	for _, q := range list {
		t.Run(q.name, func(t *testing.T) {
			if got := answer(t, src, q.query, q.bind); got != q.want {
				t.Errorf("%s\n got %s\nwant %s", q.query, got, q.want)
			}
		})
	}
}

const (
	ada   = `{"id":"@ada","address":{"city":"London","zip":"W1"},"age":36,"boss":"@eve","name":"Ada","tags":["admin","dev"],"type":"user"}`
	bob   = `{"id":"@bob","age":36.0,"boss":"@ada","mail":null,"name":"Bob","tags":["dev"],"type":"user"}`
	eve   = `{"id":"@eve","active":true,"age":"36","name":"Eve","scores":[3,1,2,3],"type":"user"}`
	post  = `{"id":"@p1","by":"@ada","empty":[],"nested":[[1,[2]],["x"]],"title":"Hello","type":"post"}`
	anon  = `{"by":"@nobody","title":"Anonymous"}`
	users = `[{"id":"@ada"},{"id":"@bob"},{"id":"@eve"}]`
)

func TestQueriesRangeOverWhatTheSpecificationSays(t *testing.T) {
	ask(t, shop, []question{
		{name: "everything, in order of ids", query: `{*}`, want: "[" + anon + "," + ada + "," + bob + "," + eve + "," + post + "]"},
		{name: "all ids, hidden ones too if asked for", query: `{id}`,
			want: `[{"id":"@_:j:t:object:5"},{"id":"@ada"},{"id":"@bob"},{"id":"@eve"},{"id":"@p1"}]`},
		{name: "objects that have what the construct names", query: `{name, boss}`,
			want: `[{"name":"Ada","boss":"@eve"},{"name":"Bob","boss":"@ada"}]`},
		{name: "embedded objects too", query: `{city}`, want: `[{"city":"London"}]`},
		{name: "embedded objects with their id", query: `{id where zip = 'W1'}`, want: `[{"id":"@_:j:e:object:ada:1"}]`},
		{name: "embedded objects with a property that may be missing", query: `{id, maybe city where not type}`,
			want: `[{"id":"@_:j:t:object:5","city":null},{"id":"@_:j:e:object:ada:1","city":"London"}]`},
		{name: "nothing", query: `{nothing}`, want: `[]`},
		{name: "no list inside a list is a row", query: `(id)`, want: `["@_:j:t:object:5","@ada","@bob","@eve","@p1"]`},
		{name: "constants once", query: `{'a' : 1, 'b' : ['x'], 'c' : @y}`, want: `[{"a":1,"b":["x"],"c":"@y"}]`},
		{name: "the empty construct", query: `{}`, want: `[{}]`},
		{name: "a constant condition", query: `{'a' : 1 where 1 = 2}`, want: `[]`},
		{name: "a constant row for each match", query: `{'a' : 1 where type = 'user'}`, want: `[{"a":1},{"a":1},{"a":1}]`},
	})
}

func TestRowsHaveTheShapeOfTheConstruct(t *testing.T) {
	ask(t, shop, []question{
		{name: "named values", query: `{'who' : name, 'next' : age + 1 where id = 'ada'}`, want: `[{"who":"Ada","next":37.0}]`},
		{name: "computed names", query: `{name : age where type = 'user'}`, want: `[{"Ada":36},{"Bob":36.0},{"Eve":"36"}]`},
		{name: "ids as names", query: `{id : name}`, want: `[{"@ada":"Ada"},{"@bob":"Bob"},{"@eve":"Eve"}]`},
		{name: "a missing name leaves the value out", query: `{(maybe mail) : 1, name}`, want: `[{"name":"Ada"},{"name":"Bob"},{"name":"Eve"}]`},
		{name: "a list", query: `[name, age where age = 36]`, want: `[["Ada",36]]`},
		{name: "all values as a list", query: `[* where id = @bob]`, want: `[[36.0,"@ada",null,"Bob",["dev"],"user"]]`},
		{name: "bare values", query: `(name)`, want: `["Ada","Bob","Eve"]`},
		{name: "a scalar and a list of one", query: `{name, tags where id = 'bob'}`, want: `[{"name":"Bob","tags":["dev"]}]`},
		{name: "a forced list", query: `{[name], [tags], 'e' : [maybe mail] where id = 'bob'}`, want: `[{"name":["Bob"],"tags":["dev"],"e":[]}]`},
		{name: "maybe gives null", query: `{name, maybe boss}`,
			want: `[{"name":"Ada","boss":"@eve"},{"name":"Bob","boss":"@ada"},{"name":"Eve","boss":null}]`},
		{name: "omitnull leaves out", query: `{name, omitnull maybe boss, omitnull maybe mail}`,
			want: `[{"name":"Ada","boss":"@eve"},{"name":"Bob","boss":"@ada"},{"name":"Eve"}]`},
		{name: "forced maybe gives an empty list", query: `{name, [maybe boss] where id = 'eve'}`, want: `[{"name":"Eve","boss":[]}]`},
		{name: "star and more", query: `{'x' : 1, * where id = 'eve'}`,
			want: `[{"id":"@eve","x":1,"active":true,"age":"36","name":"Eve","scores":[3,1,2,3],"type":"user"}]`},
		{name: "star does not repeat", query: `{name, 'id' : 5, * where id = 'bob'}`,
			want: `[{"name":"Bob","id":5,"age":36.0,"boss":"@ada","mail":null,"tags":["dev"],"type":"user"}]`},
		{name: "lists keep order and duplicates", query: `{scores}`, want: `[{"scores":[3,1,2,3]}]`},
		{name: "lists in lists", query: `{nested, empty}`, want: `[{"nested":[[1,[2]],["x"]],"empty":[]}]`},
		{name: "embedded objects in place", query: `{address}`, want: `[{"address":{"city":"London","zip":"W1"}}]`},
		{name: "strings that look like references", query: `('@x')`, want: `[{"datatype":"json","value":"@x"}]`},
		{name: "mergeall makes one object", query: `{id : age where type = 'user' mergeall}`, want: `[{"@ada":36,"@bob":36.0,"@eve":"36"}]`},
		{name: "mergeall: later properties win", query: `{name where type = 'user' mergeall}`, want: `[{"name":"Eve"}]`},
		{name: "mergeall joins lists", query: `[name where type = 'user' mergeall]`, want: `[["Ada","Bob","Eve"]]`},
		{name: "mergeall joins values", query: `(name mergeall)`, want: `[["Ada","Bob","Eve"]]`},
		{name: "mergeall of nothing", query: `{nothing mergeall}`, want: `[]`},
		{name: "the whole object under a name", query: `{name : * where id = 'bob'}`, want: `[{"Bob":` + bob + `}]`},
		{name: "depth follows references", query: `{name, boss where id = 'bob' depth 1}`, want: `[{"name":"Bob","boss":` + ada + `}]`},
		{name: "as deep as asked", query: `{'b' : boss where id = 'bob' depth 2}`,
			want: `[{"b":` + strings.Replace(ada, `"@eve"`, eve, 1) + `}]`},
		{name: "missing targets", query: `{<by> where title = 'Anonymous' depth 5}`, want: `[{"by":{"id":"@nobody"}}]`},
	})
}

func TestConditionsHoldAsTheSpecificationSays(t *testing.T) {
	ask(t, shop, []question{
		{name: "a constant is exact", query: `{id where age = 36}`, want: `[{"id":"@ada"}]`},
		{name: "a double is no integer", query: `{id where age = 36.0}`, want: `[{"id":"@bob"}]`},
		{name: "a string is no number", query: `{id where age = '36'}`, want: `[{"id":"@eve"}]`},
		{name: "either way round", query: `{id where 36 = age}`, want: `[{"id":"@ada"}]`},
		{name: "a string is no reference", query: `{id where boss = 'eve'}`, want: `[]`},
		{name: "nor if it looks like one", query: `{id where boss = '@eve'}`, want: `[]`},
		{name: "a reference is", query: `{id where boss = @eve}`, want: `[{"id":"@ada"}]`},
		{name: "a bound string that looks like one is", query: `{id where boss = :b}`, want: `[{"id":"@ada"}]`, bind: jsonql.Bindings{"b": "@eve"}},
		{name: "a function may make one", query: `{id where boss = ref('eve')}`, want: `[{"id":"@ada"}]`},
		{name: "1 is not true", query: `{id where active = 1}`, want: `[]`},
		{name: "true is true", query: `{id where active = true}`, want: `[{"id":"@eve"}]`},
		{name: "an id as a string or reference", query: `{id where id = 'ada'}`, want: `[{"id":"@ada"}]`},
		{name: "an id that is bound", query: `{id where :i = id}`, want: `[{"id":"@ada"}]`, bind: jsonql.Bindings{"i": statement.Ref("ada")}},
		{name: "an id in a list", query: `{id where id = :l}`, want: `[{"id":"@ada"},{"id":"@eve"}]`, bind: jsonql.Bindings{"l": []any{"@eve", "ada", "@none"}}},
		{name: "an id that does not exist", query: `{* where id = 'none'}`, want: `[]`},
		{name: "other ids", query: `{id where type = 'user' and id != 'bob'}`, want: `[{"id":"@ada"},{"id":"@eve"}]`},
		{name: "two ids at once", query: `{id where id = 'ada' and id = 'bob'}`, want: `[]`},
		{name: "filters select what is constructed", query: `{id, tags where tags = 'dev'}`,
			want: `[{"id":"@ada","tags":["dev"]},{"id":"@bob","tags":["dev"]}]`},
		{name: "filters combine for each object", query: `{id, tags where tags = 'dev' and tags = 'admin'}`, want: `[{"id":"@ada","tags":["admin","dev"]}]`},
		{name: "naming the property shows all", query: `{id, tags where tags = 'dev' and tags}`,
			want: `[{"id":"@ada","tags":["admin","dev"]},{"id":"@bob","tags":["dev"]}]`},
		{name: "star shows all", query: `{* where tags = 'admin'}`, want: "[" + ada + "]"},
		{name: "different needs a value that differs", query: `{id, tags where tags != 'dev'}`, want: `[{"id":"@ada","tags":["admin"]}]`},
		{name: "not equal is different", query: `{id, tags where not tags = 'dev'}`, want: `[{"id":"@ada","tags":["admin"]}]`},
		{name: "not different is equal", query: `{id where not (age != 36)}`, want: `[{"id":"@ada"}]`},
		{name: "different compares numbers as numbers", query: `{id where age != 36.0}`, want: `[{"id":"@eve"}]`},
		{name: "has", query: `{id where active}`, want: `[{"id":"@eve"}]`},
		{name: "has null", query: `{id where mail}`, want: `[{"id":"@bob"}]`},
		{name: "has an empty list", query: `{id where empty}`, want: `[{"id":"@p1"}]`},
		{name: "has not", query: `{id where type = 'user' and not boss}`, want: `[{"id":"@eve"}]`},
		{name: "has not has not", query: `{id where not not boss}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "null is a value", query: `{id where mail = null}`, want: `[{"id":"@bob"}]`},
		{name: "what may be missing may be null", query: `{id where type = 'user' and (maybe mail) = null}`, want: users},
		{name: "although the construct names it", query: `{id, mail where type = 'user' and (maybe mail) = null}`,
			want: `[{"id":"@ada","mail":null},{"id":"@bob","mail":null},{"id":"@eve","mail":null}]`},
		{name: "or another condition does", query: `{id where maybe boss and boss = null and type = 'user'}`, want: `[{"id":"@eve"}]`},
		{name: "unless it must be there", query: `{id where boss and maybe boss}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "under maybe in the construct too", query: `{id, maybe boss where type = 'user' and boss = null}`, want: `[{"id":"@eve","boss":null}]`},
		{name: "what may be missing differs from what it is not", query: `{id, maybe boss where type = 'user' and boss != @ada}`,
			want: `[{"id":"@ada","boss":"@eve"},{"id":"@eve","boss":null}]`},
		{name: "but not from null", query: `{id, maybe boss where boss != null}`, want: `[{"id":"@ada","boss":"@eve"},{"id":"@bob","boss":"@ada"}]`},
		{name: "maybe asks for nothing", query: `{id where type = 'user' and maybe boss}`, want: users},
		{name: "in", query: `{id where age in (36, 'x')}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "in a bound list", query: `{id where boss in :l}`, want: `[{"id":"@ada"},{"id":"@bob"}]`, bind: jsonql.Bindings{"l": []any{"@eve", "@ada"}}},
		{name: "in, for any value", query: `{id where tags in ('admin')}`, want: `[{"id":"@ada"}]`},
		{name: "not in, for no value", query: `{id where tags not in ('admin')}`, want: `[{"id":"@bob"}]`},
		{name: "not before in", query: `{id where not tags in ('admin')}`, want: `[{"id":"@bob"}]`},
		{name: "ids in", query: `{id where id in ('ada', @eve)}`, want: `[{"id":"@ada"},{"id":"@eve"}]`},
		{name: "a property in another", query: `{id where type = 'user' and 'dev' in tags}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "less", query: `{id where scores and age < 40}`, want: `[]`},
		{name: "numbers are less than strings", query: `{id where age < ''}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "at most", query: `{id where age <= 36}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "at least", query: `{id where age >= 36}`, want: users},
		{name: "greater", query: `{id where age > 36.5}`, want: `[{"id":"@eve"}]`},
		{name: "between", query: `{id where age<37 and age>35}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "references by id", query: `{id where boss > @ada}`, want: `[{"id":"@ada"}]`},
		{name: "lists lie between numbers and strings", query: `{id where scores > 99 and scores < ''}`, want: `[{"id":"@eve"}]`},
		{name: "properties are compared as values", query: `{id where type = 'user' and age = age + 0}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "a list equals what it contains", query: `{id where scores = 1 + 1}`, want: `[{"id":"@eve"}]`},
		{name: "filters with a bound list contain", query: `{id where name = :l}`, want: `[{"id":"@ada"},{"id":"@eve"}]`, bind: jsonql.Bindings{"l": []any{"Ada", "Eve"}}},
		{name: "or as a value", query: `{id where (active or age) = 36}`, want: `[]`},
		{name: "a condition that is a function", query: `{id where upper(name) = 'BOB'}`, want: `[{"id":"@bob"}]`},
		{name: "not of a comparison", query: `{id where type = 'user' and not age > 36}`, want: `[{"id":"@ada"},{"id":"@bob"}]`},
		{name: "contradictions", query: `{id where name and not name}`, want: `[]`},
	})
}

func TestRowsAreOrderedAndCut(t *testing.T) {
	data := `[{"id":"a","n":2,"l":[1,3]},{"id":"b","n":10,"l":[1,2]},{"id":"c"},{"id":"d","n":null,"l":5},{"id":"e","n":"x"},
		{"id":"f","n":"@a","x":1},{"id":"g","n":true},{"id":"c","x":1}]`
	ask(t, data, []question{
		{name: "missing and null first, then by kind", query: `(id order by n)`, want: `["@c","@d","@g","@a","@b","@e","@f"]`},
		{name: "descending", query: `(id order by n desc)`, want: `["@f","@e","@b","@a","@g","@c","@d"]`},
		{name: "by id", query: `(id order by id desc)`, want: `["@g","@f","@e","@d","@c","@b","@a"]`},
		{name: "several keys", query: `(id order by x desc, id desc)`, want: `["@f","@c","@g","@e","@d","@b","@a"]`},
		{name: "lists are compared as lists, after numbers", query: `(id where l order by l)`, want: `["@d","@b","@a"]`},
		{name: "limit", query: `(id limit 2)`, want: `["@a","@b"]`},
		{name: "offset", query: `(id offset 5)`, want: `["@f","@g"]`},
		{name: "both, after ordering", query: `(id order by id desc limit 2 offset 1)`, want: `["@f","@e"]`},
		{name: "beyond the end", query: `(id limit 5 offset 99)`, want: `[]`},
		// The original returns one row here; asking for none gives none.
		{name: "limit 0", query: `(id limit 0)`, want: `[]`},
		{name: "filters select, and order looks at all values", query: `{id, l where l != 1 order by l desc}`,
			want: `[{"id":"@a","l":[3]},{"id":"@b","l":[2]},{"id":"@d","l":5}]`},
		{name: "the last limit counts", query: `(id limit 5 limit 1)`, want: `["@a"]`},
		{name: "a constant row can be cut", query: `('x' offset 1)`, want: `[]`},
	})
}

func TestFunctionsComputeWhatTheSpecificationSays(t *testing.T) {
	ask(t, `{"id":"a","two":2,"list":[1,2,3],"more":[10,20],"s":" Abc ","r":"@b","n":null,"t":{"datatype":"date","value":"2010"},"i":{"datatype":"http://www.w3.org/2001/XMLSchema#decimal","value":"2.50"}}`, []question{
		{name: "arithmetic is in doubles", query: `[1+1, 7-2, 2*3, 7/2, 7%4, -two]`, want: `[[2.0,5.0,6.0,3.5,3.0,-2.0]]`},
		{name: "the remainder has the sign of the divisor", query: `[-7 % 4, 7 % -4]`, want: `[[1.0,-1.0]]`},
		{name: "operators bind as usual", query: `(1 + 2 * 3 - 4 / 2)`, want: `[5.0]`},
		{name: "and from left to right", query: `[10 - 4 - 3, 16 / 4 / 2]`, want: `[[3.0,2.0]]`},
		{name: "brackets first", query: `((1 + 2) * 3)`, want: `[9.0]`},
		{name: "what is no number is 0", query: `['x' + 1, true + 1, r + 1, ' 4 ' + 1]`, want: `[[1.0,2.0,1.0,5.0]]`},
		{name: "null makes null", query: `[1 + null, null * 2, upper(null), number(n), string(null)]`, want: `[[null,null,null,null,null]]`},
		{name: "number", query: `[number('12'), number('x'), number(two)]`, want: `[[12.0,0.0,2.0]]`},
		{name: "string", query: `[string(two), string(r), string(1.5)]`, want: `[["2","b","1.5"]]`},
		{name: "bool", query: `[bool(0), bool(0.0), bool(''), bool('x'), bool(r), bool(two)]`, want: `[[false,false,false,true,true,true]]`},
		{name: "ref", query: `[ref('x'), isref(ref('x')), isref('@x'), isbnode(@_:x), isbnode(@x)]`, want: `[["@x",true,false,true,false]]`},
		{name: "texts", query: `[upper(s), lower(s), trim(s), ltrim(s), rtrim(s), trim('xxaxx', 'x'), ltrim('xyz', 'yx'), rtrim('xyz', 'z')]`,
			want: `[[" ABC "," abc ","Abc","Abc "," Abc","a","z","xy"]]`},
		{name: "if evaluates one branch", query: `[if(two, 'yes', 1/0), if(n, 1/0, 'no')]`, want: `[["yes","no"]]`},
		{name: "or and and give values", query: `[n or 'default', two or 1/0, two and 'x', n and 1/0, not n]`, want: `[["default",2,"x",null,true]]`},
		{name: "comparisons give booleans", query: `[1 = 1.0, 1 = true, 1 = '1', 1 != 2, 2 > 1, 'a' < 'b', null < 0, @a > 'z']`,
			want: `[[true,true,false,true,true,true,true,true]]`},
		{name: "large integers are compared exactly", query: `[9007199254740993 = 9007199254740992, 9007199254740993 > 9007199254740992.0, 12345678901234567890123 = 12345678901234567890123, 1 < 12345678901234567890123, -12345678901234567890123 < 0.5]`,
			want: `[[false,true,true,true,true]]`},
		{name: "lists are computed value by value", query: `(list * 2)`, want: `[[2.0,4.0,6.0]]`},
		{name: "several lists in all combinations", query: `(list + more)`, want: `[[11.0,21.0,12.0,22.0,13.0,23.0]]`},
		{name: "functions of lists", query: `(string(list))`, want: `[["1","2","3"]]`},
		{name: "in gives a boolean", query: `[2 in list, 5 in list, 5 not in (1, 2)]`, want: `[[true,false,true]]`},
		{name: "typed values stay", query: `[t, string(t), t = '2010']`, want: `[[{"datatype":"date","value":"2010"},"2010",false]]`},
		{name: "other numeric types are numbers", query: `[i * 2, i = 2.5]`, want: `[[5.0,true]]`},
		{name: "bind variables", query: `[:a, :b, :c, :d]`, want: `[[1,1.5,"@x",["@y",null]]]`,
			bind: jsonql.Bindings{"a": 1, "b": 1.5, "c": "@x", "d": []any{"@y", nil}}},
	})
}

func TestAggregatesComputeOverObjects(t *testing.T) {
	data := `[{"id":"a","k":"x","v":[1,2]},{"id":"b","k":"x","v":null},{"id":"c","k":"y","v":-5.5},{"id":"d","k":["y","z"],"v":"@r"}]`
	ask(t, data, []question{
		{name: "over all objects", query: `[count(*), count(v), sum(v), avg(v), min(v), max(v), total(v)]`,
			want: `[[4,4,-2.5,-0.625,-5.5,"@r",-2.5]]`},
		{name: "over those that match", query: `{'n' : count(*), 's' : sum(v) where k = 'x'}`, want: `[{"n":2,"s":3.0}]`},
		{name: "over none", query: `[count(*), count(v), sum(v), avg(v), min(v), total(v) where k = 'none']`, want: `[[0,0,null,null,null,0.0]]`},
		{name: "in expressions", query: `(sum(v) / count(*) where k = 'x')`, want: `[1.5]`},
		{name: "groups, one for each value", query: `{k, 'n' : count(*), 'm' : count(v) group by k}`,
			want: `[{"k":"x","n":2,"m":1},{"k":"y","n":2,"m":2},{"k":"z","n":1,"m":1}]`},
		{name: "other properties become lists", query: `{k, v where k = 'x' group by k}`, want: `[{"k":"x","v":[1,2,null]}]`},
		{name: "or scalars", query: `{k, v group by k order by k desc limit 1}`, want: `[{"k":"z","v":"@r"}]`},
		{name: "the key need not be shown", query: `(count(*) group by k)`, want: `[2,2,1]`},
		{name: "numbers that are equal are still two keys", query: `{v, 'n' : count(*) where v in (1, -5.5) group by v}`,
			want: `[{"v":-5.5,"n":1},{"v":1,"n":1},{"v":2,"n":1}]`},
		{name: "members without the key are left out", query: `{none, 'n' : count(*) group by none}`, want: `[]`},
	})
}

func TestForUpdateGivesEveryObjectItsID(t *testing.T) {
	src := sourceOf(t, `[{"id":"a","o":{"k":1},"l":[{"k":2}]},{"p":1}]`)
	tests := map[string]string{
		`{*}`: `[{"id":"@_:j:t:object:3","p":1},{"id":"@a","l":[{"id":"@_:j:e:object:a:2","k":2}],"o":{"id":"@_:j:e:object:a:1","k":1}}]`,
		`{o}`: `[{"id":"@a","o":{"id":"@_:j:e:object:a:1","k":1}}]`,
	}
	for text, want := range tests {
		q, err := jsonql.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		q.ForUpdate = true
		got, err := q.Run(t.Context(), src, nil, jsonql.Limits{})
		if err != nil || string(pjson.AppendJSON(nil, got.Rows)) != want {
			t.Errorf("%s: %s, %v\nwant %s", text, pjson.AppendJSON(nil, got.Rows), err, want)
		}
	}
}

func TestCirclesOfAnonymousObjectsEnd(t *testing.T) {
	src := sourceOf(t, `[{"id":"_:a","next":"@_:b"},{"id":"_:b","next":"@_:a"}]`)
	want := `[{"id":"@_:a","next":{"id":"@_:b","next":"@_:a"}},{"id":"@_:b","next":{"id":"@_:a","next":"@_:b"}}]`
	if got := answer(t, src, `{*}`, nil); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := answer(t, sourceOf(t, `{"id":"a","p":"@a"}`), `{* depth 50}`, nil); got != `[{"id":"@a","p":"@a"}]` {
		t.Errorf("a circle of one: %s", got)
	}
}

func TestScopesPlayNoPart(t *testing.T) {
	src := sourceOf(t, `[{"id":"a","p":[1,{"datatype":"json","value":1,"context":"c"}]},{"id":"b","context":"d","p":1}]`)
	if got, want := answer(t, src, `{* where p = 1}`, nil), `[{"id":"@a","p":[1,1]},{"id":"@b","p":1}]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConditionsWithAnIndexScanNothing(t *testing.T) {
	src := sourceOf(t, shop)
	for _, query := range []string{
		`{* where name = 'Ada'}`, `{* where id = 'ada'}`, `{* where boss}`, `{name, age}`, `{* where age > 30 and type = 'user'}`,
		`{* where name = :v}`, `{id where :v = name limit 1}`,
	} {
		answer(t, src, query, jsonql.Bindings{"v": "Ada"})
		if src.Scans > 0 {
			t.Fatalf("%s looked at all objects", query)
		}
	}
	answer(t, src, `{* where not boss}`, nil)
	if src.Scans != 1 {
		t.Errorf("a query without index made %d scans, want 1", src.Scans)
	}
}

func TestAQueryThatCannotBeComputedSaysWhere(t *testing.T) {
	src := sourceOf(t, `[{"id":"a","n":0,"l":[1,2]},{"id":"b","n":1}]`)
	tests := []struct {
		query string
		bind  jsonql.Bindings
		want  string
	}{
		{`{'k' : 1 / n}`, nil, "line 1, column 10: division by zero"},
		{"{id\nwhere 1 % n = 1}", nil, "line 2, column 9: division by zero"},
		{`(1e300 * 1e300)`, nil, "line 1, column 8: the result is beyond the range of a number"},
		{`{* where n = :v}`, nil, `line 1, column 14: bind variable "v" has no value: pass one`},
		{`(:v)`, jsonql.Bindings{"v": struct{}{}}, `bind variable "v": a value of Go type struct {} cannot be stored`},
		{`(:v)`, jsonql.Bindings{"v": []any{1i}}, `bind variable "v": a value of Go type complex128`},
		{`{l : 1}`, nil, "line 1, column 2: the key has 2 values, and a property has one name"},
	}
	for _, tt := range tests {
		q, err := jsonql.Parse(tt.query)
		if err != nil {
			t.Fatalf("%s: %v", tt.query, err)
		}
		got, err := q.Run(t.Context(), src, tt.bind, jsonql.Limits{})
		var evaluation *jsonql.EvaluationError
		if !errors.As(err, &evaluation) || !strings.Contains(err.Error(), tt.want) || got.Rows != nil {
			t.Errorf("%s: rows %v, error %v, want %q", tt.query, got.Rows, err, tt.want)
		}
	}
}

func TestResultsAreBounded(t *testing.T) {
	src := sourceOf(t, `[{"id":"a","l":[1,2,3]},{"id":"b","l":[4,5]},{"id":"c","l":6}]`)
	tests := []struct {
		query  string
		limits jsonql.Limits
		want   string
	}{
		{`{*}`, jsonql.Limits{MaxRows: 2}, "the result has more than 2 rows: add a condition, or limit and offset"},
		{`{l, 'n' : count(*) group by l}`, jsonql.Limits{MaxRows: 5}, "more than 5 rows"},
		{`{*}`, jsonql.Limits{MaxValues: 5}, "the result is too large"},
		{`{*}`, jsonql.Limits{MaxRows: 3, MaxValues: 6}, ""},
		{`{* limit 2}`, jsonql.Limits{MaxRows: 2}, ""},
		{`{* order by l limit 2}`, jsonql.Limits{MaxRows: 2}, ""},
		{`{* order by l}`, jsonql.Limits{MaxRows: 2}, "more than 2 rows"},
		{`{* order by l limit 1}`, jsonql.Limits{MaxObjects: 2}, "look at more than 2 objects at once: add a condition"},
		{`(count(*))`, jsonql.Limits{MaxObjects: 2}, ""}, // it holds none
		{`(count(*))`, jsonql.Limits{MaxRows: 1}, ""},
	}
	for _, tt := range tests {
		q, err := jsonql.Parse(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.Run(t.Context(), src, nil, tt.limits)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %+v: error %v, want %q", tt.query, tt.limits, err, tt.want)
		}
	}
}

func TestManyCombinationsAreRefused(t *testing.T) {
	var items []string
	for i := range 400 {
		items = append(items, string(pjson.AppendJSON(nil, i)))
	}
	src := sourceOf(t, `{"id":"a","l":[`+strings.Join(items, ",")+`]}`)
	q, err := jsonql.Parse(`(l + l)`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Run(t.Context(), src, nil, jsonql.Limits{}); err == nil || !strings.Contains(err.Error(), "combinations") {
		t.Errorf("error %v", err)
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	var objects []string
	for range 200 {
		objects = append(objects, `{"p":1}`)
	}
	src := sourceOf(t, "["+strings.Join(objects, ",")+"]")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, query := range []string{`{*}`, `{* where p = 1}`, `{id where p = 2 + 3}`} {
		q, err := jsonql.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Run(ctx, src, nil, jsonql.Limits{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want %v", query, err, context.Canceled)
		}
	}
}

var errBroken = errors.New("broken disk")

// brokenSource fails in one of its methods.
type brokenSource struct {
	jsonql.Source
	object, objects, index bool
}

func (b brokenSource) Object(id string) (jsonql.Object, bool, error) {
	if b.object {
		return jsonql.Object{}, false, errBroken
	}
	return b.Source.Object(id)
}

func (b brokenSource) Objects() iter.Seq2[jsonql.Object, error] {
	if b.objects {
		return func(yield func(jsonql.Object, error) bool) { yield(jsonql.Object{}, errBroken) }
	}
	return b.Source.Objects()
}

func (b brokenSource) SubjectsWith(p string, t statement.Term) iter.Seq2[string, error] {
	if b.index {
		return func(yield func(string, error) bool) { yield("", errBroken) }
	}
	return b.Source.SubjectsWith(p, t)
}

func TestErrorsOfTheSourceAreReturned(t *testing.T) {
	src := sourceOf(t, shop)
	for query, broken := range map[string]brokenSource{
		`{*}`:                       {src, false, true, false},
		`{* where name = 'Ada'}`:    {src, false, false, true},
		`{* where id = 'ada'}`:      {src, true, false, false},
		`{boss where name depth 1}`: {src, true, false, false},
	} {
		q, err := jsonql.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Run(t.Context(), broken, nil, jsonql.Limits{})
		if !errors.Is(err, errBroken) || got.Rows != nil {
			t.Errorf("%s: %v, %v; want %v", query, got.Rows, err, errBroken)
		}
	}
}

func TestSkippedCharactersDoNotKeepAQueryFromRunning(t *testing.T) {
	q, err := jsonql.Parse("{name ~ where id = 'ada'}")
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Run(t.Context(), sourceOf(t, shop), nil, jsonql.Limits{})
	if err != nil || len(got.Rows) != 1 || len(got.Errors) != 1 || !strings.Contains(got.Errors[0], "'~'") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBindingsFromJSONKeepTheirNumbers(t *testing.T) {
	var b jsonql.Bindings
	if err := b.UnmarshalJSON([]byte(`{"i":36,"d":36.0,"l":[1]}`)); err != nil {
		t.Fatal(err)
	}
	src := sourceOf(t, shop)
	if got, want := answer(t, src, `(id where age = :i)`, b), `["@ada"]`; got != want {
		t.Errorf("an integer found %s, want %s", got, want)
	}
	if got, want := answer(t, src, `(id where age = :d)`, b), `["@bob"]`; got != want {
		t.Errorf("a double found %s, want %s", got, want)
	}
	if err := b.UnmarshalJSON([]byte(`[1]`)); err == nil {
		t.Error("a list was accepted")
	}
}

// What an index answers must be what looking at every object answers.
func TestAnIndexChangesNoAnswer(t *testing.T) {
	values := []string{"1", "1.0", `"1"`, "null", "true", `"@a"`, "[1]", "[1,2]", "[]"}
	constants := []string{"1", "1.0", "'1'", "null", "true", "@a", "2"}
	rapid.Check(t, func(t *rapid.T) {
		var objects []string
		for i := range rapid.IntRange(0, 8).Draw(t, "objects") {
			p := rapid.SampledFrom(values).Draw(t, "value")
			objects = append(objects, `{"id":"o`+string(rune('a'+i))+`","all":0,"p":`+p+`}`)
		}
		doc, err := pjson.Parse([]byte("["+strings.Join(objects, ",")+"]"), pjson.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var list []statement.Statement
		for _, o := range doc.Objects {
			list = append(list, o.Statements...)
		}
		src := jsonqltest.New(list)
		constant := rapid.SampledFrom(constants).Draw(t, "constant")
		indexed := rows(t, src, `(id where p = `+constant+`)`)
		scanned := rows(t, src, `(id where (maybe p) = `+constant+` and p)`)
		if !slices.Equal(indexed, scanned) {
			t.Fatalf("p = %s of %s: index %q, scan %q", constant, objects, indexed, scanned)
		}
	})
}

func rows(t *rapid.T, src jsonql.Source, query string) []any {
	q, err := jsonql.Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Run(context.Background(), src, nil, jsonql.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Rows
}
