package server

import (
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

const (
	// exportStep is how many objects, and exportBytes how many bytes of them, are
	// read of the store at a time: a snapshot is held no longer than that.
	exportStep  = 1000
	exportBytes = 1 << 20
	// followStep is how many changesets are read at a time for what they wrote.
	followStep = 10_000
	// trailerObjects is how many objects were sent, after the last of them: an
	// answer without it broke off.
	trailerObjects = "Vesper-Objects"
)

// getExport sends all objects as lines of JSON, in the order of their ids, which
// POST /v1/import takes. Each is as it was at one revision, that of the header
// Vesper-Revision; at= asks for the objects of that revision again, after= for
// those behind an id, so that a download that broke off goes on.
func (s *Server) getExport(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "at", "after")
	if err != nil {
		return err
	}
	if err := checkCursor("after", params.Get("after")); err != nil {
		return err
	}
	at, err := s.exportRevision(r, params)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", typeNDJSON)
	h.Set("Cache-Control", "no-store")
	h.Set(headerRevision, at.String())
	h.Set("Content-Disposition", `attachment; filename="`+string(s.deps.Store.Branch())+`.ndjson"`)
	h.Set("Trailer", trailerObjects)
	if r.Method == http.MethodHead {
		return nil
	}
	unhurried(w)
	x := newExport(s, at, params.Get("after"), rows{w: w, patience: s.patience})
	for !x.done {
		if err := x.step(r); err != nil {
			return x.breakOff(err)
		}
	}
	h.Set(trailerObjects, strconv.Itoa(x.count))
	return nil
}

// exportRevision is the revision of an export. One that is no longer kept is
// refused before the answer begins.
func (s *Server) exportRevision(r *http.Request, params url.Values) (at branch.Revision, err error) {
	err = s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		at = rd.Revision()
		if !params.Has("at") {
			return nil
		}
		if at, err = revisionParam(rd, params, "at"); err != nil {
			return err
		}
		_, err = rd.At(at)
		return err
	})
	return at, err
}

// export is an export under way. What was written since its revision is read as
// it was then; the ids of that are known from after on, and not all at a time.
type export struct {
	server *Server
	at     branch.Revision
	after  string
	// written has the first ids after after that were written between at and seen.
	written idWindow
	seen    branch.Revision
	out     rows
	begun   bool
	count   int
	done    bool
}

func newExport(s *Server, at branch.Revision, after string, out rows) *export {
	return &export{server: s, at: at, after: after, written: idWindow{after: after}, seen: at, out: out}
}

// step sends the next objects. It lets go of the store before it sends: a client
// may take as long as it likes.
func (x *export) step(r *http.Request) error {
	var part []byte
	err := x.server.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		caught, err := x.follow(rd)
		if err == nil && caught {
			part, err = x.read(rd)
		}
		return err
	})
	if err != nil || len(part) == 0 {
		return err
	}
	x.begun = true
	return x.out.flush(part)
}

// breakOff says in the last line why an export that has begun ends.
func (x *export) breakOff(err error) error {
	if x.begun {
		_ = x.out.last(lineOf(err)) // who is gone need not be told
	}
	return err
}

// follow notes what was written since the last step, and reports whether that is
// all of it: it reads no more than followStep changesets at a time.
func (x *export) follow(rd *store.Reader) (caught bool, err error) {
	left := uint64(followStep)
	err = diff{from: x.seen, to: rd.Revision()}.ranges(func(id branch.ID, low, high uint64) error {
		high = min(high, low+left)
		left -= high - low
		for seq := low + 1; seq <= high; seq++ {
			if err := writtenBy(rd, branch.Dot{Branch: id, Seq: seq}, func(id string) error { x.written.add(id); return nil }); err != nil {
				return err
			}
		}
		x.seen = x.seen.With(branch.Dot{Branch: id, Seq: high})
		return nil
	})
	return x.seen.Equal(rd.Revision()), err
}

// read reads the next objects, each as it was at the revision. It ends early
// where it does not know any more what was written since.
func (x *export) read(rd *store.Reader) (part []byte, err error) {
	n, known := 0, x.written.sorted()
	defer func() { x.written.drop(x.after) }()
	for o, err := range merged(rd.Objects(x.after), known) {
		switch {
		case err != nil:
			return nil, err
		case n == exportStep || len(part) > exportBytes:
			return part, nil
		case x.written.more && o.id > x.written.last:
			x.lookAgain()
			return part, nil
		}
		n, x.after = n+1, o.id
		if !o.written {
			part = x.add(part, o.now)
		} else if part, err = x.past(rd, part, o.id); err != nil {
			return nil, err
		}
	}
	if x.done = !x.written.more; !x.done {
		x.lookAgain()
	}
	return part, nil
}

// lookAgain makes the export look anew, from where it is, for what was written
// since its revision.
func (x *export) lookAgain() { x.written, x.seen = idWindow{after: x.after}, x.at }

// candidate is an id of which an export may have an object.
type candidate struct {
	id string
	// now is what is there; of what was written it does not count.
	now     store.Object
	written bool
}

// merged yields the objects that are there and the ids that were written since,
// which may not be there any more, in the order of their ids.
func merged(objects iter.Seq2[store.Object, error], written []string) iter.Seq2[candidate, error] {
	return func(yield func(candidate, error) bool) {
		for o, err := range objects {
			for len(written) > 0 && written[0] < o.ID && err == nil {
				if !yield(candidate{id: written[0], written: true}, nil) {
					return
				}
				written = written[1:]
			}
			again := len(written) > 0 && written[0] == o.ID && err == nil
			if again {
				written = written[1:]
			}
			if !yield(candidate{o.ID, o, again}, err) || err != nil {
				return
			}
		}
		for _, id := range written {
			if !yield(candidate{id: id, written: true}, nil) {
				return
			}
		}
	}
}

// past adds an object as it was at the revision, if it was there.
func (x *export) past(rd *store.Reader, part []byte, id string) ([]byte, error) {
	o, existed, err := rd.ObjectAt(id, x.at)
	if err != nil || !existed {
		return part, err
	}
	return x.add(part, o), nil
}

func (x *export) add(part []byte, o store.Object) []byte {
	x.count++
	return append(x.server.plain.AppendObject(part, o.ID, o.Statements), '\n')
}
