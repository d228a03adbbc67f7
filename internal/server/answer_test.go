package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// stuff stores n objects of about size bytes.
func (n *node) stuff(count, size int) {
	n.t.Helper()
	var body strings.Builder
	for i := range count {
		fmt.Fprintf(&body, `{"id":"o%06d","x":%q}`+"\n", i, strings.Repeat("w", size))
	}
	n.do("POST", "/v1/import", body.String(), "Content-Type: application/x-ndjson").want(200)
}

// sized is a client that remembers how much was sent to it at once.
type sized struct {
	header         http.Header
	total, biggest int
	heap           uint64
}

func (s *sized) Header() http.Header { return s.header }
func (s *sized) WriteHeader(int)     {}
func (s *sized) Write(b []byte) (int, error) {
	if s.total>>22 != (s.total+len(b))>>22 { // every 4 MiB
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		s.heap = max(s.heap, m.HeapAlloc)
	}
	s.total, s.biggest = s.total+len(b), max(s.biggest, len(b))
	return len(b), nil
}

// TestAQueryHoldsOnePartOfItsResult: 23 MiB of rows pass through a few.
func TestAQueryHoldsOnePartOfItsResult(t *testing.T) {
	n := newNode(t)
	n.stuff(6000, 4<<10)
	for _, accept := range []string{typeJSON, typeNDJSON} {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		out := &sized{header: http.Header{}}
		r := httptest.NewRequest("POST", "/v1/query", strings.NewReader(`{"query":"{*}"}`))
		r.Header.Set("Content-Type", typeJSON)
		r.Header.Set("Accept", accept)
		n.server.Handler().ServeHTTP(out, r)
		if out.total < 23<<20 || out.biggest > rowsBytes+8<<10 {
			t.Errorf("%s: %d bytes, up to %d at once", accept, out.total, out.biggest)
		}
		if grown := int64(out.heap) - int64(before.HeapAlloc); out.heap == 0 || grown > 8<<20 {
			t.Errorf("%s: the node held %d bytes more while it answered", accept, grown)
		}
	}
}

// broken reads an answer that must end before its end, with its trailer.
func (n *node) broken(query, accept string) (body, trailer string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), "POST", n.url+"/v1/query", strings.NewReader(query))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", typeJSON)
	req.Header.Set("Accept", accept)
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != 200 {
		n.t.Fatalf("status %d, the end is %v, want a cut", resp.StatusCode, err)
	}
	return string(text), resp.Trailer.Get(trailerRows)
}

// TestAFaultAfterTheFirstRowsCutsTheAnswer, and a document says why.
func TestAFaultAfterTheFirstRowsCutsTheAnswer(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.Limits.QueryRows = 50 })
	n.stuff(100, 4<<10)
	text, _ := n.broken(`{"query":"{*}"}`, typeJSON)
	var out struct {
		Results []any
		Errors  []string
		Problem *Problem
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	if out.Problem == nil || out.Problem.Status != 400 || !strings.Contains(out.Problem.Detail, "50") || out.Errors != nil || len(out.Results) != 50 {
		t.Errorf("%d rows, errors %v, problem %+v", len(out.Results), out.Errors, out.Problem)
	}
	_, compiler := theDocument(t)
	schema, err := compiler.Compile("openapi.json#/components/schemas/BrokenRows")
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, schema, typeJSON, text)
	text, trailer := n.broken(`{"query":"{*}"}`, typeNDJSON)
	lines := strings.SplitAfter(text, "\n")
	if len(lines) != 52 || lines[51] != "" || !strings.HasPrefix(lines[50], `{"problem":{"type":"urn:vesper:problem:bad-query",`) || !strings.Contains(lines[50], "50 rows") {
		t.Errorf("%d lines, the last of them %s", len(lines)-1, lines[len(lines)-2])
	}
	for _, line := range lines[:50] {
		if !json.Valid([]byte(line)) || !strings.Contains(line, `"id":"@o`) {
			t.Errorf("no row: %s", line)
		}
	}
	if trailer != "" {
		t.Errorf("the trailer of a whole answer: %q", trailer)
	}
	n.do("POST", "/v1/query", `{"query":"{*}","limit":50}`, "Content-Type: application/json").want(200)
	n.do("POST", "/v1/query", `{"query":"{id}"}`, "Content-Type: application/json").wantProblem(kindBadQuery, "50")
}

// TestLinesEndWithTheirNumber, so that all of them are known to be there.
func TestLinesEndWithTheirNumber(t *testing.T) {
	n := newNode(t)
	n.stuff(40, 4<<10)
	for query, want := range map[string]string{`{"query":"{*}"}`: "40", `{"query":"{*}","limit":3}`: "3", `{"query":"{* where x = 1}"}`: "0"} {
		req := httptest.NewRequestWithContext(t.Context(), "POST", n.url+"/v1/query", strings.NewReader(query))
		req.RequestURI = ""
		req.Header.Set("Content-Type", typeJSON)
		req.Header.Set("Accept", typeNDJSON)
		resp, err := n.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := resp.Trailer.Get(trailerRows); err != nil || got != want || fmt.Sprint(bytes.Count(text, []byte("\n"))) != want {
			t.Errorf("%s: %q rows with %d lines, want %s (%v)", query, got, bytes.Count(text, []byte("\n")), want, err)
		}
	}
}

// TestAClientThatLeavesEndsItsQuery: the query stops in the middle of its rows.
func TestAClientThatLeavesEndsItsQuery(t *testing.T) {
	n := newNode(t)
	n.stuff(6000, 4<<10)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, "GET", n.url+"/v1/query?q=%7B*%7D", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if running := testutil.ToFloat64(n.server.metrics.inFlight); running != 1 {
		t.Fatalf("%v requests under way: the answer was made before it was read", running)
	}
	leave()
	_ = resp.Body.Close()
	for deadline := time.Now().Add(10 * time.Second); testutil.ToFloat64(n.server.metrics.inFlight) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the query of a client that left goes on")
		}
	}
}

// TestTheClockOfAQueryCountsWaitingApart: the time of its client is not that of
// the query, and neither is without end.
func TestTheClockOfAQueryCountsWaitingApart(t *testing.T) {
	for name, c := range map[string]struct {
		making, sending, more time.Duration
		want                  error
	}{
		"in time":     {9 * time.Second, time.Minute, 500 * time.Millisecond, nil},
		"too long":    {9 * time.Second, time.Minute, 2 * time.Second, errTooLong},
		"client slow": {time.Second, maxSending + time.Second, time.Second, errTooSlow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := startClock(t.Context(), 10*time.Second)
				defer clock.stop()
				time.Sleep(c.making)
				clock.pause()
				time.Sleep(c.sending)
				clock.resume()
				time.Sleep(c.more)
				synctest.Wait()
				if got := context.Cause(clock.ctx); !errors.Is(got, c.want) {
					t.Errorf("ended by %v, want %v", got, c.want)
				}
			})
		})
	}
}
