package server

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// TestBadCursorsAndRevisionsAreRefused: what cannot be a place to go on from is
// told so, and never taken for the beginning or for the end.
func TestBadCursorsAndRevisionsAreRefused(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.put("b", `{"x":1}`)
	q := "/v1/query?q=" + url.QueryEscape("{*}")
	for path, want := range map[string]struct {
		kind kind
		says string
	}{
		"/v1/objects?after=%ff":                         {kindBadRequest, "UTF-8"},
		"/v1/objects?after=%00":                         {kindBadRequest, "NUL"},
		"/v1/objects?after=a&after=b":                   {kindBadRequest, `"after" is given 2 times`},
		"/v1/objects?limit=1&limit=2":                   {kindBadRequest, `"limit" is given 2 times`},
		"/v1/objects?limit=1e2":                         {kindBadRequest, "from 1 to 1000"},
		"/v1/objects?limit=1001":                        {kindBadRequest, "from 1 to 1000"},
		"/v1/objects?%ff=1":                             {kindBadRequest, "UTF-8"},
		"/v1/objects?x=%ff":                             {kindBadRequest, "filter on x"},
		"/v1/objects?=1":                                {kindBadRequest, "property name is empty"},
		"/v1/objects?x=1;y=2":                           {kindBadRequest, "form-encoded"},
		"/v1/conflicts?after=%00":                       {kindBadRequest, "NUL"},
		"/v1/conflicts?since=x":                         {kindBadRequest, "since"},
		"/v1/conflicts?since=99":                        {kindFeedGap, "99"},
		"/v1/conflicts?since=1&after=a":                 {kindBadRequest, "one of them"},
		"/v1/changes?after=3":                           {kindFeedGap, "ends at 2 and does not reach 3"},
		"/v1/changes?after=99999999999999":              {kindFeedGap, "follow the feed from 2 on"},
		"/v1/changes?after=18446744073709551616":        {kindBadRequest, "18446744073709551616"},
		"/v1/changes?feed=longpoll&after=3&timeout=20s": {kindFeedGap, "does not reach 3"},
		"/v1/changes?feed=eventsource&after=3":          {kindFeedGap, "does not reach 3"},
		"/v1/revisions?after=3":                         {kindFeedGap, "does not reach 3"},
		"/v1/history/a?after=0A00002":                   {kindBadRequest, `not in the history of "a"`},
		"/v1/history/a?after=last":                      {kindBadRequest, `"last" is no changeset`},
		"/v1/history/a?after=0A00001,0B00001":           {kindBadRequest, "no changeset"},
		"/v1/changesets/last":                           {kindBadRequest, `"last" is no changeset`},
		"/v1/changesets/0A00003":                        {kindNoChangeset, "0A00003"},
		"/v1/objects/a?at=":                             {kindBadRequest, "at is empty"},
		"/v1/objects/a?at=now":                          {kindBadRequest, `"now" is no revision`},
		"/v1/objects/a?at=0A00001,0A00002":              {kindBadRequest, "is not after 0A"},
		"/v1/objects/a?at=0A99999999999999999999":       {kindBadRequest, "no revision"},
		"/v1/objects/a?at=0A00003":                      {kindNoRevision, "wait until it is there"},
		"/v1/conflicts/a?at=now":                        {kindBadRequest, `"now" is no revision`},
		"/v1/diff?from=":                                {kindBadRequest, "from is empty"},
		"/v1/diff?from=now":                             {kindBadRequest, `"now" is no revision`},
		"/v1/diff?from=0A00001&to=0B00001":              {kindNoRevision, "to:"},
		"/v1/diff?from=0A00001&after=%00":               {kindBadRequest, "NUL"},
		"/v1/export?at=now":                             {kindBadRequest, `"now" is no revision`},
		"/v1/export?at=0A00003":                         {kindNoRevision, "does not cover"},
		"/v1/export?after=%ff":                          {kindBadRequest, "UTF-8"},
		q + "&at=":                                      {kindBadRequest, "at is empty"},
		q + "&at=now":                                   {kindBadRequest, `"now" is no revision`},
		q + "&at=0A00003":                               {kindNoRevision, "does not cover"},
		"/v1/status?verbose=1":                          {kindBadRequest, `"verbose"`},
		"/v1/quarantine/1?x=1":                          {kindBadRequest, "known here are none"},
		"/v1/quarantine/first":                          {kindBadRequest, "first"},
		"/v1/objects/%00":                               {kindInvalid, "NUL"},
		"/v1/objects/%ed%a0%80":                         {kindInvalid, "UTF-8"},
		"/v1/objects/" + strings.Repeat("i", 2049):      {kindInvalid, "2048"},
	} {
		t.Run(path[:min(len(path), 60)], func(t *testing.T) {
			n.t = t
			n.get(path).wantProblem(want.kind, want.says)
		})
	}
	n.t = t
	n.get("/v1/changes?after=2").want(200).wantJSON(`{"changes":[],"last":2}`)
	n.get("/v1/history/a?after=0A00001").want(200).wantJSON(`{"id":"a","history":[]}`)
}

