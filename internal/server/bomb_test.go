package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/nodeconfig"
)

// minefield is a node with little data, of which short queries can make much:
// numbers to combine, and objects that refer to each other many times over.
func minefield(t *testing.T, change ...func(*nodeconfig.Limits)) *node {
	t.Helper()
	n := newNode(t, func(d *Deps) {
		for _, f := range change {
			f(&d.Config.Limits)
		}
	})
	var body strings.Builder
	for i := range 400 {
		fmt.Fprintf(&body, `{"id":"n%d","n":%d,"l":[1,2,3]}`+"\n", i, i)
	}
	for i := range 8 {
		fmt.Fprintf(&body, `{"id":"deep%d","text":%q,"next":[{"$ref":"deep%d"},{"$ref":"wide%d"}]}`+"\n", i, strings.Repeat("w", 1000), i+1, i+1)
		fmt.Fprintf(&body, `{"id":"wide%d","text":%q,"next":[{"$ref":"deep%d"},{"$ref":"wide%d"}]}`+"\n", i, strings.Repeat("w", 1000), i+1, i+1)
	}
	load(n, "/v1/import", body.String()).want(200)
	return n
}

// inTransaction is the way of asking that writes of others wait for.
const inTransaction = "JSON-RPC that writes"

// ways are all ways to ask a node something, as functions that check that the
// answer is the fault of the query, and says so.
var ways = map[string]func(n *node, query, says string){
	"GET /v1/query": func(n *node, query, says string) {
		n.get("/v1/query?q="+url.QueryEscape(query)).wantProblem(kindBadQuery, says)
	},
	"POST /v1/query": func(n *node, query, says string) {
		n.do("POST", "/v1/query", `{"query":`+quote(query)+`}`, jsonBody, "Accept: "+typeNDJSON).wantProblem(kindBadQuery, says)
	},
	"JSON-RPC": func(n *node, query, says string) {
		wantFailed(n, n.rpc(request("1", "query", quote(query))), says)
	},
	inTransaction: func(n *node, query, says string) {
		r := n.rpc("[" + request("1", "query", quote(query)) + "," + request("2", "replace", `{"id":"beside","x":1}`) + "]")
		wantFailed(n, r, says)
		if !strings.Contains(r.body, `"id":2,"jsonrpc":"2.0","result"`) {
			n.t.Errorf("the write beside it: %s", r.body)
		}
	},
	"a form": func(n *node, query, says string) {
		r := n.do("POST", "/api/query", "data="+url.QueryEscape(query), formBody).want(200)
		if !strings.Contains(r.body, says) || !strings.Contains(r.body, `"success": false`) {
			n.t.Errorf("got %s", r.body)
		}
	},
}

func wantFailed(n *node, r reply, says string) {
	n.t.Helper()
	if !strings.Contains(r.body, `"message":"query failed"`) || !strings.Contains(r.body, says) {
		n.t.Errorf("want %q, got %s", says, r.body)
	}
}

// neighbors read, ask and write until they are stopped. All of it must go well.
type neighbors struct {
	n       *node
	running sync.WaitGroup
	stopped atomic.Bool
	reads   atomic.Int64
	writes  atomic.Int64
}

func neighborsOf(n *node) *neighbors {
	n.put("seen", `{"k":7}`)
	nb := &neighbors{n: n}
	for i := range 2 {
		nb.running.Go(func() { nb.repeat(nb.read) })
		nb.running.Go(func() { nb.repeat(func(k int) { nb.write(fmt.Sprintf("neighbor%d", i), k) }) })
	}
	return nb
}

func (nb *neighbors) repeat(do func(k int)) {
	for k := 1; !nb.stopped.Load(); k++ {
		do(k)
	}
}

func (nb *neighbors) read(int) {
	if r := nb.n.get("/v1/query?q=" + url.QueryEscape("{k where id = 'seen'}")); r.status != 200 || !strings.HasPrefix(r.body, `{"results":[{"k":7}]`) {
		nb.n.t.Errorf("a query beside the bombs: %d %s", r.status, r.body)
	}
	if r := nb.n.get("/v1/objects/seen"); r.status != 200 || r.body != `{"id":"seen","k":7}`+"\n" {
		nb.n.t.Errorf("a read beside the bombs: %d %s", r.status, r.body)
	}
	nb.reads.Add(1)
}

