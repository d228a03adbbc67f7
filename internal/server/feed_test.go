package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// stream is a feed of events being read.
type stream struct {
	t     *testing.T
	lines *bufio.Reader
	resp  *http.Response
}

func (n *node) events(path string, headers ...string) *stream {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	n.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", n.url+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Accept", typeEvents)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != typeEvents {
		n.t.Fatalf("%s: %d %s", path, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &stream{t: n.t, lines: bufio.NewReader(resp.Body), resp: resp}
}

// next returns the next block of the stream, without its end.
func (s *stream) next() string {
	s.t.Helper()
	var b strings.Builder
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ended after %q: %v", b.String(), err)
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

// change returns the next event's id and what it tells.
func (s *stream) change() (string, change) {
	s.t.Helper()
	for {
		block := s.next()
		id, rest, ok := strings.Cut(block, "\nevent: change\ndata: ")
		if !ok {
			continue // a comment
		}
		var c change
		if err := json.Unmarshal([]byte(rest), &c); err != nil {
			s.t.Fatal(err)
		}
		return strings.TrimPrefix(id, "id: "), c
	}
}

// TestEventsComeAsTheyHappenAndResumeWhereTheyBroke: none is lost, none comes twice.
func TestEventsComeAsTheyHappenAndResumeWhereTheyBroke(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	s := n.events("/v1/changes")
	if id, c := s.change(); id != "1" || c.Changeset != "0A00001" || c.Objects[0].ID != "a" {
		t.Errorf("the first event: %s %+v", id, c)
	}
	n.put("b", `{"x":1}`)
	id, c := s.change()
	if id != "2" || c.Objects[0].ID != "b" {
		t.Errorf("the second event: %s %+v", id, c)
	}
	_ = s.resp.Body.Close() // the connection breaks
	n.put("c", `{"x":1}`)
	n.do("DELETE", "/v1/objects/a", "").want(200)
	s = n.events("/v1/changes?after=0", "Last-Event-ID: "+id)
	if id, c := s.change(); id != "3" || c.Objects[0].ID != "c" {
		t.Errorf("after the break: %s %+v", id, c)
	}
	if id, c := s.change(); id != "4" || !c.Objects[0].Deleted {
		t.Errorf("the deletion: %s %+v", id, c)
	}
	if got := n.events("/v1/changes?feed=eventsource&after=4", "Accept: */*").next(); !strings.HasPrefix(got, ":") {
		t.Errorf("an empty feed begins with %q", got)
	}
}

// TestEventsAreNeverCompressed: a compressor would keep them until it has enough.
func TestEventsAreNeverCompressed(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":"`+strings.Repeat("long ", 1000)+`"}`)
	s := n.events("/v1/changes", "Accept-Encoding: gzip")
	if got := s.resp.Header.Get("Content-Encoding"); got != "" {
		t.Errorf("encoded as %s", got)
	}
	if _, c := s.change(); c.Changeset != "0A00001" {
		t.Errorf("got %+v", c)
	}
}

// TestQuietEventsBeatAndEndWithTheNode: a client learns that the connection
// lives, and is let go when the node stops.
func TestQuietEventsBeatAndEndWithTheNode(t *testing.T) {
	n := newNode(t)
	n.server.heartbeat = 5 * time.Millisecond
	s := n.events("/v1/changes")
	s.next() // the greeting
	for range 3 {
		if got := s.next(); got != ": still here\n" {
			t.Errorf("got %q", got)
		}
	}
	n.server.Drain()
	if _, err := io.Copy(io.Discard, s.lines); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
}

// slowWriter is a client that takes nothing more.
type slowWriter struct {
	http.ResponseWriter
	header http.Header
	writes int
}

func (w *slowWriter) Header() http.Header { return w.header }
func (w *slowWriter) WriteHeader(int)     {}
func (w *slowWriter) Write(b []byte) (int, error) {
	if w.writes++; w.writes > 1 {
		return 0, context.DeadlineExceeded
	}
	return len(b), nil
}
func (w *slowWriter) FlushError() error { return nil }

// TestSlowEventClientIsCutOffAndHoldsOneStepOfTheLog: the handler ends at the
// write that failed, and has read no more of the log than that write.
func TestSlowEventClientIsCutOffAndHoldsOneStepOfTheLog(t *testing.T) {
	n := newNode(t)
	for range 5 {
		n.put("a", `{"x":"`+strings.Repeat("y", 1000)+`"}`)
		n.put("a", `{"x":"z"}`)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &slowWriter{header: http.Header{}}
	if err := n.server.sendEvents(w, req, 0); err != nil {
		t.Error(err)
	}
	if w.writes != 2 {
		t.Errorf("%d writes to a client that takes one", w.writes)
	}
}

// TestLongPollWaitsForTheFirstChange, and no longer than it says.
func TestLongPollWaitsForTheFirstChange(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.get("/v1/changes?feed=longpoll&after=1&timeout=10ms").want(200).wantJSON(`{"changes":[],"last":1}`)
	got := make(chan reply)
	go func() { got <- n.get("/v1/changes?feed=longpoll&after=1&timeout=20s") }()
	n.put("b", `{"x":1}`)
	var page changesPage
	if (<-got).want(200).into(&page); len(page.Changes) != 1 || page.Changes[0].Objects[0].ID != "b" || page.Last != 2 {
		t.Errorf("got %+v", page)
	}
	go func() { got <- n.get("/v1/changes?feed=longpoll&after=2&timeout=20s") }()
	n.server.Drain()
	(<-got).want(200).wantJSON(`{"changes":[],"last":2}`)
}

func TestFeedRefusesWhatItDoesNotUnderstand(t *testing.T) {
	n := newNode(t)
	for path, says := range map[string]string{
		"/v1/changes?feed=continuous":            "normal, longpoll or eventsource",
		"/v1/changes?timeout=1s":                 "feed=longpoll",
		"/v1/changes?feed=longpoll&timeout=1h":   "2m0s",
		"/v1/changes?feed=longpoll&timeout=soon": "soon",
		"/v1/changes?after=-1":                   "-1",
		"/v1/changes?limit=0":                    "limit",
		"/v1/changes?since=1":                    `"since"`,
		"/v1/revisions?feed=longpoll":            `"feed"`,
	} {
		n.get(path).wantProblem(kindBadRequest, says)
	}
	n.get("/v1/changes?feed=eventsource", "Last-Event-ID: x").wantProblem(kindBadRequest, "Last-Event-ID")
	n.do("HEAD", "/v1/changes?feed=eventsource", "").want(200).wantHeader("Content-Type", typeEvents)
}
