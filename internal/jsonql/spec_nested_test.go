package jsonql_test

import "testing"

// blog has posts with none, one and two tags, one tag that is missing, and one
// that no post has.
const blog = `[
	{"id":"u1","user":"Uma"},{"id":"u2","user":"Vic"},
	{"id":"p1","title":"One","from":"@u1","tags":["@t1","@t2"],"words":100},
	{"id":"p2","title":"Two","from":"@u1","tags":["@t2"],"words":300},
	{"id":"p3","title":"Three","from":"@u2","words":200},
	{"id":"p4","title":"Four","from":"@gone","tags":["@t9"]},
	{"id":"t1","label":"red"},{"id":"t2","label":"blue"},{"id":"t3","label":"green"}
]`

func TestANestedConstructWithoutALabelIsAQueryOfItsOwn(t *testing.T) {
	tells(t, blog, []told{
		{name: "all its rows in each row", query: `{user, 'all' : {label}}`,
			want: `[{"user":"Uma","all":[{"label":"red"},{"label":"blue"},{"label":"green"}]},{"user":"Vic","all":[{"label":"red"},{"label":"blue"},{"label":"green"}]}]`},
		{name: "also with a condition", query: `{user, 'some' : {title where words > 150}}`,
			want: `[{"user":"Uma","some":[{"title":"Two"},{"title":"Three"}]},{"user":"Vic","some":[{"title":"Two"},{"title":"Three"}]}]`},
		{name: "a single row as it is", query: `{'x' : {label where label = 'red'} where user = 'Vic'}`, want: `[{"x":{"label":"red"}}]`},
		{name: "in brackets as a list", query: `{'x' : [{label where label = 'red'}] where user = 'Vic'}`, want: `[{"x":[{"label":"red"}]}]`},
		{name: "in its own order and part", query: `{'x' : {label order by label limit 2} where user = 'Vic'}`, want: `[{"x":[{"label":"blue"},{"label":"green"}]}]`},
		{name: "below another", query: `{'x' : {'y' : {label where label = 'red'}, title where words = 100} where user = 'Vic'}`,
			want: `[{"x":{"y":{"label":"red"},"title":"One"}}]`},
	})
}

func TestANestedConstructIsJoinedToTheRowAroundIt(t *testing.T) {
	tells(t, blog, []told{
		{name: "by its own label", query: `{title, 'by' : {?a user} where from = ?a}`,
			want: `[{"title":"One","by":{"user":"Uma"}},{"title":"Two","by":{"user":"Uma"}},{"title":"Three","by":{"user":"Vic"}}]`},
		{name: "by its id", query: `{title, 'by' : {user where id = ?a} where from = ?a and words < 250}`,
			want: `[{"title":"One","by":{"user":"Uma"}},{"title":"Three","by":{"user":"Vic"}}]`},
		{name: "by a condition that names the row around it", query: `{?p title, 'tags' : {label where id = ?p.tags}}`,
			want: `[{"title":"One","tags":[{"label":"red"},{"label":"blue"}]},{"title":"Two","tags":{"label":"blue"}}]`},
		{name: "against the reference", query: `{?u user, 'posts' : {title where from = ?u}}`,
			want: `[{"user":"Uma","posts":[{"title":"One"},{"title":"Two"}]},{"user":"Vic","posts":{"title":"Three"}}]`},
		{name: "with a label on both sides", query: `{?t label, 'posts' : {?p title where tags = ?t}}`,
			want: `[{"label":"red","posts":{"title":"One"}},{"label":"blue","posts":[{"title":"One"},{"title":"Two"}]}]`},
		{name: "always a list", query: `{?t label, 'posts' : [{title where tags = ?t}]}`,
			want: `[{"label":"red","posts":[{"title":"One"}]},{"label":"blue","posts":[{"title":"One"},{"title":"Two"}]}]`},
		{name: "with a part of its own for each row", query: `{?u user, 'last' : {title where from = ?u order by words desc limit 1}}`,
			want: `[{"user":"Uma","last":{"title":"Two"}},{"user":"Vic","last":{"title":"Three"}}]`},
		{name: "the whole object", query: `{title, 'by' : {* where id = ?a} where from = ?a and words = 200}`, want: `[{"title":"Three","by":{"id":"@u2","user":"Vic"}}]`},
		{name: "two of them", query: `{?p title, 'a' : {user where id = ?p.from}, 't' : {label where id = ?p.tags} where words = 300}`,
			want: `[{"title":"Two","a":{"user":"Uma"},"t":{"label":"blue"}}]`},
		{name: "one inside of another", query: `{?u user, 'posts' : {?p title, 'tags' : [{label where id = ?p.tags}] where from = ?u}}`,
			want: `[{"user":"Uma","posts":[{"title":"One","tags":[{"label":"red"},{"label":"blue"}]},{"title":"Two","tags":[{"label":"blue"}]}]}]`},
	})
}

