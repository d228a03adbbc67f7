package jsonql_test

import "testing"

func TestANestedNamemapIsMergedOverThatAroundIt(t *testing.T) {
	tells(t, named, []told{
		{name: "both together", query: `{'x' : {<e:next> where id = @http://e/a namemap = {"refpattern" : "!(URIREF)"}}, <e:next> namemap = {"propertypatterns" : {"e:" : "http://e/"}}}`,
			want: `[{"x":{"e:next":"!http://e/b"},"e:next":"@http://e/b"}]`},
	})
}

func TestEmptyListsAreOrderedAsLists(t *testing.T) {
	tells(t, `[{"id":"a","v":[]},{"id":"c","v":1},{"id":"d","v":"x"},{"id":"f","v":"@y"}]`, []told{
		{name: "before texts", query: `(id where v < '')`, want: `["@a","@c"]`},
		{name: "in an order", query: `(id order by v)`, want: `["@c","@a","@d","@f"]`},
	})
}

func TestFaultsAreAtTheirPlace(t *testing.T) {
	refuses(t, named, []fault{
		{`{* where age in ()}`, "1:18", "empty set"},
		{`{* namemap = {'refpattern' : '@(['}}`, "1:14", "parenthesis"},
	})
}