// TestRevisionZeroIsThePastAndNotThePresent, wherever a revision is asked about.
func TestRevisionZeroIsThePastAndNotThePresent(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.get("/v1/objects/a?at=0").wantProblem(kindNotFound, "at revision 0")
	for _, r := range []reply{
		n.get("/v1/query?q=%7B*%7D&at=0"), n.do("POST", "/v1/query", `{"query":"{*}","at":"0"}`, jsonBody),
	} {
		var out struct{ Results []any }
		if r.want(200).into(&out); len(out.Results) != 0 {
			t.Errorf("at revision 0 there was %v", out.Results)
		}
	}
	if r := n.rpc(request("1", "query", `{"query":"{*}","at":"0"}`)); !strings.Contains(r.body, `"results":[]`) {
		t.Errorf("at revision 0 there was %s", r.body)
	}
	if r := n.get("/v1/export?at=0").want(200); r.body != "" {
		t.Errorf("at revision 0 there was %s", r.body)
	}
}

// TestBadHeadersAreRefused, or do what HTTP says of them.
func TestBadHeadersAreRefused(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	for _, c := range []struct {
		method, header string
		kind           kind
		says           string
	}{
		{"PUT", `If-Match: "0A00001`, kindBadRequest, "double quotes"},
		{"PUT", `If-Match: "0A00001" "0A00002"`, kindBadRequest, "double quotes"},
		{"PUT", `If-Match: "banana"`, kindPrecondition, "banana"},
		{"PUT", `If-None-Match: "0A00001"`, kindBadRequest, "makes no sense"},
		{"PUT", `If-None-Match: "`, kindBadRequest, "If-None-Match is not understood"},
		{"DELETE", `If-Match: "0A00001`, kindBadRequest, "double quotes"},
		{"GET", `If-None-Match: "0A00001`, kindBadRequest, "double quotes"},
		{"GET", `If-Match: "0A00001`, kindBadRequest, "double quotes"},
		{"GET", `If-Match: "0A00009"`, kindPrecondition, "0A00001"},
		{"PUT", "Content-Type: application/", kindMediaType, "application/json"},
		{"PUT", "Content-Encoding: br", kindMediaType, "br"},
		{"PUT", "Sec-Fetch-Site: cross-site", kindCrossOrigin, "another web site"},
	} {
		t.Run(c.method+" "+c.header, func(t *testing.T) {
			n.t = t
			n.do(c.method, "/v1/objects/a", `{"x":2}`, c.header).wantProblem(c.kind, c.says)
		})
	}
	n.t = t
	n.get("/v1/objects/a", `If-Match: "0A00001"`).want(200).wantJSON(`{"id":"a","x":1}`)
	n.get("/v1/objects/a", `If-Match: *`).want(200)
	n.get("/v1/objects/a?conflicts=true", `If-None-Match: "0A00001"`).want(304)
	n.get("/v1/objects/a?conflicts=true", `If-Match: "0A00009"`).wantProblem(kindPrecondition)
	n.get("/v1/changes?feed=eventsource", "Last-Event-ID: 9").wantProblem(kindFeedGap, "does not reach 9")
}

