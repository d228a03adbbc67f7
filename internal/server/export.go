package server

import (
	"net/http"
	"slices"
	"strconv"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

const (
	// exportStep is how many objects, and exportBytes how many bytes of them, are
	// read of the store at a time: a snapshot is held no longer than that.
	exportStep  = 1000
	exportBytes = 1 << 20
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
	var at branch.Revision
	err = s.deps.Store.View(r.Context(), func(rd *store.Reader) (err error) {
		if at = rd.Revision(); params.Has("at") {
			at, err = revisionParam(rd, params, "at")
		}
		if err == nil {
			_, err = writtenBetween(rd, diff{from: at, to: rd.Revision()}) // a revision that is no longer kept is refused before the answer begins
		}
		return err
	})
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
	x := export{server: s, at: at, seen: at, after: params.Get("after"), out: rows{w: w, patience: s.patience}}
	for !x.done {
		if err := x.step(r); err != nil {
			return err
		}
	}
	h.Set(trailerObjects, strconv.Itoa(x.count))
	return nil
}

// export is an export under way.
type export struct {
	server *Server
	at     branch.Revision
	after  string
	// seen is the revision up to which written has the ids, in order, of what was
	// written since the revision of the export.
	seen    branch.Revision
	written []string
	out     rows
	count   int
	done    bool
}

// step sends the next objects. It lets go of the store before it sends: a client
// may take as long as it likes.
func (x *export) step(r *http.Request) error {
	var part []byte
	err := x.server.deps.Store.View(r.Context(), func(rd *store.Reader) (err error) {
		if err = x.follow(rd); err == nil {
			part, err = x.read(rd)
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.out.flush(part)
}

// follow notes what was written since the last step.
func (x *export) follow(rd *store.Reader) error {
	more, err := writtenBetween(rd, diff{from: x.seen, to: rd.Revision()})
	if err != nil {
		return err
	}
	x.written = append(x.written, more...)
	slices.Sort(x.written)
	x.written, x.seen = after(slices.Compact(x.written), x.after), rd.Revision()
	return nil
}

// read reads the next objects, each as it was at the revision.
func (x *export) read(rd *store.Reader) (part []byte, err error) {
	n, gone := 0, x.written
	for o, err := range rd.Objects(x.after) {
		if err != nil {
			return nil, err
		}
		if n == exportStep || len(part) > exportBytes {
			return part, nil
		}
		n++
		for len(gone) > 0 && gone[0] < o.ID { // written since, and not here now: deleted, or never here
			if part, err = x.past(rd, part, gone[0]); err != nil {
				return nil, err
			}
			gone = gone[1:]
		}
		if x.after = o.ID; len(gone) == 0 || gone[0] != o.ID {
			part = x.add(part, o)
			continue
		}
		if part, err = x.past(rd, part, o.ID); err != nil {
			return nil, err
		}
		gone = gone[1:]
	}
	for _, id := range gone {
		if part, err = x.past(rd, part, id); err != nil {
			return nil, err
		}
	}
	x.done = true
	return part, nil
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
