package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/nodeconfig"
)

// request is one JSON-RPC request as text.
func request(id, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params)
}

const document = `{"pjson":"0.9","namemap":{"refpattern":"@((::)?URIREF)"},"data":[%s]}`

func TestRPCMethods(t *testing.T) {
	n := newNode(t)
	steps := []struct{ name, method, params, result string }{
		{"add gives back the input", "add", `[{"id":"123","foo":"bar"}]`, `{"added":[{"id":"123","foo":"bar"}]}`},
		{"create names the new ids", "create", `{"id":"6","foo":"c"}`, `{"added":{"id":"6","foo":"c"},"new":["6"]}`},
		{"update tells what changed", "update", `[{"id":"123","foo":"baz"}]`,
			`{"added":` + fmt.Sprintf(document, `{"id":"@123","foo":"baz"}`) + `,"removed":` + fmt.Sprintf(document, `{"id":"@123","foo":"bar"}`) + `}`},
		{"update of nothing", "update", `[{"id":"123","foo":"baz"}]`,
			`{"added":` + fmt.Sprintf(document, ``) + `,"removed":` + fmt.Sprintf(document, ``) + `}`},
		{"replace tells what changed", "replace", `[{"id":"123","x":"y"}]`,
			`{"added":` + fmt.Sprintf(document, `{"id":"@123","x":"y"}`) + `,"removed":` + fmt.Sprintf(document, `{"id":"@123","foo":"baz"}`) + `}`},
		{"remove of values gives back the input", "remove", `{"id":"123","x":"y"}`, `{"removed":{"id":"123","x":"y"}}`},
		{"remove of a property gives statements", "remove", `{"id":"6","foo":null}`, `{"removed":[["6","foo","c","L",""]]}`},
		{"add again", "add", `[{"id":"123","x":"y"}]`, `{"added":[{"id":"123","x":"y"}]}`},
		{"remove of an object gives statements", "remove", `["@123"]`, `{"removed":[["123","x","y","L",""]]}`},
		{"remove of what is absent", "remove", `["@123"]`, `{"removed":[]}`},
		{"a comment", "transaction_info", `{"comment":"created $new2"}`, `{"comment":"created $new2"}`},
	}
	for _, tt := range steps {
		t.Run(tt.name, func(t *testing.T) {
			n.rpc(request(`"1"`, tt.method, tt.params)).wantJSON(`[{"id":"1","jsonrpc":"2.0","result":` + tt.result + `}]`)
		})
	}
}

func TestRPCGeneratesIDs(t *testing.T) {
	n := newNode(t)
	var out []struct {
		Result struct {
			Added json.RawMessage
			New   []string
		}
	}
	n.rpc(request("7", "create", `{"foo":"x","o":{"k":"v"}}`)).into(&out)
	var added struct {
		ID string
		O  struct{ ID string }
	}
	if err := json.Unmarshal(out[0].Result.Added, &added); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(added.ID, "bnode:j:t:object:x") || !strings.HasPrefix(added.O.ID, "bnode:j:e:object:"+added.ID+":x") {
		t.Errorf("unexpected ids in %s", out[0].Result.Added)
	}
	if !cmp.Equal(out[0].Result.New, []string{added.ID}) {
		t.Errorf("new is %q, and the object's id %q", out[0].Result.New, added.ID)
	}
	n.get("/v1/objects/" + escapeAll(added.ID)).want(200)
}

func TestRPCProtocolErrors(t *testing.T) {
	n := newNode(t)
	failure := func(id string, code int, message string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, id, code, message)
	}
	invalid := failure("null", -32600, "Invalid Request")
	for name, tt := range map[string]struct{ body, want string }{
		"no method":          {request("1", "nosuch", "{}"), "[" + failure("1", -32601, "Method not found") + "]"},
		"method is a number": {`{"jsonrpc":"2.0","id":1,"method":5}`, "[" + failure("1", -32600, "Invalid Request") + "]"},
		"no version":         {`[{"method":"query","params":"{*}"}]`, "[" + invalid + "]"},
		"another version":    {`{"jsonrpc":"1.0","id":1,"method":"query","params":"{*}"}`, "[" + failure("1", -32600, "Invalid Request") + "]"},
		"a notification":     {`[{"jsonrpc":"2.0","method":"query","params":"{*}"}]`, "[" + invalid + "]"},
		"id null":            {request("null", "query", `"{*}"`), "[" + invalid + "]"},
		"no object":          {`[5]`, "[" + invalid + "]"},
		"a bare number":      {`5`, "[" + invalid + "]"},
		"an empty batch":     {`[]`, `[]`},
		"not JSON":           {`not json`, failure("null", -32700, "Parse error")},
		"cut off":            {`[{"jsonrpc":`, failure("null", -32700, "Parse error")},
		"nothing":            {``, failure("null", -32700, "Parse error")},
	} {
		t.Run(name, func(t *testing.T) { n.rpc(tt.body).wantJSON(tt.want) })
	}
	n.do("POST", "/nostore/datarequest", request("1", "query", `"{*}"`)).want(200).
		wantJSON(failure("null", -32600, `Invalid Request: store "nostore" not found`))
	n.do("POST", "/default/datarequest", `[]`).want(200).wantJSON(`[]`)
	n.do("POST", "/datarequest", `[]`, "Content-Type: text/plain").want(200).wantJSON(`[]`)
	n.do("GET", "/datarequest", "").wantProblem(kindMethod, "POST").wantHeader("Allow", "POST, OPTIONS")
}

