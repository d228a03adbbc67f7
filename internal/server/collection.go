package server

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// The size of a page of objects. A page also ends once it is pageBytes long.
const (
	defaultLimit = 100
	maxLimit     = 1000
	pageBytes    = 4 << 20
)

// addModes are what POST /v1/objects can do with objects, by its parameter mode.
var addModes = map[string]func(*store.Tx, []pjson.Object) error{
	"create":  (*store.Tx).Create,
	"add":     (*store.Tx).Add,
	"update":  (*store.Tx).Update,
	"replace": (*store.Tx).Replace,
}

// addObjects writes one object, a list of objects, or lines of objects in one
// transaction. Objects without an id get one.
func (s *Server) addObjects(w http.ResponseWriter, r *http.Request) error {
	params, wait, err := writeQuery(r, "mode")
	if err != nil {
		return err
	}
	mode := "create"
	if params.Has("mode") {
		mode = params.Get("mode")
	}
	write, ok := addModes[mode]
	if !ok {
		return problem(kindBadRequest, "mode: %q is unknown: it must be create, add, update or replace", mode)
	}
	if err := unconditional(r); err != nil {
		return err
	}
	objects, err := s.readObjects(w, r)
	if err != nil {
		return err
	}
	out := receipt{}
	for _, o := range objects {
		if !o.Nested {
			out.IDs = append(out.IDs, o.ID)
		}
	}
	commit, err := s.update(r.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return write(tx, objects) })
	if err != nil {
		return err
	}
	setCommit(w.Header(), commit)
	out.committed(commit)
	out.Replicated = s.await(r.Context(), w.Header(), commit, wait)
	status := http.StatusOK
	if mode == "create" {
		status, out.Created = http.StatusCreated, true
	}
	if len(out.IDs) == 1 {
		w.Header().Set("Location", objectPath(out.IDs[0]))
	}
	answer(w, status, out)
	return nil
}

func (s *Server) readObjects(w http.ResponseWriter, r *http.Request) ([]pjson.Object, error) {
	media, err := mediaType(r, append([]string{typeJSON}, ndjsonTypes...)...)
	if err != nil {
		return nil, err
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return nil, err
	}
	opts := pjson.Options{IDs: pjson.Random()}
	ctx, cancel := s.parsing(r.Context(), s.parseTime)
	defer cancel()
	var objects []pjson.Object
	if media == typeJSON {
		doc, err := pjson.ParseContext(ctx, body, opts)
		if err != nil {
			return nil, err
		}
		objects = doc.Objects
	} else if objects, err = parseLines(ctx, body, opts); err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, problem(kindBadRequest, "the body holds no object")
	}
	for _, o := range objects {
		if len(o.Props) == 0 {
			return nil, problem(kindBadRequest, "the object %q at %s has no property, and an object without properties does not exist", o.ID, o.Position)
		}
	}
	return objects, nil
}

// listing is the page of objects that a request asks for.
type listing struct {
	limit   int
	after   string
	filters []filter
}

// filter asks for a property with a value that a query string can hold: text
// that may be a string, a number, a boolean, null, or a reference ("@id").
type filter struct {
	property string
	terms    []statement.Term
}

// parseListing reads limit and after; every other parameter is a filter. A
// property of those names is asked for as "::limit", pJSON's way to escape.
func parseListing(r *http.Request) (listing, error) {
	l := listing{limit: defaultLimit}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return l, problem(kindBadRequest, "the query string is not form-encoded: %v", err)
	}
	for _, name := range sortedNames(values) {
		list := values[name]
		if err := l.parse(name, list); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *listing) parse(name string, list []string) (err error) {
	switch {
	case (name == "limit" || name == "after") && len(list) > 1:
		return givenTwice(name, list)
	case name == "limit":
		l.limit, err = parseLimit(list[0])
		return err
	case name == "after":
		l.after = list[0]
		return checkCursor(name, l.after)
	}
	property := strings.TrimPrefix(name, "::")
	if err := statement.CheckPredicate(property); err != nil {
		return problem(kindBadRequest, "the filter %q: %v", name, err)
	}
	for _, v := range list {
		f := newFilter(property, v)
		if err := f.terms[0].Check(); err != nil {
			return problem(kindBadRequest, "the filter on %s: %v", name, err)
		}
		l.filters = append(l.filters, f)
	}
	return nil
}

