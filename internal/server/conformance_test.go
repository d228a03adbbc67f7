package server

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/statement/conformance"
)

// deviates lists, by line, the recorded exchanges that are answered otherwise,
// as docs/deviations.md says: the status that we answer, and what the answer must
// say. Everything else must agree.
var deviates = map[int]struct {
	status int
	says   string
}{
	7:  {200, "nofunc"},                 // told as a fault of the query, like every other
	13: {200, "delete removes nothing"}, // "success" that does nothing
	14: {404, "no-such-path"},           // a server error for what is the client's
	15: {400, "data is missing"},
	16: {200, `"success": false`}, // the wording alone
	17: {404, "no-such-path"},
	19: {404, "no-such-path"},                // pages of HTML
	28: {200, `"explain":{"op":"construct"`}, // a plan in our words; the rest must agree
	30: {200, `"ast":{"at":0`},               // a tree of our own; the rest must agree
	45: {405, "method-not-allowed"},
	47: {404, "no-such-path"},
	48: {404, "no-such-path"},
	49: {404, "no-such-path"},
	50: {404, "no-such-path"},
}

// exchange is one recorded request and its answer.
type exchange struct {
	Status  int
	JSON    json.RawMessage
	Request struct {
		Method, Path string
		Body, CType  *string
	}
}

// TestRecordedExchanges replays what was recorded from the original, in
// order, on one node. Generated ids, times and the order of rows that no query
// asked for are not compared.
func TestRecordedExchanges(t *testing.T) {
	n, rpc := newNode(t), false
	ran := 0
	for i, text := range conformance.Lines(t, "http-examples.jsonl") {
		var e exchange
		line := i + 1
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		isRPC := e.Request.Method == "POST" && strings.HasSuffix(e.Request.Path, "/datarequest")
		if isRPC && !rpc || line > 43 && line < 47 && rpc != isRPC {
			n = newNode(t) // another interface, or another store
		}
		rpc = isRPC
		ran++
		passed := t.Run(fmt.Sprint(line), func(t *testing.T) { n.replay(t, e, line) })
		_, known := deviates[line]
		conformance.Report(t, "http exchanges", fmt.Sprintf("http-examples %d", line), passed && !known)
	}
	if ran != 51 {
		t.Fatalf("only %d exchanges were found", ran)
	}
}

func (n *node) replay(t *testing.T, e exchange, line int) {
	contentType, body := "application/json", ""
	if e.Request.CType != nil {
		contentType = *e.Request.CType
	}
	if e.Request.Body != nil {
		body = *e.Request.Body
	}
	got := n.do(e.Request.Method, e.Request.Path, body, "Content-Type: "+contentType)
	if excuse, known := deviates[line]; known {
		if got.status != excuse.status || !strings.Contains(got.body, excuse.says) {
			t.Errorf("%s %s: %d %s, and the deviation is %d %q", e.Request.Path, body, got.status, got.body, excuse.status, excuse.says)
		}
		if line != 28 && line != 30 {
			return
		}
	}
	var want, answer any
	if err := json.Unmarshal(e.JSON, &want); err != nil {
		t.Fatal(err)
	}
	got.into(&answer)
	diff := cmp.Diff(essence(want), essence(answer))
	if got.status != e.Status {
		diff = fmt.Sprintf("status %d, want %d\n", got.status, e.Status) + diff
	}
	if diff != "" {
		t.Errorf("%s %s\nunexpected answer (-want +got):\n%s", e.Request.Path, body, diff)
	}
}

var generated = regexp.MustCompile(`:x[0-9a-f]{32}[0-9]+`)

// essence leaves out of an answer what may differ: generated parts of ids,
// times, the wording of query errors, and the order of rows.
func essence(v any) any {
	switch v := v.(type) {
	case string:
		return generated.ReplaceAllString(v, ":x")
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = essence(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			switch key {
			case "elapsed", "explain", "ast":
				out[key] = "a figure, or a text of the implementation's own"
			case "results":
				out[key] = multiset(essence(value).([]any))
			case "errors": // the wording of faults is our own
				out[key] = len(value.([]any))
			case "data":
				out[key] = essence(value)
				if _, isError := v["code"]; isError {
					out[key] = "an explanation"
				}
			default:
				out[key] = essence(value)
			}
		}
		return out
	}
	return v
}

func multiset(rows []any) map[string]int {
	out := map[string]int{}
	for _, row := range rows {
		text, _ := json.Marshal(row)
		out[string(text)]++
	}
	return out
}