func TestRPCBatchIsOneTransaction(t *testing.T) {
	n := newNode(t)
	r := n.rpc("["+strings.Join([]string{
		request("1", "create", `{"id":"a","x":1}`),
		request(`"two"`, "update", `{"id":"a","x":2}`),
		request("3", "transaction_info", `{"comment":"made $new1, not $new9"}`),
		request("4", "remove", `{"id":"a","x":2}`),
		request("5", "add", `{"id":"a","y":1}`),
		request("6", "query", `"{*}"`),
	}, ",")+"]").wantHeader("Vesper-Revision", "0A00001").wantHeader("Vesper-Changeset", "0A00001")
	var out []struct {
		ID     any
		Result map[string]any
		Error  any
	}
	r.into(&out)
	if len(out) != 6 || out[1].ID != "two" {
		t.Fatalf("unexpected responses: %s", r.body)
	}
	// Each request tells of its own changes, not of the transaction's so far.
	want := parse(t, `{"added":`+fmt.Sprintf(document, `{"id":"@a","x":2}`)+`,"removed":`+fmt.Sprintf(document, `{"id":"@a","x":1}`)+`}`)
	got, _ := json.Marshal(out[1].Result)
	if diff := cmp.Diff(want, parse(t, string(got))); diff != "" {
		t.Errorf("unexpected result of update (-want +got):\n%s", diff)
	}
	if out[2].Result["comment"] != "made a, not $new9" {
		t.Errorf("the comment is %q", out[2].Result["comment"])
	}
	rows, _ := json.Marshal(out[5].Result["results"])
	if string(rows) != `[{"id":"@a","y":1}]` {
		t.Errorf("the query in the batch does not see its writes: %s", rows)
	}
	var page historyPage
	n.get("/v1/history/a").into(&page)
	if len(page.History) != 1 || page.History[0].Comment != "made a, not $new9" {
		t.Errorf("the history is %+v", page.History)
	}
}

func TestRPCFailureAbortsTheWholeBatch(t *testing.T) {
	n := newNode(t)
	n.put("b", `{"x":1}`)
	r := n.rpc("["+strings.Join([]string{
		request("1", "add", `{"id":"a","x":1}`),
		request("2", "create", `{"id":"b","x":2}`),
		request("3", "add", `{"id":"c","x":1}`),
	}, ",")+"]").wantHeader("Vesper-Revision", "")
	var out []rpcResponse
	r.into(&out)
	for i, says := range []string{"request 2", "already exists", "request 2"} {
		if out[i].Error == nil || out[i].Result != nil || !strings.Contains(out[i].Error.Message, says) {
			t.Errorf("response %d does not say %q: %s", i+1, says, r.body)
		}
	}
	if out[1].Error.Code != rpcServerError {
		t.Errorf("code %d", out[1].Error.Code)
	}
	data, _ := json.Marshal(out[1].Error.Data)
	if !strings.Contains(string(data), "urn:vesper:problem:already-exists") {
		t.Errorf("a program cannot tell what is wrong: %s", data)
	}
	n.get("/v1/objects").wantJSON(`{"objects":[{"id":"b","x":1}]}`)
}

