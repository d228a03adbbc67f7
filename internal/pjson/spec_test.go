package pjson

import "testing"

func TestObjectsAreWrittenUnderANamemapAsItReadsThem(t *testing.T) {
	const doc = `[{"id":"http://i/a","http://p/name":"2010","http://p/day":{"datatype":"date","value":"2010"},"q:r":"@http://i/b","plain":"i:b","id2":"2010x"}]`
	namemap := Map{
		{"idpatterns", Map{{"i:", "http://i/"}}}, {"propertypatterns", Map{{"q:", "http://p/"}}},
		{"datatypepatterns", Map{{"date", `(\d{4})`}}}, {"refpattern", `<(URIREF)>`}, {"id", "key"}, {"datatype", "type"},
	}
	const data = `{"key":"<i:a>","q:day":"2010","q:name":{"type":"json","value":"2010"},"id2":"2010x","plain":"i:b","::q:r":"<i:b>"}`
	const header = `{"pjson":"0.9","namemap":{"idpatterns":{"i:":"http://i/"},"propertypatterns":{"q:":"http://p/"},` +
		`"datatypepatterns":{"date":"(\\d{4})"},"refpattern":"<(URIREF)>","id":"key","datatype":"type"}`
	w, list := writer(t, Format{Namemap: namemap}), statementsOf(t, doc)
	if got, want := string(AppendJSON(nil, w.Document(list))), header+`,"data":[`+data+`]}`; got != want {
		t.Errorf("as a document\n got %s\nwant %s", got, want)
	}
	if got, want := string(AppendJSON(nil, w.List(list))), "["+header+"},"+data+"]"; got != want {
		t.Errorf("as a list\n got %s\nwant %s", got, want)
	}
}

func TestNumericTypesAreWrittenAsNumbersWhereTheyAreSome(t *testing.T) {
	const xsd = "http://www.w3.org/2001/XMLSchema#"
	typed := func(kind, text string) string { return `{"datatype":"` + xsd + kind + `","value":"` + text + `"}` }
	for value, want := range map[string]string{
		typed("int", "12"): "12", typed("float", "1.50"): "1.5", typed("decimal", "-2"): "-2",
		typed("decimal", "x"): typed("decimal", "x"), typed("date", "2010"): typed("date", "2010"), typed("integer", "007"): typed("integer", "007"),
	} {
		list := statementsOf(t, `{"id":"a","p":`+value+`}`)
		if got := string(AppendJSON(nil, writer(t, Format{}).Objects(list))); got != `[{"id":"@a","p":`+want+`}]` {
			t.Errorf("%s is written as %s", value, got)
		}
		if got := string(AppendJSON(nil, writer(t, Format{PreserveTypes: true}).Objects(list))); got != `[{"id":"@a","p":`+value+`}]` {
			t.Errorf("with its type, %s is written as %s", value, got)
		}
	}
}

func TestADocumentIsSingleOnlyIfItIsOneObject(t *testing.T) {
	for text, want := range map[string]bool{
		`{"id":"a","o":{"id":"b"}}`: true, `[{"id":"a"}]`: false, `{"pjson":"0.9","data":{"id":"a"}}`: true, `{"pjson":"0.9","data":[{"id":"a"}]}`: false,
		"=multipart-json\n{\"id\":\"a\"}\n": true, "=multipart-json\n{\"id\":\"a\",\"p\":{\"multipartjsonref\":\"1\"}}\n= 1 E\nE\n{\"id\":\"b\"}\n": false,
	} {
		if doc, err := Parse([]byte(text), Options{}); err != nil || doc.Single != want {
			t.Errorf("%q: single %v, %v; want %v", text, doc.Single, err, want)
		}
	}
}

func TestAnObjectIsInTheContextOfMostOfItsStatements(t *testing.T) {
	in := func(value, scope string) string {
		return `{"datatype":"json","value":` + value + `,"context":"` + scope + `"}`
	}
	for text, want := range map[string]string{
		`{"id":"a","p":1,"q":` + in("2", "c") + `}`:                                  `{"id":"@a","p":1,"q":` + in("2", "c") + `}`,
		`{"id":"a","p":1,"q":` + in("2", "c") + `,"r":` + in("3", "c") + `}`:         `{"id":"@a","context":"c","p":` + in("1", "") + `,"q":2,"r":3}`,
		`{"id":"a","p":` + in("1", "d") + `,"q":` + in("2", "c") + `}`:               `{"id":"@a","context":"c","p":` + in("1", "d") + `,"q":2}`,
		`{"id":"a","context":"c","p":[1,` + in("1", "d") + `],"o":{"id":"b","q":1}}`: `{"id":"@a","context":"c","o":"@b","p":[1,` + in("1", "d") + `]},{"id":"@b","context":"c","q":1}`,
	} {
		if got := string(AppendJSON(nil, writer(t, Format{}).Objects(statementsOf(t, text)))); got != "["+want+"]" {
			t.Errorf("%s is written as\n     %s\nwant [%s]", text, got, want)
		}
	}
}

func TestAValueIsWrittenByThePatternOfItsTypeWhereItReadsBackSo(t *testing.T) {
	namemap := Map{{"datatypepatterns", Map{{"year", `(\d{4})`}, {"size", []any{`(\d+)`, Map{{"size:", "0@@"}}}}}}}
	for value, want := range map[string]string{
		`{"datatype":"year","value":"2010"}`: `"2010"`,
		`{"datatype":"size","value":"12"}`:   `"12"`,
		`{"datatype":"size","value":"2010"}`: `{"datatype":"size","value":"2010"}`,
		`{"datatype":"size","value":"0x"}`:   `"size:x"`,
		`{"datatype":"year","value":"12"}`:   `{"datatype":"year","value":"12"}`,
		`{"datatype":"other","value":"12"}`:  `{"datatype":"other","value":"12"}`,
		`"12"`:                               `{"datatype":"json","value":"12"}`,
		`"x"`:                                `"x"`,
	} {
		got := string(AppendJSON(nil, writer(t, Format{Namemap: namemap}).Objects(statementsOf(t, `{"id":"a","p":`+value+`}`))))
		if got != `[{"id":"@a","p":`+want+`}]` {
			t.Errorf("%s is written as %s, want %s", value, got, want)
		}
	}
}