// TestAcceptChoosesWhatIsPreferred, and what is not offered gets JSON.
func TestAcceptChoosesWhatIsPreferred(t *testing.T) {
	n := newNode(t)
	for accept, want := range map[string]string{
		"":                                       typeJSON,
		"*/*":                                    typeJSON,
		"text/html":                              typeJSON,
		"application/*":                          typeJSON,
		"application/x-ndjson":                   typeNDJSON,
		"application/x-ndjson, */*;q=0.1":        typeNDJSON,
		"application/x-ndjson, application/json": typeNDJSON,
		"application/json, application/x-ndjson": typeJSON,
		"application/json;q=0.1, application/x-ndjson":     typeNDJSON,
		"application/x-ndjson;q=0.2, application/json":     typeJSON,
		"application/x-ndjson;q=0":                         typeJSON,
		"application/x-ndjson;q=x, ;;, application/*;q=.5": typeJSON,
		"Application/JSONL":                                typeNDJSON,
	} {
		if got := n.get("/v1/query?q=%7B*%7D", "Accept: "+accept).want(200).header.Get("Content-Type"); got != want {
			t.Errorf("Accept: %s gets %s", accept, got)
		}
	}
}

// TestBadBindVariablesAndQueriesAreRefusedWithTheirPlace.
func TestBadBindVariablesAndQueriesAreRefusedWithTheirPlace(t *testing.T) {
	n := newNode(t)
	for body, want := range map[string]struct {
		kind kind
		says string
	}{
		`{"query":"{*}","bindvars":[1]}`:                    {kindBadJSON, "line 1, column 27: bindvars must be a JSON object"},
		`{"query":"{*}","bindvars":{"v":{"a":1}}}`:          {kindBadJSON, `line 1, column 32: the bind variable "v" is an object`},
		`{"query":"{*}","bindvars":{"v":[1,{}]}}`:           {kindBadJSON, `line 1, column 35: the bind variable "v" is an object`},
		`{"query":"{*}","bindvars":{"v":1e999}}`:            {kindBadJSON, `line 1, column 32: the bind variable "v": number "1e999" is beyond`},
		`{"query":"{*}","bindvars":{"v":1,"v":2}}`:          {kindBadJSON, "twice"},
		`{"query":"{*}","bindvars":{"v":"\u0000"}}`:         {kindBadJSON, "NUL"},
		`{"query":"{*}","bindvars":{"v":"\udc00"}}`:         {kindBadJSON, "surrogate"},
		`{"query":"{*}","at":"now"}`:                        {kindBadJSON, `line 1, column 21: at: "now" is no revision`},
		`{"query":"{*}","at":5}`:                            {kindBadJSON, "at must be a string"},
		`{"query":"{*}","limit":1.5}`:                       {kindBadJSON, "line 1, column 24: limit"},
		`{"query":"{*}","limit":99999999999999999999}`:      {kindBadJSON, "limit"},
		`{"query":"{*}","Limit":1}`:                         {kindBadJSON, `"Limit"`},
		`{"query":"{*\u0000}"}`:                             {kindBadJSON, "NUL"},
		"{\"query\":\"{*\xff}\"}":                           {kindBadJSON, "UTF-8"},
		`{"query":"{* where x < 1e999}"}`:                   {kindBadQuery, "line 1, column 14"},
		`{"query":"{id where"}`:                             {kindBadQuery, "line 1, column 10"},
		strings.Repeat("[", 200) + strings.Repeat("]", 200): {kindBadJSON, "line 1, column 101: objects and lists are nested more than 100 deep"},
		strings.Repeat("[", 200000):                         {kindBadJSON, "100 deep"},
		"":                                                  {kindBadJSON, "there is no text"},
		`{"query":"{*}"} {}`:                                {kindBadJSON, "line 1, column 17"},
	} {
		n.do("POST", "/v1/query", body, jsonBody).wantProblem(want.kind, want.says)
	}
	n.do("POST", "/v1/query", "\ufeff"+`{"query":"{*}"}`, jsonBody).want(200)
	n.get("/v1/query?q=%7B*%ff%7D").wantProblem(kindBadQuery, "line 1, column 3", "UTF-8")
	n.get("/v1/query?q=%7B*%00%7D").wantProblem(kindBadQuery, "line 1, column 3", "NUL")
	n.get("/v1/query?q=%7B*%7D&bindvars=%5B1%5D").wantProblem(kindBadRequest, "bindvars must be a JSON object")
}