func TestRPCBadParamsSayWhereAndWhat(t *testing.T) {
	n := newNode(t)
	for name, tt := range map[string]struct{ method, params, says string }{
		"a number":           {"add", `5`, "line 1, column 1"},
		"the same id twice":  {"add", `[{"id":"a","x":1},{"id":"a","x":2}]`, "a"},
		"a reference to add": {"add", `["@a"]`, "line 1"},
		"null":               {"update", `null`, "line 1"},
		"no comment":         {"transaction_info", `{"remark":"x"}`, "comment"},
		"comment is no text": {"transaction_info", `{"comment":5}`, "comment"},
	} {
		t.Run(name, func(t *testing.T) {
			var out []rpcResponse
			r := n.rpc(request("1", tt.method, tt.params))
			if r.into(&out); out[0].Error == nil || out[0].Error.Code != rpcServerError || !strings.Contains(out[0].Error.Message, tt.says) {
				t.Errorf("the error does not say %q: %s", tt.says, r.body)
			}
		})
	}
	var out []rpcResponse
	n.rpc(`{"jsonrpc":"2.0","id":1,"method":"add"}`).into(&out)
	if out[0].Error == nil || !strings.Contains(out[0].Error.Message, "params is missing") {
		t.Errorf("missing params: %+v", out[0].Error)
	}
	if got := n.store.Revision(); len(got) != 0 {
		t.Errorf("something was written: %s", got)
	}
}

func TestRPCQuery(t *testing.T) {
	n := newNode(t)
	n.do("POST", "/v1/objects", `[{"id":"1","x":1},{"id":"2","x":2,"r":"@1"},{"y":3}]`).want(201)
	rows := func(params string) string {
		t.Helper()
		var out []struct {
			Result struct {
				Results json.RawMessage
				Errors  []string
				Elapsed *float64
			}
		}
		r := n.rpc(request("1", "query", params)).wantHeader("Vesper-Revision", "0A00001").wantHeader("Vesper-Changeset", "")
		r.into(&out)
		if out[0].Result.Errors == nil || out[0].Result.Elapsed == nil {
			t.Fatalf("unexpected result: %s", r.body)
		}
		return string(out[0].Result.Results)
	}
	for params, want := range map[string]string{
		`"{* where x = 1}"`: `[{"id":"@1","x":1}]`,
		`{"query":"{* where id = :id}","bindvars":{"id":"@2"}}`: `[{"id":"@2","r":"@1","x":2}]`,
		`"{* where x = 9}"`: `[]`,
	} {
		if got := rows(params); !cmp.Equal(parse(t, got), parse(t, want)) {
			t.Errorf("%s: got %s, want %s", params, got, want)
		}
	}
	if got := n.query("{*}"); len(got) != 3 {
		t.Errorf("{*} gave %v", got)
	}
}

func TestRPCQueryFaultsAreAnsweredAndAbortNothing(t *testing.T) {
	n := newNode(t)
	for name, params := range map[string]string{
		"syntax": `"{*"`, "unbound": `"{* where x = :x}"`, "number": `5`, "no query": `{}`,
		"unknown option": `{"query":"{*}","explian":true}`, "not yet": `{"query":"{*}","debug":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := n.rpc("[" + request("1", "add", `{"id":"`+name+`","x":1}`) + "," + request("2", "query", params) + "]")
			var out []rpcResponse
			r.into(&out)
			if out[0].Error != nil || out[1].Error == nil || out[1].Error.Code != 0 || out[1].Error.Message != "query failed" {
				t.Fatalf("unexpected responses: %s", r.body)
			}
			if data, ok := out[1].Error.Data.([]any); !ok || len(data) != 1 || !strings.HasPrefix(data[0].(string), "ERROR: ") {
				t.Errorf("unexpected data: %v", out[1].Error.Data)
			}
			n.get("/v1/objects/" + escapeAll(name)).want(200)
		})
	}
}

func TestRPCQueryLimits(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.Limits = nodeconfig.Default().Limits; d.Config.Limits.QueryRows = 2 })
	n.do("POST", "/v1/objects", `[{"x":1},{"x":2},{"x":3}]`).want(201)
	var out []rpcResponse
	r := n.rpc(request("1", "query", `"{*}"`))
	if r.into(&out); out[0].Error == nil || !strings.Contains(r.body, "query failed") {
		t.Errorf("three rows where two are allowed: %s", r.body)
	}
	n.server.deps.Config.Limits.QueryRows = 10
	n.server.deps.Config.Limits.QueryTime = 1
	r = n.rpc(request("1", "query", `"{*}"`))
	if !strings.Contains(r.body, "limits.queryTime") {
		t.Errorf("a query beyond its time: %s", r.body)
	}
}