func (nb *neighbors) write(id string, k int) {
	want := fmt.Sprintf(`{"k":%d}`, k)
	if r := nb.n.do("PUT", "/v1/objects/"+id, want); r.status != 200 && r.status != 201 {
		nb.n.t.Errorf("a write beside the bombs: %d %s", r.status, r.body)
	}
	if r := nb.n.get("/v1/query?q=" + url.QueryEscape("{k where id = '"+id+"'}")); r.status != 200 || !strings.HasPrefix(r.body, `{"results":[`+want+`]`) {
		nb.n.t.Errorf("after the write of %s a query beside the bombs says %d %s", want, r.status, r.body)
	}
	nb.writes.Add(1)
}

func (nb *neighbors) stop() {
	nb.stopped.Store(true)
	nb.running.Wait()
}

// TestAQueryThatRunsTooLongEndsAndHurtsNobody: by every way at once, a query that
// would take days ends at limits.queryTime and says so, while others read and
// write, and when it is over nothing of it is left.
func TestAQueryThatRunsTooLongEndsAndHurtsNobody(t *testing.T) {
	n := minefield(t, func(l *nodeconfig.Limits) { l.QueryTime = 2 * time.Second })
	n.server.bounds = jsonql.Limits{MaxSteps: 1 << 50} // that it is the time which ends it, on any machine
	const endless, says = "?a.n + ?b.n + ?c.n + ?d.n = ?e.n - 1", "the query ran longer than 2s: narrow it with where, or raise limits.queryTime"
	nb := neighborsOf(n)
	beside := func(ask ...func()) (reads, writes int64) {
		var running sync.WaitGroup
		reads, writes = nb.reads.Load(), nb.writes.Load()
		for _, f := range ask {
			running.Go(f)
		}
		running.Wait()
		return nb.reads.Load() - reads, nb.writes.Load() - writes
	}
	bomb := func(way string) func() {
		return func() { ways[way](n, "{'n': count(?a.n) where "+endless+"}", says) }
	}
	reads, writes := beside(bomb("GET /v1/query"), bomb("POST /v1/query"), bomb("JSON-RPC"), bomb("a form"), bomb("JSON-RPC"))
	if reads == 0 || writes == 0 {
		t.Errorf("beside the bombs there were %d reads and %d writes", reads, writes)
	}
	// What asks within a transaction holds up writes, for as long, and reads never.
	reads, _ = beside(bomb(inTransaction), func() {
		r := n.do("POST", "/api/update", "data="+url.QueryEscape(`{"x":1}`)+"&where="+url.QueryEscape(endless), formBody).want(200)
		if !strings.Contains(r.body, says) {
			t.Errorf("the condition of an update: %s", r.body)
		}
	})
	if reads == 0 {
		t.Error("beside bombs in transactions nobody could read")
	}
	nb.stop()
	if left := testutil.ToFloat64(n.server.metrics.inFlight); left > 1 {
		t.Errorf("%v requests go on after their answer", left)
	}
	n.put("after", `{"x":1}`)
	if strings.Contains(n.log.String(), "level=ERROR") {
		t.Errorf("the fault of a query is told as the node's: %s", n.log)
	}
}

// TestAClientThatLeavesEndsItsQueryWhateverWayItAsked, at once, and that is no
// failure of the node.
func TestAClientThatLeavesEndsItsQueryWhateverWayItAsked(t *testing.T) {
	n := minefield(t, func(l *nodeconfig.Limits) { l.QueryTime = time.Hour })
	n.server.bounds = jsonql.Limits{MaxSteps: 1 << 50}
	const endless = "{'n': count(?a.n) where ?a.n + ?b.n + ?c.n + ?d.n = ?e.n - 1}"
	for _, c := range []apiCall{
		{"GET", "", "/v1/query?q=" + url.QueryEscape(endless), "", 0, nil},
		{"POST", "", "/datarequest", request("1", "query", quote(endless)), 0, nil},
		{"POST", "", "/api/query", "data=" + url.QueryEscape(endless), 0, []string{formBody}},
	} {
		t.Run(c.path[:10], func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, c.method, n.url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.headers) > 0 {
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			go func() {
				n.untilRunning(1)
				leave()
			}()
			if resp, err := n.client.Do(req); err == nil {
				_ = resp.Body.Close()
				t.Errorf("a query without end was answered: %s", resp.Status)
			}
			n.untilRunning(0)
		})
	}
	if strings.Contains(n.log.String(), "level=ERROR") {
		t.Errorf("a client that left is told as a fault of the node: %s", n.log)
	}
}

