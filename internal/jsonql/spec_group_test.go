package jsonql_test

import "testing"

const sales = `[
	{"id":"s1","shop":"N","item":"@tea","sum":4,"tag":["x","y"]},
	{"id":"s2","shop":"S","item":"@tea","sum":-4},
	{"id":"s3","shop":"N","item":"@rye","sum":2.5,"tag":"x","note":"late"},
	{"id":"s4","shop":"N","item":"@gone","sum":null},
	{"id":"tea","name":"Tea"},{"id":"rye","name":"Rye"}
]`

func TestAggregatesAreOneRowOverAllObjects(t *testing.T) {
	tells(t, sales, []told{
		{name: "each of them", query: `[count(sum), sum(sum), avg(sum), min(sum), max(sum), total(sum)]`, want: `[[3,2.5,0.8333333333333334,-4,4,2.5]]`},
		{name: "count of objects", query: `{'all' : count(*), 'with' : count(sum) where shop}`, want: `[{"all":4,"with":3}]`},
		{name: "without null", query: `(count(sum) where item = @gone)`, want: `[0]`},
		{name: "of nothing", query: `[count(*), sum(sum), avg(sum), min(sum), max(sum), total(sum) where shop = 'none']`, want: `[[0,null,null,null,null,0.0]]`},
		{name: "a sum that reaches 0 goes on", query: `(sum(sum) where shop)`, want: `[2.5]`},
		{name: "in an expression", query: `(sum(sum) * 2 where shop = 'N')`, want: `[13.0]`},
		{name: "of an expression", query: `[sum(sum * 2), max(sum - 1) where shop = 'N']`, want: `[[13.0,3.0]]`},
		{name: "below a condition", query: `(if(count(*) > 3, 'many', 'few') where shop)`, want: `["many"]`},
		{name: "beside rows, in each of them once", query: `{id, 'n' : count(shop) where tag}`, want: `[{"id":"@s1","n":2},{"id":"@s3","n":2}]`},
	})
}

func TestGroupsHaveARowForEachValueOfTheKey(t *testing.T) {
	tells(t, sales, []told{
		{name: "count of members", query: `{shop, 'n' : count(*) group by shop}`, want: `[{"shop":"N","n":3},{"shop":"S","n":1}]`},
		{name: "of those that have a property", query: `{shop, 'n' : count(sum), 'k' : count(shop), 's' : sum(sum) group by shop}`,
			want: `[{"shop":"N","n":2,"k":3,"s":6.5},{"shop":"S","n":1,"k":1,"s":-4.0}]`},
		{name: "other properties are lists, or scalars", query: `{shop, item group by shop}`,
			want: `[{"shop":"N","item":["@tea","@rye","@gone"]},{"shop":"S","item":"@tea"}]`},
		{name: "a key with several values", query: `{tag, 'n' : count(*) group by tag}`, want: `[{"tag":"x","n":2},{"tag":"y","n":1}]`},
		{name: "count is of objects, not values", query: `{shop, 'n' : count(tag) where tag group by shop}`, want: `[{"shop":"N","n":2}]`},
		{name: "a label", query: `{'item' : ?i.name, 'n' : count(*), 's' : sum(sum) where item = ?i group by ?i}`,
			want: `[{"item":"Rye","n":1,"s":2.5},{"item":"Tea","n":2,"s":0.0}]`},
		{name: "values that are equal numbers are not one", query: `(count(*) where sum group by sum)`, want: `[1,1,1,1]`},
		{name: "below a condition", query: `{shop, 'size' : if(count(*) > 1, 'many', 'one') group by shop}`, want: `[{"shop":"N","size":"many"},{"shop":"S","size":"one"}]`},
		{name: "expressions of the key", query: `[lower(shop), count(*) group by shop]`, want: `[["n",3],["s",1]]`},
		{name: "ids and forced lists", query: `{[item], 'ids' : [id] where shop = 'S' group by shop}`, want: `[{"item":["@tea"],"ids":["@s2"]}]`},
		{name: "in order of an aggregate", query: `(shop group by shop order by count(*))`, want: `["S","N"]`},
		{name: "a part of them", query: `[shop, count(*) group by shop limit 1 offset 1]`, want: `[["S",1]]`},
		{name: "several keys", query: `{shop, item, 'n' : count(*) where sum group by shop, item}`,
			want: `[{"shop":"N","item":"@gone","n":1},{"shop":"N","item":"@rye","n":1},{"shop":"N","item":"@tea","n":1},{"shop":"S","item":"@tea","n":1}]`},
		{name: "a condition before", query: `{shop, 'n' : count(*) where sum > 0 group by shop}`, want: `[{"shop":"N","n":2}]`},
		{name: "in order", query: `{shop, 'n' : count(*) group by shop order by shop desc}`, want: `[{"shop":"S","n":1},{"shop":"N","n":3}]`},
		{name: "by an absent key", query: `(count(*) group by none)`, want: `[]`},
	})
	refuses(t, sales, []fault{
		{`{* group by shop}`, "1:2", `"*"`},
	})
}

func TestOrderIsByAnyKeys(t *testing.T) {
	tells(t, sales, []told{
		{name: "null and absent first", query: `(id where shop order by sum)`, want: `["@s4","@s2","@s3","@s1"]`},
		{name: "or last", query: `(id where shop order by sum desc)`, want: `["@s1","@s3","@s2","@s4"]`},
		{name: "a key need not be there", query: `(id where shop order by note desc, id)`, want: `["@s3","@s1","@s2","@s4"]`},
		{name: "several, each its way", query: `(id where shop order by shop desc, sum asc)`, want: `["@s2","@s4","@s3","@s1"]`},
		{name: "by id", query: `(id where shop order by id desc)`, want: `["@s4","@s3","@s2","@s1"]`},
		{name: "by another set", query: `(id where item = ?i order by ?i.name, id)`, want: `["@s4","@s3","@s1","@s2"]`},
		{name: "by an expression", query: `(id where sum and shop order by sum * sum, id desc)`, want: `["@s4","@s3","@s2","@s1"]`},
		{name: "lists as lists, before texts", query: `(id where tag order by tag)`, want: `["@s1","@s3"]`},
		{name: "behind a key", query: `(id where shop order by id after 's2')`, want: `["@s3","@s4"]`},
		{name: "behind two", query: `(id where shop order by shop, id after ('N', 's3'))`, want: `["@s4","@s2"]`},
	})
	refuses(t, sales, []fault{{`(id order by shop after ('N', 1))`, "1:26", "after has 2 values"}})
}
