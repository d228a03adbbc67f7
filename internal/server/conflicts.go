package server

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// conflictDoc is what is in conflict in one object.
type conflictDoc struct {
	ID string `json:"id"`
	// Revision is the object's: its ETag without the quotes.
	Revision branch.Revision `json:"revision"`
	// Object is what is read now; not in a list of several objects.
	Object    pjson.Map      `json:"object,omitempty"`
	Conflicts []conflictProp `json:"conflicts"`
}

// conflictProp is one property with concurrent values.
type conflictProp struct {
	Property string `json:"property"`
	// Subject is the embedded object that has the property; empty for the object.
	Subject string          `json:"subject,omitempty"`
	Values  []conflictValue `json:"values"`
}

// conflictValue is what one of several concurrent changesets assigned.
type conflictValue struct {
	Changeset string    `json:"changeset"`
	Time      time.Time `json:"time"`
	Author    string    `json:"author,omitempty"`
	// Visible says that it is what is read.
	Visible bool `json:"visible"`
	Value   any  `json:"value"`
}

// conflictDoc describes the conflicts of an object.
func (s *Server) conflictDoc(rd *store.Reader, o store.Object) (conflictDoc, error) {
	doc := conflictDoc{ID: o.ID, Revision: o.Revision, Conflicts: []conflictProp{}}
	for _, c := range o.Conflicts {
		p := conflictProp{Property: c.Predicate}
		if c.Subject != o.ID {
			p.Subject = c.Subject
		}
		for _, v := range c.Values {
			set, _, err := rd.Changeset(v.Stamp.Dot)
			if err != nil {
				return doc, err
			}
			value, _ := s.plain.Object(c.Subject, v.Statements).Get(s.plain.Key(c.Predicate))
			p.Values = append(p.Values, conflictValue{
				Changeset: v.Stamp.Dot.String(), Time: v.Stamp.Clock.Time(), Author: set.Author, Visible: v.Visible, Value: value,
			})
		}
		doc.Conflicts = append(doc.Conflicts, p)
	}
	return doc, nil
}

// getConflictsOf answers with an object and its conflicts.
func (s *Server) getConflictsOf(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	params, err := query(r, "at")
	if err != nil {
		return err
	}
	return s.sendConflictsOf(w, r, id, params)
}

func (s *Server) sendConflictsOf(w http.ResponseWriter, r *http.Request, id string, params url.Values) error {
	var doc conflictDoc
	var object store.Object
	err := s.deps.Store.View(r.Context(), func(rd *store.Reader) (err error) {
		w.Header().Set(headerRevision, rd.Revision().String())
		if object, err = lookUp(rd, id, params); err != nil {
			return err
		}
		if doc, err = s.conflictDoc(rd, object); err != nil {
			return err
		}
		doc.Object = s.plain.Object(object.ID, object.Statements)
		return nil
	})
	if err != nil {
		return err
	}
	unchanged, err := compare(r, object)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(doc.Revision))
	if n := len(doc.Conflicts); n > 0 {
		w.Header().Set(headerConflicts, strconv.Itoa(n))
	}
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	answer(w, http.StatusOK, doc)
	return nil
}

// conflictPage is a page of the objects in conflict.
type conflictPage struct {
	Objects []conflictDoc `json:"objects"`
	// Next is the path of the next page; empty on the last.
	Next string `json:"next,omitempty"`
	// Last is where to follow the feed of conflicts from, so that nothing after
	// the first page is missed; Incarnation the store's that counts so.
	Last        uint64 `json:"last"`
	Incarnation string `json:"incarnation"`
}

