package server

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
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
	if !after.IsZero() {
		at := slices.IndexFunc(entries, func(e store.HistoryEntry) bool { return e.Dot == after })
		if at < 0 {
			return problem(kindBadRequest, "after: changeset %s is not in the history of %q: send the last changeset of an earlier page", after, id)
		}
		entries = entries[at+1:]
	}
	answer(w, http.StatusOK, s.historyPage(id, entries, limit))
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
		if after, err = parseDot("after", afterText); err != nil {
			return 0, after, err
		}
	}
	return limit, after, nil
}

func (s *Server) historyPage(id string, entries []store.HistoryEntry, limit int) historyPage {
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
