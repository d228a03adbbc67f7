package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

const (
	// typeEvents is the media type of server-sent events.
	typeEvents = "text/event-stream"
	// defaultPoll is how long a long-poll waits unless it says otherwise; it may
	// wait for maxTimeout.
	defaultPoll = 30 * time.Second
	// eventBytes is how much of the log one step of an event stream reads.
	eventBytes = 1 << 20
)

// change is one changeset in the order in which this node applied it.
type change struct {
	// Pos is its place; it means nothing on another node.
	Pos       uint64          `json:"pos"`
	Changeset string          `json:"changeset"`
	Time      time.Time       `json:"time"`
	Author    string          `json:"author,omitempty"`
	Comment   string          `json:"comment,omitempty"`
	Objects   []changedObject `json:"objects"`
}

type changedObject struct {
	ID      string `json:"id"`
	Deleted bool   `json:"deleted,omitempty"`
}

type changesPage struct {
	Changes []change `json:"changes"`
	// Last is what to give as after the next time.
	Last uint64 `json:"last"`
}

// feedRequest is what a request wants of the feed.
type feedRequest struct {
	after uint64
	limit int
	// wait is how long a long-poll waits for the first change; 0: not at all.
	wait time.Duration
	// events asks for server-sent events.
	events bool
}

// parseFeed reads the parameters of a feed; live ones can be waited for.
func (s *Server) parseFeed(r *http.Request, live bool) (feedRequest, error) {
	f := feedRequest{limit: defaultLimit}
	known := []string{"limit", "after"}
	if live {
		known = append(known, "feed", "timeout")
	}
	params, err := query(r, known...)
	if err != nil {
		return f, err
	}
	if params.Has("limit") {
		if f.limit, err = parseLimit(params.Get("limit")); err != nil {
			return f, err
		}
	}
	if params.Has("after") {
		if f.after, err = feedPlace("after", params.Get("after")); err != nil {
			return f, err
		}
	}
	if live {
		err = f.parseLive(r, params)
	}
	if end := s.deps.Store.FeedEnd(); err == nil && f.after > end {
		err = problem(kindFeedGap, "the feed of changes ends at %d and does not reach %d: the store was replaced since, or the place is of another node; "+
			"read all objects, and follow the feed from %d on", end, f.after, end)
	}
	return f, err
}

func feedPlace(name, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, problem(kindBadRequest, "%s: %q is no place in the feed: send the last of an earlier answer", name, text)
	}
	return n, nil
}

// parseLive reads how the request wants to wait. An event stream that breaks is
// taken up by the browser with Last-Event-ID, which then counts, not after.
func (f *feedRequest) parseLive(r *http.Request, params url.Values) (err error) {
	feed := params.Get("feed")
	if params.Has("feed") && !slices.Contains([]string{"normal", "longpoll", "eventsource"}, feed) {
		return problem(kindBadRequest, "feed: %q is unknown: it must be normal, longpoll or eventsource", feed)
	}
	f.events = feed == "eventsource" || feed == "" && prefers(r, typeEvents)
	if id := r.Header.Get("Last-Event-ID"); f.events && id != "" {
		if f.after, err = feedPlace("Last-Event-ID", id); err != nil {
			return err
		}
	}
	if feed == "longpoll" {
		f.wait = defaultPoll
	}
	if !params.Has("timeout") {
		return nil
	}
	if feed != "longpoll" {
		return problem(kindBadRequest, "timeout: given without feed=longpoll, which waits that long")
	}
	text := params.Get("timeout")
	if f.wait, err = time.ParseDuration(text); err != nil || f.wait < 0 || f.wait > maxTimeout {
		return problem(kindBadRequest, "timeout: %q is not a duration from 0s to %s, such as 500ms or 30s", text, maxTimeout)
	}
	return nil
}

