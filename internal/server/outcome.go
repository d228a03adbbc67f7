package server

import (
	"net/http"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// outcome works out what a write did to the object of the path, from within
// its transaction: a read afterwards could show somebody else's later write,
// and the client would get an ETag for something it has never seen.
type outcome struct {
	id      string
	objects int
	existed bool
	was     branch.Revision
	changed bool
	exists  bool
}

func (o *outcome) before(tx *store.Tx) error {
	object, found, err := tx.Object(o.id)
	*o = outcome{id: o.id, objects: o.objects, existed: found, was: object.Revision}
	return err
}

func (o *outcome) after(tx *store.Tx) (err error) {
	// With one object, whatever changed is that one.
	if o.objects > 1 {
		if err := o.compare(tx); err != nil {
			return err
		}
	}
	_, o.exists, err = tx.Object(o.id)
	return err
}

// compare finds out whether the object of the path is among what changed.
func (o *outcome) compare(tx *store.Tx) error {
	added, removed, err := tx.Changes()
	if err != nil {
		return err
	}
	for _, list := range [][]statement.Statement{added, removed} {
		for _, st := range list {
			if statement.Root(st.Subject) == statement.Root(o.id) {
				o.changed = true
			}
		}
	}
	return nil
}

// tag returns the object's ETag after the commit, "" when it cannot be told.
func (o *outcome) tag(c store.Commit) string {
	switch {
	case !o.exists:
		return ""
	case c.Dot.IsZero():
		return etag(o.was)
	case o.changed, o.objects == 1:
		// A local write has seen all before it, so it alone is the object's
		// revision. (With one object, a change that no statement shows is the
		// settling of a conflict.)
		return etag(branch.Revision{c.Dot})
	}
	return ""
}

func (o *outcome) send(w http.ResponseWriter, c store.Commit, r *replicated) {
	setCommit(w.Header(), c)
	if tag := o.tag(c); tag != "" {
		w.Header().Set("ETag", tag)
	}
	out := receipt{ID: o.id, Created: !o.existed && o.exists, Replicated: r}
	out.committed(c)
	status := http.StatusOK
	if out.Created {
		status = http.StatusCreated
		w.Header().Set("Location", objectPath(o.id))
	}
	answer(w, status, out)
}

// pathNamed gives the object that the body does not name the id of the path,
// once: the outermost object is the first that needs one.
type pathNamed struct {
	pjson.IDSource
	id   string
	used bool
}

func pathIDs(id string) pjson.IDSource { return &pathNamed{IDSource: pjson.Random(), id: id} }

// Anonymous implements pjson.IDSource.
func (p *pathNamed) Anonymous() string {
	if p.used {
		return p.IDSource.Anonymous()
	}
	p.used = true
	return p.id
}
