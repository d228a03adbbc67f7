package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/statement"
)

func TestPutCreatesReplacesAndReportsTheRevision(t *testing.T) {
	n := newNode(t)
	n.do("PUT", "/v1/objects/moby", `{"title":"Moby Dick","year":1851}`).want(201).
		wantHeader("Location", "/v1/objects/moby").wantHeader("ETag", `"0A00001"`).
		wantHeader("Vesper-Revision", "0A00001").wantHeader("Vesper-Changeset", "0A00001").
		wantJSON(`{"id":"moby","created":true,"changed":true,"changeset":"0A00001","revision":"0A00001"}`)
	n.do("PUT", "/v1/objects/moby", `{"id":"moby","title":"Moby-Dick"}`).want(200).
		wantHeader("Location", "").wantHeader("ETag", `"0A00002"`).
		wantJSON(`{"id":"moby","changed":true,"changeset":"0A00002","revision":"0A00002"}`)
	n.get("/v1/objects/moby").want(200).wantJSON(`{"id":"moby","title":"Moby-Dick"}`).
		wantHeader("ETag", `"0A00002"`).wantHeader("Content-Type", "application/json").wantHeader("Vesper-Revision", "0A00002")
}

func TestPutThatChangesNothingTakesNoChangeset(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.put("b", `{"x":1}`)
	n.do("PUT", "/v1/objects/a", `{"x":1}`).want(200).wantHeader("Vesper-Changeset", "").
		wantHeader("Vesper-Revision", "0A00002").wantHeader("ETag", `"0A00001"`).
		wantJSON(`{"id":"a","changed":false,"revision":"0A00002"}`)
}

func TestGetGivesBackWhatWasPut(t *testing.T) {
	n := newNode(t)
	for name, body := range map[string]string{
		"scalars":         `{"s":"text","i":12345678901234567890,"d":0.1,"t":true,"n":null}`,
		"lists":           `{"l":[3,1,2,1],"e":[],"n":[[1,2],[3]],"one":["x"]}`,
		"embedded":        `{"o":{"k":"v","deep":{"x":1}}}`,
		"references":      `{"r":"@other","at":{"datatype":"json","value":"@literal"}}`,
		"datatypes":       `{"date":{"datatype":"date","value":"1851-10-18"},"fr":{"datatype":"lang:fr","value":"bonjour"}}`,
		"reserved":        `{"::id":"stored","::context":"too"}`,
		"unicode":         `{"é":"日本","emoji":"🐋","tab":"a\tb\u0001"}`,
		"html characters": `{"x":"<a href=\"b\">&</a>"}`,
	} {
		t.Run(name, func(t *testing.T) {
			n.put(name, body)
			want := strings.Replace(body, "{", `{"id":"`+name+`",`, 1)
			n.get("/v1/objects/" + url.PathEscape(name)).want(200).wantJSON(want)
		})
	}
}

func TestIDsTravelPercentEncodedInThePath(t *testing.T) {
	n := newNode(t)
	for _, id := range []string{
		"plain", "a/b", "http://example.com//x?y=z#f", ".", "..", "a b", "é", "%", "%2F", "+", "::x", "@x", `"`, "a\\b",
		strings.Repeat("x", statement.MaxIDBytes),
	} {
		t.Run(statement.Excerpt(id), func(t *testing.T) {
			path := "/v1/objects/" + escapeAll(id)
			n.do("PUT", path, `{"x":1}`).want(201)
			var got map[string]any
			n.get(path).want(200).into(&got)
			shown := got["id"].(string)
			if shown != id && shown != "::"+id { // escaped where it would look like something else
				t.Errorf("the object says its id is %q", shown)
			}
			n.do("PUT", path, `{"x":1,"id":`+quote(shown)+`}`).want(200)
			n.get("/v1/history/" + escapeAll(id)).want(200)
			n.do("DELETE", path, "").want(200)
			n.get(path).wantProblem(kindNotFound, quote(id))
		})
	}
}