// TestNumbersBeyond64BitsStayExact, in objects, bind variables and queries.
func TestNumbersBeyond64BitsStayExact(t *testing.T) {
	n := newNode(t)
	const big = "123456789012345678901234567890"
	n.put("big", `{"x":`+big+`,"y":-`+big+`,"z":1e308}`)
	if r := n.get("/v1/objects/big"); !strings.Contains(r.body, `"x":`+big+`,"y":-`+big) {
		t.Errorf("it reads back as %s", r.body)
	}
	for _, body := range []string{
		`{"query":"{id where x = ` + big + `}"}`, `{"query":"{id where x = :v}","bindvars":{"v":` + big + `}}`,
		`{"query":"{id where x > 123456789012345678901234567889 and x < 123456789012345678901234567891}"}`,
	} {
		if r := n.do("POST", "/v1/query", body, jsonBody).want(200); !strings.Contains(r.body, `"@big"`) {
			t.Errorf("%s finds %s", body, r.body)
		}
	}
	n.do("PUT", "/v1/objects/big", `{"x":1e309}`).wantProblem(kindBadJSON, "column 6", "beyond the range of a double")
	n.do("PUT", "/v1/objects/big", `{"x":`+strings.Repeat("9", 4097)+`}`).wantProblem(kindBadJSON, "4096")
	n.get("/v1/objects?x=" + big).wantJSON(`{"objects":[` + n.get("/v1/objects/big").body + `]}`)
}

// TestTheSameIDTwiceIsRefusedAndNothingWritten: in a list with its place, in
// lines with both lines.
func TestTheSameIDTwiceIsRefusedAndNothingWritten(t *testing.T) {
	n := newNode(t)
	list, lines := `[{"id":"d","x":1},{"id":"d","x":2}]`, "{\"id\":\"d\",\"x\":1}\n\n{\"id\":\"d\",\"x\":2}"
	for mode := range addModes {
		n.do("POST", "/v1/objects?mode="+mode, list, jsonBody).wantProblem(kindBadJSON, "line 1, column 19", "line 1, column 2")
		n.do("POST", "/v1/objects?mode="+mode, lines, linesBody).wantProblem(kindBadJSON, "line 3, column 1", "in line 1 too")
	}
	if r := n.rpc(request("1", "add", list)); !strings.Contains(r.body, "line 1, column 19") {
		t.Errorf("JSON-RPC says %s", r.body)
	}
	load(n, "/v1/import", list).wantProblem(kindBadImport, "line 1, column 19")
	if len(n.store.Revision()) > 0 {
		t.Errorf("something was written: %s", n.store.Revision())
	}
}

