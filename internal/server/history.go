package server

import (
	"net/http"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// entry is what one changeset did to an object.
type entry struct {
	Changeset string    `json:"changeset"`
	Time      time.Time `json:"time"`
	Author    string    `json:"author,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	Deleted   bool      `json:"deleted,omitempty"`
	// Added and Removed are pJSON objects that hold what came and what went.
	Added   []any `json:"added"`
	Removed []any `json:"removed"`
}

// getHistory answers with what every changeset did to an object, oldest first.
func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	params, err := query(r, "limit", "after")
	if err != nil {
		return err
	}
	limit, after, err := pageOfHistory(params.Get("limit"), params.Get("after"))
	if err != nil {
		return err
	}
	var entries []store.HistoryEntry
	err = s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		w.Header().Set(headerRevision, rd.Revision().String())
		entries, err = rd.History(id)
		return err
	})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return problem(kindNotFound, "there has never been an object with the id %q", id)
	}
	answer(w, http.StatusOK, s.historyPage(id, entries, limit, after))
	return nil
}

type historyPage struct {
	ID      string  `json:"id"`
	History []entry `json:"history"`
	// Next is the path of the next page; empty on the last.
	Next string `json:"next,omitempty"`
}

func pageOfHistory(limitText, afterText string) (limit int, after branch.Dot, err error) {
	limit = defaultLimit
	if limitText != "" {
		if limit, err = parseLimit(limitText); err != nil {
			return 0, after, err
		}
	}
	if afterText != "" {
		if after, err = branch.ParseDot(afterText); err != nil {
			return 0, after, problem(kindBadRequest, "after: %v", err)
		}
	}
	return limit, after, nil
}

func (s *Server) historyPage(id string, entries []store.HistoryEntry, limit int, after branch.Dot) historyPage {
	if !after.IsZero() {
		for i, e := range entries {
			if e.Dot == after {
				entries = entries[i+1:]
				break
			}
		}
	}
	page := historyPage{ID: id, History: []entry{}}
	for i, e := range entries {
		if i == limit {
			page.Next = "/v1/history" + objectPath(id)[len("/v1/objects"):] +
				"?limit=" + strconv.Itoa(limit) + "&after=" + entries[i-1].Dot.String()
			break
		}
		page.History = append(page.History, entry{
			Changeset: e.Dot.String(), Time: e.Clock.Time(), Author: e.Author, Comment: e.Comment, Deleted: e.Deleted,
			Added: s.asObjects(e.Added), Removed: s.asObjects(e.Removed),
		})
	}
	return page
}

func (s *Server) asObjects(list []statement.Statement) []any { return s.plain.Objects(list) }

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

// getChanges answers with the changesets after a place in this node's order of
// application: each once, and none is ever put in before one already given.
func (s *Server) getChanges(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "limit", "after")
	if err != nil {
		return err
	}
	page := changesPage{Changes: []change{}}
	limit := defaultLimit
	if params.Has("limit") {
		if limit, err = parseLimit(params.Get("limit")); err != nil {
			return err
		}
	}
	if params.Has("after") {
		if page.Last, err = strconv.ParseUint(params.Get("after"), 10, 64); err != nil {
			return problem(kindBadRequest, "after: %q is no place in the feed: send the last of an earlier answer", params.Get("after"))
		}
	}
	if err := s.fillChanges(r, &page, limit); err != nil {
		return err
	}
	answer(w, http.StatusOK, page)
	return nil
}

func (s *Server) fillChanges(r *http.Request, page *changesPage, limit int) error {
	entries, err := s.deps.Store.Feed(r.Context(), page.Last, pageBytes)
	if err != nil {
		return err
	}
	for _, e := range entries[:min(limit, len(entries))] {
		c, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
		if err != nil {
			return err
		}
		out := change{Pos: e.Pos, Changeset: e.Dot.String(), Time: c.Clock.Time(), Author: c.Author, Comment: c.Comment}
		for _, o := range c.Objects {
			out.Objects = append(out.Objects, changedObject{ID: o.Root, Deleted: o.Delete})
		}
		page.Changes, page.Last = append(page.Changes, out), e.Pos
	}
	return nil
}