// getChanges answers with the changesets after a place in this node's order of
// application: each once, and none is ever put in before one already given.
func (s *Server) getChanges(w http.ResponseWriter, r *http.Request) error {
	ask, err := s.parseFeed(r, true)
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept")
	if ask.events {
		return s.sendEvents(w, r, ask.after)
	}
	if r.Method == http.MethodHead {
		ask.wait = 0 // there is nothing to wait for
	}
	if ask.wait > 0 {
		unhurried(w)
	}
	page := changesPage{Changes: []change{}, Last: ask.after}
	entries, err := s.awaitFeed(r.Context(), ask.after, ask.wait, pageBytes)
	if err != nil {
		return err
	}
	for _, e := range entries[:min(ask.limit, len(entries))] {
		c, err := describe(e)
		if err != nil {
			return err
		}
		page.Changes, page.Last = append(page.Changes, c), e.Pos
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.patience)) // a recorder in tests has none
	answer(w, http.StatusOK, page)
	return nil
}

// awaitFeed returns what the feed has after a position; when that is nothing, it
// waits for it, at most so long. It ends early, with nothing, when the node stops.
func (s *Server) awaitFeed(ctx context.Context, after uint64, wait time.Duration, maxBytes int) ([]store.FeedEntry, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		changed := s.deps.Store.Changed() // before reading: what comes in between is seen
		entries, err := s.deps.Store.Feed(ctx, after, maxBytes)
		if err != nil || len(entries) > 0 || wait <= 0 {
			return entries, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-s.stopping.Done():
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func describe(e store.FeedEntry) (change, error) {
	c, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
	if err != nil {
		return change{}, err
	}
	out := change{Pos: e.Pos, Changeset: e.Dot.String(), Time: c.Clock.Time(), Author: c.Author, Comment: c.Comment, Objects: []changedObject{}}
	for _, o := range c.Objects {
		out.Objects = append(out.Objects, changedObject{ID: o.Root, Deleted: o.Delete})
	}
	return out, nil
}

// sendEvents sends changes as they come until the client goes or the node stops.
// It holds no more than eventBytes of the log for a client, which is cut off when
// it takes nothing for a while: it resumes with Last-Event-ID.
func (s *Server) sendEvents(w http.ResponseWriter, r *http.Request, after uint64) error {
	// A place that cannot be resumed at is told before the answer begins.
	if _, err := s.deps.Store.Feed(r.Context(), after, 1); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", typeEvents)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")           // proxies must pass on each event
	h.Set(gzhttp.HeaderNoCompression, "event") // and so must our own compression
	if r.Method == http.MethodHead {
		return nil
	}
	unhurried(w)
	out := &eventWriter{w: w, control: http.NewResponseController(w), patience: s.patience}
	if err := out.send(": the changes of this node\nretry: 2000\n\n"); err != nil {
		return nil //nolint:nilerr // the client is gone
	}
	for s.stopping.Err() == nil {
		entries, err := s.awaitFeed(r.Context(), after, s.heartbeat, eventBytes)
		block := ": still here\n\n"
		if err == nil && len(entries) > 0 {
			after = entries[len(entries)-1].Pos
			block, err = events(entries)
		}
		if err != nil {
			return out.breakOff(r, err)
		}
		if err := out.send(block); err != nil {
			return nil //nolint:nilerr // the client is gone, or too slow: it resumes
		}
	}
	return nil
}

// breakOff tells the client why the stream ends, as an event without an id; the
// connection will be cut. The end of the client is no fault.
func (e *eventWriter) breakOff(r *http.Request, err error) error {
	if r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())) {
		return nil
	}
	var b strings.Builder
	b.WriteString("event: problem\ndata: ")
	writeJSON(&b, problemOf(err))
	_ = e.send(b.String() + "\n") // who is gone need not be told
	return err
}

// events writes changes in the format of server-sent events; their ids are
// places in the feed.
func events(entries []store.FeedEntry) (string, error) {
	var b strings.Builder
	for _, e := range entries {
		c, err := describe(e)
		if err != nil {
			return "", err
		}
		b.WriteString("id: " + strconv.FormatUint(e.Pos, 10) + "\nevent: change\ndata: ")
		writeJSON(&b, c) // one line, and its end
		b.WriteString("\n")
	}
	return b.String(), nil
}

// eventWriter writes parts of a stream, each at once and within a time.
type eventWriter struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func (e *eventWriter) send(block string) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(e.patience)) // a recorder in tests has none
	if _, err := e.w.Write([]byte(block)); err != nil {
		return err
	}
	return e.control.Flush()
}