// untilRunning waits until so many requests are under way.
func (n *node) untilRunning(want float64) {
	for end := time.Now().Add(time.Minute); testutil.ToFloat64(n.server.metrics.inFlight) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Errorf("there were never %v requests under way", want)
			return
		}
	}
}

// TestEachLimitOfAQueryIsToldWhateverWayItIsAsked, with what to do, while others
// read and write beside it.
func TestEachLimitOfAQueryIsToldWhateverWayItIsAsked(t *testing.T) {
	n := minefield(t, func(l *nodeconfig.Limits) { l.QueryRows = 300 })
	for name, c := range map[string]struct {
		query, says string
		bounds      jsonql.Limits
		held        int
	}{
		"steps":    {"{'n': count(?a.n) where ?a.n + ?b.n = ?c.n}", "look at more than 5000 objects, entries of indexes and combinations of objects: add a condition", jsonql.Limits{MaxSteps: 5000}, heldAnswer},
		"bytes":    {"[?a.n, ?b.n where ?a.n and ?b.n order by ?a.n + ?b.n]", "hold more than 100000 bytes to join, to order or to group: add a condition", jsonql.Limits{MaxBytes: 100_000}, heldAnswer},
		"objects":  {"[?a.n, ?b.n where ?a.n and ?b.n order by ?a.n + ?b.n]", "more than 1000 objects at once: add a condition", jsonql.Limits{MaxObjects: 1000}, heldAnswer},
		"values":   {"{* where id = @deep0 depth 8}", "the result is too large: ask for fewer rows, properties or a lower depth", jsonql.Limits{MaxValues: 200}, heldAnswer},
		"rows":     {"{n}", "more than 300 rows: add a condition, or limit and offset", jsonql.Limits{}, heldAnswer},
		"a row":    {"{* where id = @deep0 depth 8}", "has more than 100000 bytes: ask for fewer properties, a lower depth, or", jsonql.Limits{}, 100_000},
		"division": {"{'x': 1 / (n - n)}", "line 1, column 9: division by zero", jsonql.Limits{}, heldAnswer},
	} {
		n.server.bounds, n.server.heldAnswer = c.bounds, c.held
		nb := neighborsOf(n)
		for way, ask := range ways {
			t.Run(name+" by "+way, func(t *testing.T) {
				of := *n
				of.t = t
				ask(&of, c.query, c.says)
			})
		}
		nb.stop()
	}
	if strings.Contains(n.log.String(), "level=ERROR") {
		t.Errorf("the fault of a query is told as the node's: %s", n.log)
	}
}

// TestWhatIsHeldOfAnAnswerIsBounded: little data that is referred to many times
// is a lot of JSON. As one row, as many rows, and as many queries of one
// list it ends at the bound of what is held; rows that are sent one by one do not.
func TestWhatIsHeldOfAnAnswerIsBounded(t *testing.T) {
	n := newNode(t)
	body := `{"id":"big","x":"` + strings.Repeat("w", 16<<10) + `"}` + "\n"
	for i := range 400 {
		body += fmt.Sprintf(`{"id":"n%03d","n":%d,"big":{"$ref":"big"}}`+"\n", i, i)
	}
	load(n, "/v1/import", body).want(200)
	n.server.heldAnswer = 1 << 20
	const rows = "{n, 'a': ?a.x where n < 100 and big = ?a}"
	for _, query := range []string{rows, "(?a.x where big = ?a mergeall)"} {
		wantFailed(n, n.rpc(request("1", "query", quote(query))), "the answer has more than 1048576 bytes: ask for fewer properties, a lower depth, or parts with limit and offset; /v1/query sends")
	}
	half := "[" + request("1", "query", quote(strings.Replace(rows, "100", "40", 1))) + "," + request("2", "query", quote(strings.Replace(rows, "100", "40", 1))) + "]"
	if r := n.rpc(half); len(r.body) > 1<<20 || !strings.HasSuffix(strings.TrimSpace(r.body), `/v1/query sends rows of any number"]}}]`) {
		t.Errorf("two queries that are too much together: %d bytes", len(r.body))
	}
	out := &sized{header: http.Header{}}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/query?q="+url.QueryEscape(rows), nil)
	n.server.Handler().ServeHTTP(out, r)
	if out.total < 100*16<<10 {
		t.Errorf("rows that are sent one by one end after %d bytes", out.total)
	}
	n.get("/v1/query?q="+url.QueryEscape("(?a.x where big = ?a mergeall)")).wantProblem(kindBadQuery, "a row has more than 1048576 bytes")
}