// TestJSONRPCSaysInAHeaderWhatIsWrong: its own errors are as the original's.
func TestJSONRPCSaysInAHeaderWhatIsWrong(t *testing.T) {
	n := newNode(t)
	for body, want := range map[string]struct {
		code int
		says string
	}{
		`{"jsonrpc":"2.0",`: {rpcParseError, "line 1, column 18: unexpected end"},
		"":                  {rpcParseError, "there is no text"},
		"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"query\"}":   {rpcParseError, "line 1, column 24: byte 0xff"},
		strings.Repeat("[", 20000):                                     {rpcParseError, "100 deep"},
		`[5]`:                                                          {rpcInvalidRequest, "request 1: line 1, column 1: a request must be a JSON object"},
		`{"jsonrpc":"2.0","method":"query"}`:                           {rpcInvalidRequest, "id is missing or null"},
		`{"id":1,"method":"query"}`:                                    {rpcInvalidRequest, `jsonrpc must be "2.0"`},
		`{"jsonrpc":"2.0","id":1,"method":5}`:                          {rpcInvalidRequest, "method must be a string"},
		`{"jsonrpc":"2.0","id":1,"id":2,"method":"query"}`:             {rpcInvalidRequest, `"id" twice`},
		`{"jsonrpc":"2.0","id":1,"method":"add","method":"query"}`:     {rpcInvalidRequest, `"method" twice`},
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sel\u00e9ct\\n\"}": {rpcNoMethod, "known are add, create, query"},
	} {
		r := n.rpc(body)
		var one rpcResponse
		if err := json.Unmarshal([]byte(strings.Trim(strings.TrimSpace(r.body), "[]")), &one); err != nil || one.Error == nil || one.Error.Code != want.code || one.Error.Data != nil {
			t.Errorf("%.60s: %s", body, r.body)
		}
		if got := r.header.Get(headerError); !strings.Contains(got, want.says) {
			t.Errorf("%.60s: the header says %q, want %q", body, got, want.says)
		}
	}
	n.rpc(request("1", "query", `"{*}"`)).wantHeader(headerError, "")
}

// TestABatchWithAnInvalidRequestWritesNothing: it is one transaction.
func TestABatchWithAnInvalidRequestWritesNothing(t *testing.T) {
	n := newNode(t)
	for _, bad := range []string{`5`, request("9", "nosuch", "{}"), `{"jsonrpc":"2.0","method":"add","params":{"id":"b","x":1}}`} {
		var out []rpcResponse
		r := n.rpc("[" + request("1", "add", `{"id":"a","x":1}`) + "," + request("2", "query", `"{*}"`) + "," + bad + "]")
		r.into(&out)
		for _, o := range out[:2] {
			if o.Error == nil || !strings.Contains(o.Error.Message, "nothing was written, since request 3") {
				t.Errorf("beside %s: %s", bad, r.body)
			}
		}
		if out[2].Error == nil || out[2].Error.Code == rpcServerError {
			t.Errorf("%s is answered with %s", bad, r.body)
		}
	}
	if len(n.store.Revision()) > 0 {
		t.Errorf("something was written: %s", n.store.Revision())
	}
	r := n.rpc("[" + request("1", "query", `"{*}"`) + ",5]")
	if !strings.Contains(r.body, `"results":[]`) {
		t.Errorf("a batch that only reads: %s", r.body)
	}
}

