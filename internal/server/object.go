package server

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// The headers of answers.
const (
	// headerRevision is, after a write, the node's revision right after it; on a
	// read, the revision that was read.
	headerRevision = "Vesper-Revision"
	// headerChangeset is the dot of the changeset that a write became; absent
	// when it changed nothing.
	headerChangeset = "Vesper-Changeset"
	// headerConflicts is how many properties of an object hold concurrent
	// values; absent when none does.
	headerConflicts = "Vesper-Conflicts"
)

// receipt is the body of the answer to a write under /v1.
type receipt struct {
	ID string `json:"id,omitempty"`
	// IDs are those of the objects that the body listed, in its order.
	IDs []string `json:"ids,omitempty"`
	// Created reports that the object did not exist before.
	Created bool `json:"created,omitempty"`
	// Changed is false for a write that changed nothing: it took no changeset.
	Changed bool `json:"changed"`
	// Changeset is the dot of the changeset, Revision the node's after it.
	Changeset string          `json:"changeset,omitempty"`
	Revision  branch.Revision `json:"revision"`
	// Replicated says which peers have it, for a write that waited for them.
	Replicated *replicated `json:"replicated,omitempty"`
}

func setCommit(h http.Header, c store.Commit) {
	h.Set(headerRevision, c.Revision.String())
	if !c.Dot.IsZero() {
		h.Set(headerChangeset, c.Dot.String())
	}
}

func (r *receipt) committed(c store.Commit) {
	r.Revision = c.Revision
	if r.Changed = !c.Dot.IsZero(); r.Changed {
		r.Changeset = c.Dot.String()
	}
}

// pathID returns the id that the path names.
func pathID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if err := statement.CheckID(id); err != nil {
		return "", problem(kindInvalid, "%s", err)
	}
	return id, nil
}

func objectPath(id string) string { return "/v1/objects/" + url.PathEscape(id) }

// query checks a request's query string: a mistyped parameter must not be
// taken for one that was left out.
func query(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(kindBadRequest, "the query string is not form-encoded: %v", err)
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return nil, problem(kindBadRequest, "unknown parameter %q: known here are %s", name, listed(known))
		}
		if len(list) > 1 {
			return nil, givenTwice(name, list)
		}
	}
	return values, nil
}

// listed writes names for people.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func givenTwice(name string, list []string) error {
	return problem(kindBadRequest, "the parameter %q is given %d times: give it once", name, len(list))
}

// checkCursor refuses what no id can be: a page would begin somewhere else than
// its client thinks.
func checkCursor(name, id string) error {
	if id == "" {
		return nil
	}
	if err := statement.CheckID(id); err != nil {
		return problem(kindBadRequest, "%s: %v: send the id of the last object that you have", name, err)
	}
	return nil
}

func (s *Server) getObject(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	params, err := query(r, "at", "conflicts")
	if err != nil {
		return err
	}
	if params.Has("conflicts") {
		if params.Get("conflicts") != "true" {
			return problem(kindBadRequest, "conflicts: %q is not understood: leave it out, or send true", params.Get("conflicts"))
		}
		return s.sendConflictsOf(w, r, id, params)
	}
	var (
		object   store.Object
		revision branch.Revision
	)
	err = s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		revision = rd.Revision()
		object, err = lookUp(rd, id, params)
		return err
	})
	if err != nil {
		return err
	}
	return s.sendObject(w, r, object, revision)
}

// lookUp reads an object, now or at a revision.
func lookUp(rd *store.Reader, id string, params url.Values) (store.Object, error) {
	if !params.Has("at") {
		object, found, err := rd.Object(id)
		if err == nil && !found {
			err = problem(kindNotFound, "there is no object with the id %q: PUT creates it", id)
		}
		return object, err
	}
	at, err := revisionParam(rd, params, "at")
	if err != nil {
		return store.Object{}, err
	}
	object, found, err := rd.ObjectAt(id, at)
	if err == nil && !found {
		err = problem(kindNotFound, "there was no object with the id %q at revision %s", id, at)
	}
	return object, err
}