// getConflicts answers with the objects in conflict, or, with since, with the
// feed of conflicts that came and went.
func (s *Server) getConflicts(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "limit", "after", "since")
	if err != nil {
		return err
	}
	limit := defaultLimit
	if params.Has("limit") {
		if limit, err = parseLimit(params.Get("limit")); err != nil {
			return err
		}
	}
	if params.Has("since") {
		if params.Has("after") {
			return problem(kindBadRequest, "since asks for the feed of conflicts and after for a page of objects: send one of them")
		}
		return s.sendConflictFeed(w, r, params.Get("since"), limit)
	}
	if err := checkCursor("after", params.Get("after")); err != nil {
		return err
	}
	return s.sendConflictPage(w, r, params.Get("after"), limit)
}

func (s *Server) sendConflictPage(w http.ResponseWriter, r *http.Request, after string, limit int) error {
	page := conflictPage{Objects: []conflictDoc{}, Incarnation: s.deps.Store.Incarnation()}
	last, err := s.deps.Store.ConflictFeedEnd(r.Context()) // before the objects: what comes between is told twice, never not at all
	if err != nil {
		return err
	}
	page.Last = last
	err = s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		w.Header().Set(headerRevision, rd.Revision().String())
		return s.fillConflicts(rd, &page, after, limit)
	})
	if err != nil {
		return err
	}
	if page.Next != "" {
		w.Header().Set("Link", "<"+page.Next+`>; rel="next"`)
	}
	answer(w, http.StatusOK, page)
	return nil
}

// fillConflicts adds the next objects to the page, until it has as many as it
// may or is long enough.
func (s *Server) fillConflicts(rd *store.Reader, page *conflictPage, after string, limit int) error {
	size := 0
	for o, err := range rd.Conflicted(after) {
		if err != nil {
			return err
		}
		if n := len(page.Objects); n == limit || size > pageBytes {
			page.Next = "/v1/conflicts?limit=" + strconv.Itoa(limit) + "&after=" + url.QueryEscape(page.Objects[n-1].ID)
			return nil
		}
		doc, err := s.conflictDoc(rd, o)
		if err != nil {
			return err
		}
		page.Objects = append(page.Objects, doc)
		size += conflictBytes(o)
	}
	return nil
}

// conflictBytes is about how long the conflicts of an object are.
func conflictBytes(o store.Object) (size int) {
	for _, c := range o.Conflicts {
		for _, v := range c.Values {
			for _, st := range v.Statements {
				size += len(st.Predicate) + len(st.Text)
			}
		}
	}
	return size
}

// conflictChange is one entry of the feed of conflicts.
type conflictChange struct {
	// Pos is its place; it means nothing on another node.
	Pos uint64 `json:"pos"`
	// Changeset made it so; empty when it was a change of the conflict policy.
	Changeset string `json:"changeset,omitempty"`
	ID        string `json:"id"`
	Property  string `json:"property"`
	Subject   string `json:"subject,omitempty"`
	// State is "began" or "ended".
	State string `json:"state"`
}

type conflictFeed struct {
	Changes []conflictChange `json:"changes"`
	// Last is what to give as since the next time.
	Last        uint64 `json:"last"`
	Incarnation string `json:"incarnation"`
}

func (s *Server) sendConflictFeed(w http.ResponseWriter, r *http.Request, since string, limit int) error {
	page := conflictFeed{Changes: []conflictChange{}, Incarnation: s.deps.Store.Incarnation()}
	var err error
	if page.Last, err = strconv.ParseUint(since, 10, 64); err != nil {
		return problem(kindBadRequest, "since: %q is no place in the feed: send the last of an earlier answer, or 0", since)
	}
	changes, _, err := s.deps.Store.ConflictChanges(r.Context(), page.Last, limit)
	if err != nil {
		return err
	}
	for _, c := range changes {
		out := conflictChange{Pos: c.Pos, ID: c.Root, Property: c.Predicate, State: "ended"}
		if !c.Dot.IsZero() {
			out.Changeset = c.Dot.String()
		}
		if c.Subject != c.Root {
			out.Subject = c.Subject
		}
		if c.Began {
			out.State = "began"
		}
		page.Changes, page.Last = append(page.Changes, out), c.Pos
	}
	answer(w, http.StatusOK, page)
	return nil
}