func sortedNames(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func parseLimit(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, problem(kindBadRequest, "limit: %q is not a number from 1 to %d", text, maxLimit)
	}
	return n, nil
}

func newFilter(property, value string) filter {
	f := filter{property: property, terms: []statement.Term{statement.Literal(value)}}
	if id, ok := strings.CutPrefix(value, "@"); ok && id != "" {
		f.terms = append(f.terms, statement.Reference(id))
	}
	if number, err := statement.FromNumber(value); err == nil {
		f.terms = append(f.terms, number)
	}
	switch value {
	case "true", "false":
		f.terms = append(f.terms, statement.Term{Text: value, Type: statement.XSDBoolean})
	case "null":
		f.terms = append(f.terms, statement.Null())
	}
	return f
}

func (f filter) matches(o store.Object) bool {
	return slices.ContainsFunc(o.Statements, func(st statement.Statement) bool {
		return st.Subject == o.ID && st.Predicate == f.property && slices.Contains(f.terms, st.Term)
	})
}

func (l listing) matches(o store.Object) bool {
	for _, f := range l.filters {
		if !f.matches(o) {
			return false
		}
	}
	return true
}

// listObjects answers with a page of objects in order of their ids.
func (s *Server) listObjects(w http.ResponseWriter, r *http.Request) error {
	l, err := parseListing(r)
	if err != nil {
		return err
	}
	var page []byte
	more, last := false, ""
	err = s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		w.Header().Set(headerRevision, rd.Revision().String())
		n := 0
		return l.each(rd, func(o store.Object) bool {
			if n == l.limit || len(page) > pageBytes {
				more = true
				return false
			}
			if n++; n > 1 {
				page = append(page, ',', '\n')
			}
			page, last = s.plain.AppendObject(page, o.ID, o.Statements), o.ID
			return r.Context().Err() == nil
		})
	})
	if err != nil {
		return err
	}
	s.sendPage(w, r, page, more, last)
	return nil
}

// sendPage writes {"objects": [...], "next": "the path of the next page"}.
func (s *Server) sendPage(w http.ResponseWriter, r *http.Request, page []byte, more bool, last string) {
	var b bytes.Buffer
	b.WriteString(`{"objects":[`)
	b.Write(page)
	b.WriteString("]")
	if more {
		values := r.URL.Query()
		values.Set("after", last)
		next := "/v1/objects?" + values.Encode()
		b.WriteString(`,"next":`)
		b.Write(pjson.AppendJSON(nil, next))
		w.Header().Set("Link", "<"+next+`>; rel="next"`)
	}
	b.WriteString("}\n")
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // an error means that the client is gone
}

// each yields the matching objects in order until yield returns false.
func (l listing) each(rd *store.Reader, yield func(store.Object) bool) error {
	if len(l.filters) > 0 {
		return l.eachFound(rd, yield)
	}
	for o, err := range rd.Objects(l.after) {
		if err != nil {
			return err
		}
		if !yield(o) {
			return nil
		}
	}
	return nil
}

// eachFound lets the index find the first filter's objects.
func (l listing) eachFound(rd *store.Reader, yield func(store.Object) bool) error {
	var found []store.Object
	for _, term := range l.filters[0].terms {
		more, err := l.find(rd, term)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	slices.SortFunc(found, func(a, b store.Object) int { return strings.Compare(a.ID, b.ID) })
	found = slices.CompactFunc(found, func(a, b store.Object) bool { return a.ID == b.ID })
	for _, o := range found {
		if !yield(o) {
			return nil
		}
	}
	return nil
}

// find returns the first objects after the cursor that have one of the values
// and match the other filters: one more than a page, so that the page knows
// whether there is a next one.
func (l listing) find(rd *store.Reader, term statement.Term) ([]store.Object, error) {
	var found []store.Object
	for id, err := range rd.SubjectsWith(l.filters[0].property, term) {
		if err != nil {
			return nil, err
		}
		if id <= l.after || statement.IsEmbedded(id) {
			continue
		}
		o, exists, err := rd.Object(id)
		if err != nil {
			return nil, err
		}
		if !exists || !l.matches(o) {
			continue
		}
		if found = append(found, o); len(found) > l.limit {
			break
		}
	}
	return found, nil
}
