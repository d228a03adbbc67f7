package jsonql_test

import "testing"

const named = `[
	{"id":"http://e/a","http://e/name":"A","http://e/next":"@http://e/b","text":"!b"},
	{"id":"http://e/b","http://e/name":"B"}
]`

func TestANamemapSaysHowNamesAreReadAndWritten(t *testing.T) {
	tells(t, named, []told{
		{name: "prefixes of properties", query: `{<e:name> where <e:next> namemap = {"propertypatterns" : {"e:" : "http://e/"}}}`, want: `[{"e:name":"A"}]`},
		{name: "of ids", query: `{id, 'n' : <http://e/name> where id = @e:b namemap = {"idpatterns" : {"e:" : "http://e/"}}}`, want: `[{"id":"@e:b","n":"B"}]`},
		{name: "of both", query: `{* where <e:next> = @e:b namemap = {"sharedpatterns" : {"e:" : "http://e/"}}}`,
			want: `[{"id":"@e:a","e:name":"A","e:next":"@e:b","text":"!b"}]`},
		{name: "another form of references", query: `{<http://e/next>, text namemap = {'refpattern' : '!(URIREF)'}}`,
			want: `[{"http://e/next":"!http://e/b","text":{"datatype":"json","value":"!b"}}]`},
		{name: "that of a nested construct over its own", query: `{'x' : {<f:name> where id = @http://e/b namemap = {"propertypatterns" : {"f:" : "http://e/"}}}, <e:name> where <e:next> namemap = {"propertypatterns" : {"e:" : "http://e/"}}}`,
			want: `[{"x":{"f:name":"B"},"e:name":"A"}]`},
		{name: "that of the query in a nested construct", query: `{'x' : {<e:name> where id = @http://e/b} where <e:next> namemap = {"propertypatterns" : {"e:" : "http://e/"}}}`,
			want: `[{"x":{"e:name":"B"}}]`},
		{name: "both together", query: `{'x' : {<e:next> where id = @http://e/a namemap = {"refpattern" : "!(URIREF)"}}, <e:next> namemap = {"propertypatterns" : {"e:" : "http://e/"}}}`,
			want: `[{"x":{"e:next":"!http://e/b"},"e:next":"@http://e/b"}]`},
		{name: "not the name of the id", query: `{id where <http://e/next> namemap = {"id" : "key"}}`, want: `[{"id":"@http://e/a"}]`},
	})
	refuses(t, named, []fault{
		{`{* namemap = 3 3}`, "1:16", "3"}, {`{* namemap = {'refpattern' : '@(['}}`, "1:14", "parenthesis"}, {`{* namemap = {'idpatterns' : }}`, "1:30", "}"},
	})
}
