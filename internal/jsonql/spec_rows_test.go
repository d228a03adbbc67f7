package jsonql_test

import (
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
)

func TestAQueryRangesOverTheObjectsThatItNames(t *testing.T) {
	const all = `[{"color":"red","k":5},` +
		`{"id":"@h","door":{"k":2,"lock":{"k":3}},"grid":[[1,2],[3]],"none":[]},{"id":"@i","k":[4,"4",4.5],"next":"@h"}]`
	data := `[{"id":"h","door":{"k":2,"lock":{"k":3}},"grid":[[1,2],[3]],"none":[]},{"id":"i","k":[4,"4",4.5],"next":"@h"},{"k":5,"color":"red"},{"id":"bare"}]`
	tells(t, data, []told{
		{name: "a star: none that is embedded, an order of a list, or without properties", query: `{*}`, want: all},
		{name: "ids: the same objects", query: `{id}`, want: `[{"id":"@_:j:t:object:5"},{"id":"@h"},{"id":"@i"}]`},
		{name: "a property: embedded objects too", query: `{k}`, want: `[{"k":5},{"k":2},{"k":3},{"k":[4,"4",4.5]}]`},
		{name: "an id and a property", query: `{id, maybe lock where k < 4}`,
			want: `[{"id":"@_:j:e:object:h:1","lock":{"k":3}},{"id":"@_:j:e:object:h:2","lock":null}]`},
		{name: "all properties of the construct", query: `{k, color}`, want: `[{"k":5,"color":"red"}]`},
		{name: "and of the condition", query: `{k where color}`, want: `[{"k":5}]`},
		{name: "not those under maybe", query: `{k, maybe color where maybe next and k > 4}`, want: `[{"k":5,"color":"red"},{"k":[4,"4",4.5],"color":null}]`},
		{name: "nor those of the order", query: `(id where k != 2 and k != 3 order by color desc)`, want: `["@_:j:t:object:5","@i"]`},
		{name: "no list in a list by itself", query: `{id, maybe none where not k}`, want: `[{"id":"@h","none":[]}]`},
		{name: "rows in order of ids, whatever index is used", query: `(id where k in (5, 4))`, want: `["@_:j:t:object:5","@i"]`},
	})
}

func TestAConditionChoosesTheValuesThatAreShown(t *testing.T) {
	tells(t, `[{"id":"a","v":[1,"1",1.1,2],"w":7},{"id":"b","v":2}]`, []told{
		{name: "those that meet it", query: `{id, v where v = 1}`, want: `[{"id":"@a","v":[1]}]`},
		{name: "by value and type", query: `{id, v where v = '1'}`, want: `[{"id":"@a","v":["1"]}]`},
		{name: "all, where the property is named too", query: `{id, v where v = 1 and v}`, want: `[{"id":"@a","v":[1,"1",1.1,2]}]`},
		{name: "all, with a star", query: `{* where v = 1}`, want: `[{"id":"@a","v":[1,"1",1.1,2],"w":7}]`},
		{name: "also under another name", query: `{'x' : v where v != 2}`, want: `[{"x":[1,"1",1.1]}]`},
		{name: "of a list that is compared as such, all", query: `[v where v > 99 and v < '']`, want: `[[[1,"1",1.1,2]]]`},
		{name: "of a scalar, the scalar", query: `[v where v = 2 and not w]`, want: `[[2]]`},
	})
}

func TestAConstructShowsValuesAsTheyWereWritten(t *testing.T) {
	data := `[{"id":"a","one":1,"list":[1],"two":[2,1,2],"deep":[[1,[]],[]],"none":[],"z":null,"text":"@b","box":{"x":{"y":1}},"to":"@b","any":"@_:c","many":["@b","@gone"]},
		{"id":"b","one":2,"to":"@d"},{"id":"_:c","one":3},{"id":"d","one":4,"to":"@a"},
		{"id":"t","date":{"datatype":"day","value":"2010"},"lang":{"datatype":"lang:en","value":"x"},"uri":{"datatype":"a:b","value":""},
		 "dec":{"datatype":"http://www.w3.org/2001/XMLSchema#decimal","value":"1.50"}}]`
	tells(t, data, []told{
		{name: "a scalar and a list of one", query: `{one, list}`, want: `[{"one":1,"list":[1]}]`},
		{name: "order and duplicates of a list", query: `(two)`, want: `[[2,1,2]]`},
		{name: "lists in lists, empty lists", query: `{deep, none}`, want: `[{"deep":[[1,[]],[]],"none":[]}]`},
		{name: "a forced list", query: `{[one], [list], [none] where id = @a}`, want: `[{"one":[1],"list":[1],"none":[]}]`},
		{name: "null as an absent value", query: `{z, 'l' : [z], 'o' : omitnull z}`, want: `[{"z":null,"l":[]}]`},
		{name: "absent, with maybe", query: `{id, maybe z, 'l' : [maybe z], 'o' : omitnull maybe z where one = 2}`, want: `[{"id":"@b","z":null,"l":[]}]`},
		{name: "what is embedded, in place", query: `(box)`, want: `[{"x":{"y":1}}]`},
		{name: "references as such", query: `{to where id = @a}`, want: `[{"to":"@b"}]`},
		{name: "an anonymous object, in place", query: `{any}`, want: `[{"any":{"id":"@_:c","one":3}}]`},
		{name: "the id of that, if it is asked for", query: `{id where one = 3}`, want: `[{"id":"@_:c"}]`},
		{name: "one level", query: `{to where id = @a depth 1}`, want: `[{"to":{"id":"@b","one":2,"to":"@d"}}]`},
		{name: "two levels", query: `{to where id = @a depth 2}`, want: `[{"to":{"id":"@b","one":2,"to":{"id":"@d","one":4,"to":"@a"}}}]`},
		{name: "no level", query: `{to where id = @a depth 0}`, want: `[{"to":"@b"}]`},
		{name: "a missing object", query: `{many depth 1}`, want: `[{"many":[{"id":"@b","one":2,"to":"@d"},{"id":"@gone"}]}]`},
		{name: "a string that looks like a reference", query: `[text where text = 'x' or one = 1]`, want: `[["@b"]]`},
		{name: "a constant that does", query: `{'s' : '@b', 'r' : @b}`, want: `[{"s":{"datatype":"json","value":"@b"},"r":"@b"}]`},
		{name: "a star does not repeat what is named", query: `{'one' : 'mine', * where id = @d}`, want: `[{"id":"@d","one":"mine","to":"@a"}]`},
		{name: "the whole object below a name", query: `{id : * where one = 4}`, want: `[{"@d":{"id":"@d","one":4,"to":"@a"}}]`},
		{name: "values of types", query: `{date, lang, dec, uri}`,
			want: `[{"date":{"datatype":"day","value":"2010"},"lang":{"datatype":"lang:en","value":"x"},"dec":1.5,"uri":{"datatype":"a:b","value":""}}]`},
		{name: "bare values", query: `(one order by one desc)`, want: `[4,3,2,1]`},
		{name: "nothing", query: `{}`, want: `[{}]`},
		{name: "constants, once", query: `{'a' : 1, 'b' : 1 + 1}`, want: `[{"a":1,"b":2.0}]`},
	})
}