// TestASlashInAnIDNeedsNoEncoding: proxies decode it on the way, among them the
// API server of Kubernetes.
func TestASlashInAnIDNeedsNoEncoding(t *testing.T) {
	n := newNode(t)
	n.do("PUT", "/v1/objects/shop/12/till", `{"x":1}`).want(201).wantHeader("Location", "/v1/objects/shop%2F12%2Ftill")
	n.get("/v1/objects/shop%2F12%2Ftill").want(200).wantJSON(`{"id":"shop/12/till","x":1}`)
	n.get("/v1/objects/shop/12%2Ftill").want(200)
	n.get("/v1/history/shop/12/till").want(200)
	n.get("/v1/objects/shop/12").wantProblem(kindNotFound, `"shop/12"`)
	n.do("DELETE", "/v1/objects/shop/12/till", "").want(200)
}

// escapeAll percent-encodes an id, dots too, as no client's library would clean it.
func escapeAll(id string) string {
	return strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestBadIDsAreRefusedWithTheLimit(t *testing.T) {
	n := newNode(t)
	for name, tt := range map[string]struct{ id, says string }{
		"too long":     {strings.Repeat("x", statement.MaxIDBytes+1), "2048"},
		"NUL":          {"a%00b", "NUL"},
		"broken UTF-8": {"a%FFb", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				n.do(method, "/v1/objects/"+tt.id, `{"x":1}`).wantProblem(kindInvalid, tt.says)
			}
			n.get("/v1/history/"+tt.id).wantProblem(kindInvalid, tt.says)
		})
	}
}

func TestConditionalRequests(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`) // 0A00001
	n.put("a", `{"x":2}`) // 0A00002

	t.Run("GET with the current tag is 304 without a body", func(t *testing.T) {
		for _, tag := range []string{`"0A00002"`, `W/"0A00002"`, `"0A00001", "0A00002"`, `*`} {
			r := n.get("/v1/objects/a", "If-None-Match: "+tag).want(304).wantHeader("ETag", `"0A00002"`)
			if r.body != "" {
				t.Errorf("%s: 304 with a body: %s", tag, r.body)
			}
		}
		n.get("/v1/objects/a", `If-None-Match: "0A00001"`).want(200)
	})
	t.Run("a write on an old revision is refused and says the current one", func(t *testing.T) {
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			r := n.do(method, "/v1/objects/a", `{"x":9}`, `If-Match: "0A00001"`).wantProblem(kindPrecondition, "0A00002", "read it again")
			var p Problem
			if r.into(&p); p.Revision != "0A00002" {
				t.Errorf("%s: the problem names revision %q", method, p.Revision)
			}
		}
		n.get("/v1/objects/a").wantJSON(`{"id":"a","x":2}`)
	})
	t.Run("a tag that never was one", func(t *testing.T) {
		n.do("PUT", "/v1/objects/a", `{"x":9}`, `If-Match: "nonsense"`).wantProblem(kindPrecondition, "nonsense", "ETag of a GET")
	})
	t.Run("create only", func(t *testing.T) {
		n.do("PUT", "/v1/objects/a", `{"x":9}`, "If-None-Match: *").wantProblem(kindPrecondition)
		n.do("PUT", "/v1/objects/new", `{"x":9}`, "If-None-Match: *").want(201)
		n.do("PUT", "/v1/objects/b", `{"x":9}`, `If-None-Match: "0A00001"`).wantProblem(kindBadRequest, "If-Match")
	})
	t.Run("change only", func(t *testing.T) {
		n.do("PUT", "/v1/objects/none", `{"x":9}`, "If-Match: *").wantProblem(kindPrecondition)
		n.do("PATCH", "/v1/objects/none", `{"x":9}`, `If-Match: "0A00001"`).wantProblem(kindPrecondition, "does not exist")
	})
	t.Run("the tag of an answer is good for the next write", func(t *testing.T) {
		tag := n.get("/v1/objects/a").header.Get("ETag")
		for _, method := range []string{"PUT", "PATCH", "PUT"} {
			r := n.do(method, "/v1/objects/a", `{"y":"`+tag[1:8]+`","m":"`+method+`"}`, "If-Match: "+tag).want(200)
			if r.header.Get("ETag") == tag {
				t.Fatalf("%s changed the object and not its tag %s", method, tag)
			}
			tag = r.header.Get("ETag")
			n.get("/v1/objects/a").wantHeader("ETag", tag)
		}
		n.do("DELETE", "/v1/objects/a", "", `If-Match: W/"0A00001", `+tag).want(200)
	})
}

func TestDeleteRemovesWithEverythingEmbedded(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"o":{"k":"v"},"x":1}`)
	n.do("DELETE", "/v1/objects/a", "").want(200).wantHeader("Vesper-Changeset", "0A00002").
		wantJSON(`{"id":"a","changed":true,"changeset":"0A00002","revision":"0A00002"}`)
	n.do("DELETE", "/v1/objects/a", "").wantProblem(kindNotFound, `"a"`, "nothing was deleted")
	n.get("/v1/objects").wantJSON(`{"objects":[]}`)
}