// TestJSONRPCRefusesWhatItWouldMisread: parameters, encodings and params.
func TestJSONRPCRefusesWhatItWouldMisread(t *testing.T) {
	n := newNode(t)
	add := request("1", "add", `{"id":"a","x":1}`)
	for path, status := range map[string]int{"/datarequest?wiat=2": 400, "/datarequest?wait=x": 400, "/default/datarequest?timeout=1s": 400} {
		if r := n.do("POST", path, add).want(status); !strings.Contains(r.body, "Invalid Request: ") {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	n.do("POST", "/datarequest", add, "Content-Encoding: gzip").want(415)
	for params, says := range map[string]string{
		``: "params is missing", `[]`: "line 1, column 1: params must be the text", `{"query":5}`: "line 1, column 10: query must be a string",
		`{"QUERY":"{*}"}`: `unknown member "QUERY"`, `{"query":"{*}","query":"{id}"}`: "twice", `{"query":"{*}","at":"now"}`: `"now" is no revision`,
		`"{*\ud800}"`: "surrogate", `{"query":"{*}","bindvars":{"v":{}}}`: "is an object", `{"query":"{*}","explain":1}`: "explain must be true or false",
	} {
		body := request("1", "query", params)
		if params == "" {
			body = `{"jsonrpc":"2.0","id":1,"method":"query"}`
		}
		if r := n.rpc(body); !strings.Contains(r.body, `"code":0`) || !strings.Contains(strings.ReplaceAll(r.body, `\"`, `"`), says) || strings.Contains(r.body, "Go ") {
			t.Errorf("%s: %s", params, r.body)
		}
	}
	for _, comment := range []string{`"\u0000"`, `"\ud800"`, `5`, `null`} {
		r := n.rpc("[" + add + "," + request("2", "transaction_info", `{"comment":`+comment+`}`) + "]")
		if !strings.Contains(r.body, "transaction_info must be") {
			t.Errorf("the comment %s: %s", comment, r.body)
		}
	}
	if len(n.store.Revision()) > 0 {
		t.Errorf("something was written: %s", n.store.Revision())
	}
}

// TestFormsRefuseWhatTheyWouldMisread: fields twice or unknown, conditions that
// would be ignored, and a where that ends its query.
func TestFormsRefuseWhatTheyWouldMisread(t *testing.T) {
	n := newNode(t)
	n.put("f", `{"x":1}`)
	n.put("g", `{"x":2}`)
	for _, c := range []struct {
		path, form string
		status     int
		says       string
	}{
		{"/api/add", `data={"id":"a","x":1}&data={"id":"b","x":1}`, 400, "2 times"},
		{"/api/add", `data={"id":"a","x":1}&where=x`, 400, `unknown field "where"`},
		{"/api/query", `data={*}&limit=1`, 400, `unknown field "limit"`},
		{"/api/add", `data=%zz`, 400, "form-encoded"},
		{"/api/add", `data={"id":"a","x":`, 200, "line 1, column 15"},
		{"/api/update", `data={"x":3}&where=x="`, 200, "line 1, column 3"},
		{"/api/update", `data={"x":3}&where=id="f") or (x`, 200, "line 1, column 7"},
		{"/api/update", `data={"x":3}&where=%ff`, 200, "UTF-8"},
	} {
		r := n.do("POST", c.path, c.form, formBody).want(c.status)
		if got := strings.ReplaceAll(r.body, `\"`, `"`); !strings.Contains(got, c.says) || !strings.Contains(got, `"success": false`) {
			t.Errorf("%s %s: %s", c.path, c.form, r.body)
		}
	}
	if r := n.do("POST", "/api/update", `data={"x":3}&where=id="f"`, formBody, `If-Match: "0A00001"`).want(400); !strings.Contains(r.body, "If-Match") {
		t.Errorf("a condition: %s", r.body)
	}
	if got := n.store.Revision().String(); got != "0A00002" {
		t.Errorf("something was written: %s", got)
	}
}

// TestPatternsThatTakeTooLongAreRefusedWhereverDocumentsAreTaken, and nothing is
// written of them.
func TestPatternsThatTakeTooLongAreRefusedWhereverDocumentsAreTaken(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.server.parseTime = 1
	const doc, says = `{"namemap":{"refpattern":"<((x|y|xy)*)>"},"id":"a","x":"<xyxyxyx>"}`, "patterns of the document took longer than 1ns"
	for _, c := range []struct {
		method, path, body, media string
		kind                      kind
	}{
		{"PUT", "/v1/objects/a", doc, jsonBody, kindBadJSON},
		{"PATCH", "/v1/objects/a", doc, jsonBody, kindBadJSON},
		{"POST", "/v1/objects?mode=add", doc, jsonBody, kindBadJSON},
		{"POST", "/v1/objects?mode=add", doc, linesBody, kindBadJSON},
		{"POST", "/v1/transactions", `{"operations":[{"op":"put","object":` + doc + `}]}`, jsonBody, kindBadJSON},
		{"POST", "/v1/conflicts/a/resolve", `{"set":` + doc + `}`, jsonBody, kindBadJSON},
		{"POST", "/v1/import", doc, linesBody, kindBadImport},
	} {
		n.do(c.method, c.path, c.body, c.media).wantProblem(c.kind, says)
	}
	for _, r := range []reply{n.rpc(request("1", "add", doc)), n.do("POST", "/api/add", "data="+url.QueryEscape(doc), formBody)} {
		if !strings.Contains(r.body, says) {
			t.Errorf("got %s", r.body)
		}
	}
	if got := n.store.Revision().String(); got != "0A00001" {
		t.Errorf("something was written: %s", got)
	}
}