func TestSeveralValuesThatWereNoListAreShownInOrderOfTheirTexts(t *testing.T) {
	tells(t, `[{"id":"a","v":9},{"id":"a","v":10},{"id":"a","v":"10"},{"id":"b","v":9},{"id":"c","v":[2,1]},{"id":"c","v":0}]`, []told{
		{name: "a list", query: `(v where id = @a)`, want: `[["10",10,9]]`},
		{name: "one of them", query: `{id, v where v = 9}`, want: `[{"id":"@a","v":9},{"id":"@b","v":9}]`},
		{name: "forced", query: `{id, [v] where v = 9}`, want: `[{"id":"@a","v":[9]},{"id":"@b","v":[9]}]`},
		{name: "behind those of a list", query: `(v where id = @c)`, want: `[[2,1,0]]`},
	})
}

func TestMergeallMakesOneRow(t *testing.T) {
	tells(t, `[{"id":"a","k":1,"l":[1,2]},{"id":"b","k":2,"l":[2],"m":5}]`, []told{
		{name: "of objects, later keys win", query: `{k, maybe m mergeall}`, want: `[{"k":2,"m":5}]`},
		{name: "in the order that is asked for", query: `{k order by k desc mergeall}`, want: `[{"k":1}]`},
		{name: "of objects below their ids", query: `{id : * mergeall}`, want: `[{"@a":{"id":"@a","k":1,"l":[1,2]},"@b":{"id":"@b","k":2,"l":[2],"m":5}}]`},
		{name: "of lists", query: `[k, id mergeall]`, want: `[[1,"@a",2,"@b"]]`},
		{name: "of values, where lists are taken apart", query: `(l mergeall)`, want: `[[1,2,2]]`},
		{name: "after the limit", query: `{id : k limit 1 mergeall}`, want: `[{"@a":1}]`},
	})
}

func TestForUpdateShowsAllIDs(t *testing.T) {
	src := specSource(t, `[{"id":"a","box":{"k":1}},{"k":2}]`)
	for query, want := range map[string]string{
		`{*}`:   `[{"id":"@_:j:t:object:2","k":2},{"id":"@a","box":{"id":"@_:j:e:object:a:1","k":1}}]`,
		`{k}`:   `[{"id":"@_:j:t:object:2","k":2},{"id":"@_:j:e:object:a:1","k":1}]`,
		`{box}`: `[{"id":"@a","box":{"id":"@_:j:e:object:a:1","k":1}}]`,
	} {
		q, err := jsonql.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		q.ForUpdate = true
		got, err := q.Run(t.Context(), src, nil, jsonql.Limits{})
		if text := string(pjson.AppendJSON(nil, got.Rows)); err != nil || text != want {
			t.Errorf("%s\n got %s, %v\nwant %s", query, text, err, want)
		}
	}
}

func TestPartsOfTheRowsAreCutAfterTheyAreOrderedAndGrouped(t *testing.T) {
	tells(t, `[{"id":"a","k":3},{"id":"b","k":1},{"id":"c","k":2},{"id":"d","k":1}]`, []told{
		{name: "a limit", query: `(k order by k limit 2)`, want: `[1,1]`},
		{name: "an offset", query: `(k order by k desc offset 2)`, want: `[1,1]`},
		{name: "both", query: `(k order by k limit 1 offset 2)`, want: `[2]`},
		{name: "of groups", query: `{k, 'n' : count(*) group by k order by k limit 1}`, want: `[{"k":1,"n":2}]`},
		{name: "none", query: `(k limit 0)`, want: `[]`},
		{name: "beyond the end", query: `(k offset 4)`, want: `[]`},
		{name: "a limit that is not reached", query: `(k limit 9)`, want: `[3,1,2,1]`},
	})
}