// TestPatchIsAMergePatch follows the table of RFC 7396, appendix A, as far as
// an object can be stored (one without properties does not exist).
func TestPatchIsAMergePatch(t *testing.T) {
	tests := []struct{ name, before, patch, after string }{
		{"set", `{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{"add", `{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{"remove", `{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{"remove what is not there", `{"a":"b"}`, `{"x":null}`, `{"a":"b"}`},
		{"remove a list", `{"a":[1,2],"b":1}`, `{"a":null}`, `{"b":1}`},
		{"remove an object", `{"a":{"x":{"y":1}},"b":1}`, `{"a":null}`, `{"b":1}`},
		{"a value for a list", `{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{"a list for a value", `{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{"a list is set as a whole", `{"a":[1,2,3]}`, `{"a":[3,1]}`, `{"a":[3,1]}`},
		{"an empty list", `{"a":[1,2,3]}`, `{"a":[]}`, `{"a":[]}`},
		{"null in a list is a value", `{"a":[1]}`, `{"a":[null,1]}`, `{"a":[null,1]}`},
		{"nested set and remove", `{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{"nested remove leaves the rest", `{"a":{"b":"c","d":"e"}}`, `{"a":{"d":null}}`, `{"a":{"b":"c"}}`},
		{"deep remove", `{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":null}}}`, `{"a":{"b":{"d":2}}}`},
		{"deep set", `{"a":{"b":{"c":1,"d":2}},"z":0}`, `{"a":{"b":{"c":5}}}`, `{"a":{"b":{"c":5,"d":2}},"z":0}`},
		{"null was a value", `{"a":null,"b":1}`, `{"b":2}`, `{"a":null,"b":2}`},
		{"null removes a null", `{"a":null,"b":1}`, `{"a":null}`, `{"b":1}`},
		{"several at once", `{"a":1,"b":2,"c":3}`, `{"a":null,"b":5,"d":6}`, `{"b":5,"c":3,"d":6}`},
	}
	n := newNode(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n.put("p", tt.before)
			n.do("PATCH", "/v1/objects/p", tt.patch, "Content-Type: application/merge-patch+json").want(200)
			n.get("/v1/objects/p").want(200).wantJSON(strings.Replace(tt.after, "{", `{"id":"p",`, 1))
		})
	}
}

func TestPatchCreatesAndRemovesWholeObjects(t *testing.T) {
	n := newNode(t)
	n.do("PATCH", "/v1/objects/a", `{"x":1}`).want(201).wantHeader("Location", "/v1/objects/a").wantHeader("ETag", `"0A00001"`)
	n.do("PATCH", "/v1/objects/a", `{"x":null}`).want(200).wantHeader("ETag", "")
	n.get("/v1/objects/a").wantProblem(kindNotFound)
	n.do("PATCH", "/v1/objects/b", `{"x":null}`).want(200).wantJSON(`{"id":"b","changed":false,"revision":"0A00002"}`)
}

func TestRequestsThatCannotBeUnderstood(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	tests := []struct {
		name, method, path, body string
		headers                  []string
		kind                     kind
		says                     []string
	}{
		{"not JSON", "PUT", "/v1/objects/a", "{\n \"x\": oops}", nil, kindBadJSON, []string{"line 2"}},
		{"cut off", "PUT", "/v1/objects/a", `{"x":`, nil, kindBadJSON, []string{"line 1"}},
		{"empty", "PUT", "/v1/objects/a", "", nil, kindBadJSON, []string{"there is no text"}},
		{"a number", "PUT", "/v1/objects/a", "5", nil, kindBadJSON, nil},
		{"a list", "PUT", "/v1/objects/a", `[{"x":1}]`, nil, kindBadRequest, []string{"POST lists to /v1/objects"}},
		{"another id", "PUT", "/v1/objects/a", `{"id":"b","x":1}`, nil, kindIDMismatch, []string{`"a"`, `"b"`, "leave the id out"}},
		{"no property", "PUT", "/v1/objects/a", `{}`, nil, kindBadRequest, []string{"DELETE the object"}},
		{"only an id", "PATCH", "/v1/objects/a", `{"id":"a"}`, nil, kindBadRequest, []string{"DELETE the object"}},
		{"value too long", "PUT", "/v1/objects/a", `{"x":"` + strings.Repeat("y", statement.MaxTextBytes+1) + `"}`, nil, kindBadJSON, []string{"8388608"}},
		{"name too long", "PUT", "/v1/objects/a", `{"` + strings.Repeat("y", statement.MaxPredicateBytes+1) + `":1}`, nil, kindBadJSON, []string{"2048"}},
		{"form encoded", "PUT", "/v1/objects/a", `{"x":1}`, []string{"Content-Type: application/x-www-form-urlencoded"}, kindMediaType, []string{"send the header Content-Type: application/json"}},
		{"JSON patch", "PATCH", "/v1/objects/a", `[]`, []string{"Content-Type: application/json-patch+json"}, kindMediaType, []string{"application/merge-patch+json"}},
		{"broken media type", "PUT", "/v1/objects/a", `{"x":1}`, []string{"Content-Type: ;;"}, kindMediaType, nil},
		{"latin 1", "PUT", "/v1/objects/a", `{"x":1}`, []string{"Content-Type: application/json; charset=latin1"}, kindMediaType, []string{"latin1", "UTF-8"}},
		{"gzip", "PUT", "/v1/objects/a", `{"x":1}`, []string{"Content-Encoding: gzip"}, kindMediaType, []string{"gzip"}},
		{"unknown parameter", "GET", "/v1/objects/a?revision=1", "", nil, kindBadRequest, []string{`"revision"`, `at, conflicts`}},
		{"parameter of a write", "PUT", "/v1/objects/a?at=1", `{"x":1}`, nil, kindBadRequest, []string{`"at"`}},
		{"parameter twice", "GET", "/v1/objects/a?at=0&at=0", "", nil, kindBadRequest, []string{"2 times"}},
		{"broken query string", "GET", "/v1/objects/a?at=%zz", "", nil, kindBadRequest, nil},
		{"no revision", "GET", "/v1/objects/a?at=banana", "", nil, kindBadRequest, []string{"banana"}},
		{"a revision of the future", "GET", "/v1/objects/a?at=0A00009", "", nil, kindNoRevision, []string{"0A00001", "0A00009"}},
		{"never existed then", "GET", "/v1/objects/a?at=0", "", nil, kindNotFound, []string{`"a"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n.do(tt.method, tt.path, tt.body, tt.headers...).wantProblem(tt.kind, tt.says...)
		})
	}
	n.get("/v1/objects/a").want(200).wantJSON(`{"id":"a","x":1}`).wantHeader("Vesper-Revision", "0A00001")
}

func TestSyntaxErrorsCarryTheirPosition(t *testing.T) {
	n := newNode(t)
	var p Problem
	n.do("PUT", "/v1/objects/a", "{\"a\": 1,\n  \"b\": }").wantProblem(kindBadJSON).into(&p)
	if p.Line != 2 || p.Column != 8 {
		t.Errorf("got line %d, column %d, want 2 and 8: %s", p.Line, p.Column, p.Detail)
	}
}

func TestBodyLongerThanTheLimitIsRefusedUnread(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.Limits.RequestBytes = 1024 })
	long := `{"x":"` + strings.Repeat("y", 1024) + `"}`
	n.do("PUT", "/v1/objects/a", long).wantProblem(kindTooLarge, "1024 bytes", "limits.requestBytes")
	n.do("POST", "/v1/objects", long).wantProblem(kindTooLarge)
	n.do("POST", "/datarequest", long).want(413).wantHeader("Content-Type", "application/json")
	fits := `{"x":"` + strings.Repeat("y", 1024-8) + `"}`
	n.do("PUT", "/v1/objects/a", fits).want(201)
}

func TestObjectAtARevision(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.put("a", `{"x":2}`)
	n.do("DELETE", "/v1/objects/a", "").want(200)
	n.get("/v1/objects/a?at=0A00001").want(200).wantJSON(`{"id":"a","x":1}`).wantHeader("ETag", `"0A00001"`)
	n.get("/v1/objects/a?at=0A00002").want(200).wantJSON(`{"id":"a","x":2}`)
	n.get("/v1/objects/a?at=0A00003").wantProblem(kindNotFound, "at revision 0A00003")
}

func TestNestedObjectsWithTheirOwnIDsAreObjects(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"child":{"id":"c","x":1}}`)
	n.get("/v1/objects/a").wantJSON(`{"id":"a","child":"@c"}`)
	n.get("/v1/objects/c").wantJSON(`{"id":"c","x":1}`)
	// Only c changes: a keeps its tag, and the answer must not claim another one.
	r := n.do("PUT", "/v1/objects/a", `{"child":{"id":"c","x":2}}`).want(200)
	if tag := r.header.Get("ETag"); tag != "" && tag != `"0A00001"` {
		t.Errorf("a is tagged %s, but only c changed", tag)
	}
	n.get("/v1/objects/a").wantHeader("ETag", `"0A00001"`)
}

func TestTagsOfHeaders(t *testing.T) {
	read := func(header string) ([]string, bool, error) {
		return tags(&http.Request{Header: http.Header{"If-Match": {header}}}, "If-Match")
	}
	for header, want := range map[string][]string{
		``: nil, `"a"`: {"a"}, `"a", "b"`: {"a", "b"}, `W/"a","b"`: {"a", "b"}, `a`: {"a"}, `"0A00001,0B00002"`: {"0A00001,0B00002"},
		`"a" , W/"b"`: {"a", "b"},
	} {
		got, star, err := read(header)
		if star || err != nil || !cmp.Equal(got, want) {
			t.Errorf("tags(%s) = %q, %v, %v", header, got, star, err)
		}
	}
	if _, star, err := read(" * "); !star || err != nil {
		t.Errorf("* is not any: %v", err)
	}
	for _, header := range []string{`"a`, `a"`, `"a" "b"`, `"a"b`, `W/"a`, `"`} {
		if _, _, err := read(header); err == nil || problemOf(err).Status != 400 || !strings.Contains(err.Error(), "double quotes") {
			t.Errorf("tags(%s): %v", header, err)
		}
	}
}
