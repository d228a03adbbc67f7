package server

import (
	"fmt"
	"strings"
	"testing"
)

func TestTheResultsOfJSONRPCHaveTheirShape(t *testing.T) {
	n := newNode(t)
	for _, step := range []struct{ name, request, want string }{
		{"new ids in the order of the document", request("1", "create", `[{"id":"b","o":{"id":"c","v":1}},{"id":"a","v":1}]`),
			`[{"id":1,"jsonrpc":"2.0","result":{"added":[{"id":"b","o":{"id":"c","v":1}},{"id":"a","v":1}],"new":["b","c","a"]}}]`},
		{"a batch of one", "[" + request(`"x"`, "add", `{"id":"d","l":[1,1]}`) + "]", `[{"id":"x","jsonrpc":"2.0","result":{"added":{"id":"d","l":[1,1]}}}]`},
		{"a list as it is and was", request("2", "update", `{"id":"d","l":[2]}`),
			`[{"id":2,"jsonrpc":"2.0","result":{"added":` + fmt.Sprintf(document, `{"id":"@d","l":[2]}`) + `,"removed":` + fmt.Sprintf(document, `{"id":"@d","l":[1,1]}`) + `}}]`},
		{"statements of all that goes", request("3", "remove", `["@a",{"id":"d","l":null}]`),
			`[{"id":3,"jsonrpc":"2.0","result":{"removed":[["a","v","1","http://www.w3.org/2001/XMLSchema#integer",""],["d","l","2","http://www.w3.org/2001/XMLSchema#integer",""]]}}]`},
		{"what was given, where values go", request("4", "remove", `[{"id":"c","v":[1,7]}]`), `[{"id":4,"jsonrpc":"2.0","result":{"removed":[{"id":"c","v":[1,7]}]}}]`},
		{"nothing", request("5", "remove", `[]`), `[{"id":5,"jsonrpc":"2.0","result":{"removed":[]}}]`},
	} {
		t.Run(step.name, func(t *testing.T) { n.rpc(step.request).wantJSON(step.want) })
	}
	n.get("/v1/objects").wantJSON(`{"objects":[{"id":"b","o":"@c"}]}`)
}

func TestACommentNamesTheFirstObjectThatEachRequestCreated(t *testing.T) {
	n := newNode(t)
	n.rpc("[" + strings.Join([]string{
		request(`"x"`, "create", `[{"id":"b","v":1},{"id":"a","v":1}]`),
		request("1", "add", `{"id":"c","v":1}`),
		request("2", "transaction_info", `{"comment":"overwritten"}`),
		request("3", "transaction_info", `{"comment":"$newx, and not $new1 or $new4"}`),
		request("4", "create", `{"id":"d","v":1}`),
	}, ",") + "]")
	var page historyPage
	if n.get("/v1/history/d").into(&page); len(page.History) != 1 || page.History[0].Comment != "b, and not $new1 or $new4" {
		t.Errorf("the history is %+v", page.History)
	}
}

func TestAQueryTakesTheOptionsOfTheOriginal(t *testing.T) {
	n := newNode(t)
	n.rpc(request("1", "add", `[{"id":"a","v":1,"to":"@b"},{"id":"b","v":2}]`))
	for params, rows := range map[string]string{
		`"{v where v = 1}"`: `[{"v":1}]`,
		`{"query":"{v where to = :to}","bindvars":{"to":"@b"},"captureErrors":true,"useSerializer":true,"explain":false,"debug":false,"printast":false}`: `[{"v":1}]`,
		`{"query":"(v where v in :list)","bindvars":{"list":[2,3]}}`:                                                                                     `[2]`,
	} {
		if r := n.rpc(request("1", "query", params)); !strings.Contains(strings.Join(strings.Fields(r.body), ""), `"results":`+rows+`,"errors":[]`) {
			t.Errorf("%s: %s", params, r.body)
		}
	}
	r := n.rpc(request("1", "query", `"{v ~ where v = 1}"`))
	if !strings.Contains(r.body, "illegal character '~' skipped") || !strings.Contains(r.body, `"v":1`) {
		t.Errorf("a fault beside the rows: %s", r.body)
	}
}

func TestQueriesTellWhichChangesetWroteAValue(t *testing.T) {
	n := newNode(t)
	n.rpc("[" + request("1", "add", `[{"id":"a","v":1,"l":["x","y"]},{"id":"b","v":1}]`) + "," + request("2", "transaction_info", `{"comment":"first"}`) + "]")
	n.rpc(request("1", "update", `{"id":"a","v":2}`))
	n.rpc(request("1", "update", `{"id":"a","l":["x","z"]}`))
	id := func(seq int) string {
		return fmt.Sprintf(`"@context:txn:%s;0A0000%d"`, n.server.deps.Config.ModelURI, seq)
	}
	for params, rows := range map[string]string{
		`"{v, 'by' : getTransactionId(v)}"`:                                     `[{"v":2,"by":` + id(2) + `},{"v":1,"by":` + id(1) + `}]`,
		`"{'by' : getTransactionId(?x.l) where ?x.l = 'z'}"`:                    `[{"by":` + id(3) + `}]`,
		`{"query":"{'by' : getTransactionId(v) where id = @a}","at":"0A00001"}`: `[{"by":` + id(1) + `}]`,
		`"[getTransactionComment(v), getTransactionAuthor(v)]"`:                 `[[null,null],["first",null]]`,
		`"(getTransactionId(none) where v = 1)"`:                                `[]`,
	} {
		if r := n.rpc(request("1", "query", params)); !strings.Contains(strings.Join(strings.Fields(r.body), ""), `"results":`+rows+`,`) {
			t.Errorf("%s\n got %s\nwant %s", params, r.body, rows)
		}
	}
}