func (s *Server) sendObject(w http.ResponseWriter, r *http.Request, o store.Object, at branch.Revision) error {
	h := w.Header()
	h.Set("ETag", etag(o.Revision))
	h.Set(headerRevision, at.String())
	h.Set("Cache-Control", "no-cache") // a cache must ask, and gets 304
	if n := len(o.Conflicts); n > 0 {
		h.Set(headerConflicts, strconv.Itoa(n))
	}
	unchanged, err := compare(r, o)
	if err != nil {
		return err
	}
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", typeJSON)
	body := append(s.plain.AppendObject(nil, o.ID, o.Statements), '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the client is gone
	return nil
}

// putObject makes an object exactly what the body says.
func (s *Server) putObject(w http.ResponseWriter, r *http.Request) error {
	return s.writeObject(w, r, func(tx *store.Tx, doc pjson.Document) error {
		return tx.Replace(doc.Objects)
	}, typeJSON)
}

// patchObject sets the properties that the body names; null removes one.
func (s *Server) patchObject(w http.ResponseWriter, r *http.Request) error {
	return s.writeObject(w, r, func(tx *store.Tx, doc pjson.Document) error {
		return merge(tx, doc.Objects)
	}, typeJSON, typeMergePatch)
}

func (s *Server) writeObject(w http.ResponseWriter, r *http.Request, write func(*store.Tx, pjson.Document) error, types ...string) error {
	_, wait, err := writeQuery(r)
	if err != nil {
		return err
	}
	id, doc, err := s.readObject(w, r, types...)
	if err != nil {
		return err
	}
	conditions, err := precondition(r, id)
	if err != nil {
		return err
	}
	out := outcome{id: id, objects: len(doc.Objects)}
	commit, err := s.update(r.Context(), store.WriteOptions{Preconditions: conditions}, func(tx *store.Tx) error {
		if err := out.before(tx); err != nil {
			return err
		}
		if err := write(tx, doc); err != nil {
			return err
		}
		return out.after(tx)
	})
	if err != nil {
		return err
	}
	out.send(w, commit, s.await(r.Context(), w.Header(), commit, wait))
	return nil
}

// readObject returns the one object that the body holds, under the path's id.
func (s *Server) readObject(w http.ResponseWriter, r *http.Request, types ...string) (string, pjson.Document, error) {
	none := pjson.Document{}
	id, err := pathID(r)
	if err != nil {
		return "", none, err
	}
	if _, err := mediaType(r, types...); err != nil {
		return "", none, err
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return "", none, err
	}
	ctx, cancel := s.parsing(r.Context(), s.parseTime)
	defer cancel()
	doc, err := pjson.ParseContext(ctx, body, pjson.Options{IDs: pathIDs(id)})
	if err != nil {
		return "", none, err
	}
	return id, doc, checkOne(id, doc)
}

// checkOne refuses a body that is not one object with properties under this id.
func checkOne(id string, doc pjson.Document) error {
	if !doc.Single || len(doc.Objects) == 0 {
		return problem(kindBadRequest, "the body must be one JSON object: POST lists to /v1/objects")
	}
	object := doc.Objects[0]
	if object.ID != id {
		return problem(kindIDMismatch, "the path names the object %q and the body %q: leave the id out of the body, or make them equal", id, object.ID)
	}
	if len(object.Props) == 0 {
		return problem(kindBadRequest, "the body names no property, and an object without properties does not exist: name one, or DELETE the object")
	}
	return nil
}

// deleteObject removes an object with everything embedded in it.
func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	_, wait, err := writeQuery(r)
	if err != nil {
		return err
	}
	conditions, err := precondition(r, id)
	if err != nil {
		return err
	}
	commit, err := s.update(r.Context(), store.WriteOptions{Preconditions: conditions}, func(tx *store.Tx) error {
		existed, err := tx.Delete(id)
		if err == nil && !existed {
			err = problem(kindNotFound, "there is no object with the id %q: nothing was deleted", id)
		}
		return err
	})
	if err != nil {
		return err
	}
	setCommit(w.Header(), commit)
	out := receipt{ID: id, Replicated: s.await(r.Context(), w.Header(), commit, wait)}
	out.committed(commit)
	answer(w, http.StatusOK, out)
	return nil
}