func TestARowWithoutANestedRowIsThereUnderMaybeOnly(t *testing.T) {
	tells(t, blog, []told{
		{name: "a user without long posts is no row", query: `{?u user, 'long' : {title where from = ?u and words > 250}}`, want: `[{"user":"Uma","long":{"title":"Two"}}]`},
		{name: "maybe: null", query: `{?t label, 'p' : {title where id = ?p} where label and maybe ?p.tags = ?t}`,
			want: `[{"label":"red","p":{"title":"One"}},{"label":"blue","p":[{"title":"One"},{"title":"Two"}]},{"label":"green","p":null}]`},
		{name: "maybe in brackets: the empty list", query: `{?t label, 'p' : [{title where id = ?p}] where label and maybe ?p.tags = ?t}`,
			want: `[{"label":"red","p":[{"title":"One"}]},{"label":"blue","p":[{"title":"One"},{"title":"Two"}]},{"label":"green","p":[]}]`},
		{name: "a property that may be absent", query: `{title, 't' : [{label where id = ?t}] where maybe tags = ?t}`,
			want: `[{"title":"One","t":[{"label":"red"},{"label":"blue"}]},{"title":"Two","t":[{"label":"blue"}]},{"title":"Three","t":[]},{"title":"Four","t":[]}]`},
	})
}

func TestNestedListsAreListsOfTheirRows(t *testing.T) {
	tells(t, blog, []told{
		{name: "several rows: a list of lists", query: `{?p title, 't' : [[label where id = ?p.tags]]}`,
			want: `[{"title":"One","t":[["red"],["blue"]]},{"title":"Two","t":["blue"]}]`},
		{name: "with several values", query: `{?u user, 'p' : [title, words where from = ?u]}`,
			want: `[{"user":"Uma","p":[["One",100],["Two",300]]},{"user":"Vic","p":["Three",200]}]`},
		{name: "in a list", query: `[?u user, [title where from = ?u]]`, want: `[["Uma",[["One"],["Two"]]],["Vic",["Three"]]]`},
		{name: "an object in a list", query: `[?u user, {title where from = ?u and words < 250}]`, want: `[["Uma",{"title":"One"}],["Vic",{"title":"Three"}]]`},
	})
}

func TestANestedConstructLeavesTheOrderOfTheRowsValuesAlone(t *testing.T) {
	tells(t, `[{"id":"u1","user":"Uma"},{"id":"p1","title":"One","from":"@u1","tags":"@t2"},{"id":"p2","title":"Two","from":"@u1","tags":"@t1"},
		{"id":"t1","label":"red"},{"id":"t2","label":"blue"}]`, []told{
		{name: "before and after", query: `{?u user, 'a' : [?p.title], 'tags' : [{?t label}], 'b' : [?p.title] where ?p.from = ?u and ?p.tags = ?t}`,
			want: `[{"user":"Uma","a":["One","Two"],"tags":[{"label":"red"},{"label":"blue"}],"b":["One","Two"]}]`},
	})
}
