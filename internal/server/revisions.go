package server

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// revisionPage is what GET /v1/revisions answers: the revisions this node has
// been at, in the order in which it was.
type revisionPage struct {
	Revisions []revisionView `json:"revisions"`
	// Next is the path of the next page; empty when the last is the present.
	Next string `json:"next,omitempty"`
}

// revisionView is the state right after one changeset was applied here.
type revisionView struct {
	change
	// Revision is what diff and at take.
	Revision branch.Revision `json:"revision"`
}

// getRevisions lists the revisions that this node has been at. They are its
// own: another node may have applied the same changesets in another order.
func (s *Server) getRevisions(w http.ResponseWriter, r *http.Request) error {
	ask, err := s.parseFeed(r, false)
	if err != nil {
		return err
	}
	page, err := s.revisionsAfter(r.Context(), ask)
	if err != nil {
		return err
	}
	w.Header().Set(headerRevision, s.deps.Store.Revision().String())
	answer(w, http.StatusOK, page)
	return nil
}

// revisionsAfter returns a page of at most pageBytes of the log.
func (s *Server) revisionsAfter(ctx context.Context, ask feedRequest) (page revisionPage, err error) {
	page.Revisions = []revisionView{}
	entries, err := s.deps.Store.Feed(ctx, ask.after, pageBytes)
	if err != nil {
		return page, err
	}
	var at branch.Revision
	err = s.deps.Store.View(ctx, func(rd *store.Reader) error {
		at = rd.RevisionAt(ask.after)
		return nil
	})
	if err != nil {
		return page, err
	}
	last := ask.after
	for _, e := range entries[:min(len(entries), ask.limit)] {
		c, err := describe(e)
		if err != nil {
			return page, err
		}
		at, last = at.With(e.Dot), e.Pos
		page.Revisions = append(page.Revisions, revisionView{c, at})
	}
	more, err := s.deps.Store.Feed(ctx, last, 1)
	if len(more) > 0 {
		page.Next = "/v1/revisions?limit=" + strconv.Itoa(ask.limit) + "&after=" + strconv.FormatUint(last, 10)
	}
	return page, err
}

// getDiff answers with what changed between two revisions, object by object in
// the order of their ids: lines of JSON, or a list of them. Each object is read
// on its own, so that the answer is of no more than one object in memory.
func (s *Server) getDiff(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "from", "to", "after", "limit")
	if err != nil {
		return err
	}
	limit := defaultLimit
	if params.Has("limit") {
		if limit, err = parseLimit(params.Get("limit")); err != nil {
			return err
		}
	}
	if err := checkCursor("after", params.Get("after")); err != nil {
		return err
	}
	return s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		d, err := s.parseDiff(rd, params)
		if err != nil {
			return err
		}
		w.Header().Set(headerRevision, rd.Revision().String())
		ids := idWindow{after: params.Get("after")}
		if err := ids.collect(r.Context(), rd, d); err != nil {
			return err
		}
		return s.sendDiff(w, rd, d, ids, limit)
	})
}

// diff is a question for what changed from one revision to another.
type diff struct{ from, to branch.Revision }

// objectDiff is what changed of one object.
type objectDiff struct {
	ID string `json:"id"`
	// Change is created, changed or deleted.
	Change string `json:"change"`
	// Added and Removed are pJSON objects that hold what came and what went.
	Added   []any `json:"added"`
	Removed []any `json:"removed"`
}

func (s *Server) parseDiff(rd *store.Reader, params url.Values) (d diff, err error) {
	if !params.Has("from") {
		return d, problem(kindBadRequest, "from is missing: the revision to compare with, such as %s", rd.Revision())
	}
	if d.from, err = revisionParam(rd, params, "from"); err != nil {
		return d, err
	}
	d.to = rd.Revision()
	if params.Has("to") {
		d.to, err = revisionParam(rd, params, "to")
	}
	return d, err
}

// sendDiff writes {"from", "to", "objects": [...], "next"}.
func (s *Server) sendDiff(w http.ResponseWriter, rd *store.Reader, d diff, ids idWindow, limit int) error {
	page := struct {
		From    branch.Revision `json:"from"`
		To      branch.Revision `json:"to"`
		Objects []objectDiff    `json:"objects"`
		Next    string          `json:"next,omitempty"`
	}{From: d.from, To: d.to, Objects: []objectDiff{}}
	size, last := 0, ""
	for _, id := range ids.sorted() {
		if len(page.Objects) == limit || size > pageBytes {
			ids.more = true
			break
		}
		o, bytes, err := s.objectDiff(rd, d, id)
		if err != nil {
			return err
		}
		if size, last = size+bytes, id; o.Change != "" {
			page.Objects = append(page.Objects, o)
		}
	}
	if ids.more {
		next := url.Values{"from": {d.from.String()}, "to": {d.to.String()}, "limit": {strconv.Itoa(limit)}, "after": {last}}
		page.Next = "/v1/diff?" + next.Encode()
		w.Header().Set("Link", "<"+page.Next+`>; rel="next"`)
	}
	answer(w, http.StatusOK, page)
	return nil
}

// objectDiff compares an object at two revisions; its Change is empty when there
// is no difference. It also returns about how long it is.
func (s *Server) objectDiff(rd *store.Reader, d diff, id string) (objectDiff, int, error) {
	was, existed, err := rd.ObjectAt(id, d.from)
	if err != nil {
		return objectDiff{}, 0, err
	}
	is, exists, err := rd.ObjectAt(id, d.to)
	if err != nil {
		return objectDiff{}, 0, err
	}
	gone, come := sorted(was.Statements), sorted(is.Statements)
	removed, added := without(gone, come), without(come, gone)
	out := objectDiff{ID: id, Added: s.asObjects(added), Removed: s.asObjects(removed)}
	switch {
	case !existed && exists:
		out.Change = "created"
	case existed && !exists:
		out.Change = "deleted"
	case len(added)+len(removed) > 0:
		out.Change = "changed"
	}
	size := 0
	for _, st := range append(added, removed...) {
		size += len(st.Subject) + len(st.Predicate) + len(st.Text)
	}
	return out, size, nil
}

func sorted(list []statement.Statement) []statement.Statement {
	list = slices.Clone(list)
	statement.Sort(list)
	return list
}
