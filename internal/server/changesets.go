package server

import (
	"encoding/hex"
	"net/http"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// changesetView is one changeset as /v1/changesets shows it.
type changesetView struct {
	Changeset string    `json:"changeset"`
	Branch    branch.ID `json:"branch"`
	Time      time.Time `json:"time"`
	Author    string    `json:"author,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	// Base is what its author had applied before, Revision that with this changeset.
	Base     branch.Revision `json:"base"`
	Revision branch.Revision `json:"revision"`
	// Hash is the SHA-256 of its body, Bytes the body's length.
	Hash  string `json:"hash"`
	Bytes int    `json:"bytes"`
	// Objects are the objects it changed.
	Objects []writtenObject `json:"objects"`
	// Peers are the peers known to have it.
	Peers []branch.ID `json:"peers"`
}

// writtenObject is what a changeset did to one object, in short.
type writtenObject struct {
	ID      string `json:"id"`
	Deleted bool   `json:"deleted,omitempty"`
	// Properties are the names of those that were written, also of embedded objects.
	Properties []string `json:"properties,omitempty"`
}

// getChangeset answers with one applied changeset.
func (s *Server) getChangeset(w http.ResponseWriter, r *http.Request) error {
	dot, err := parseDot("the path", r.PathValue("dot"))
	if err != nil {
		return err
	}
	if _, err := query(r); err != nil {
		return err
	}
	list, err := s.deps.Store.Range(r.Context(), dot.Branch, dot.Seq, dot.Seq, 1)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return problem(kindNoChangeset, "this node has not applied changeset %s: it is at revision %s", dot, s.deps.Store.Revision())
	}
	c, err := changeset.Decode(list[0], changeset.DefaultLimits())
	if err != nil {
		return err
	}
	view := viewOf(c, list[0])
	if err := s.deps.Store.View(r.Context(), func(rd *store.Reader) error { return view.place(rd, c) }); err != nil {
		return err
	}
	view.Peers = []branch.ID{}
	if s.deps.Holders != nil {
		view.Peers = append(view.Peers, s.deps.Holders(dot)...)
	}
	answer(w, http.StatusOK, view)
	return nil
}

func viewOf(c changeset.Changeset, e changeset.Envelope) changesetView {
	v := changesetView{
		Changeset: e.Dot.String(), Branch: c.Branch, Time: c.Clock.Time(), Author: c.Author, Comment: c.Comment,
		Hash: hex.EncodeToString(e.Hash[:]), Bytes: len(e.Body), Objects: []writtenObject{},
	}
	for _, o := range c.Objects {
		changed := writtenObject{ID: o.Root, Deleted: o.Delete}
		seen := map[string]bool{}
		for _, p := range o.Props {
			if !seen[p.Predicate] {
				seen[p.Predicate] = true
				changed.Properties = append(changed.Properties, p.Predicate)
			}
		}
		v.Objects = append(v.Objects, changed)
	}
	return v
}

// place fills in the base, which a changeset itself holds only in part.
func (v *changesetView) place(rd *store.Reader, c changeset.Changeset) error {
	before, known, err := rd.Predecessor(c.Dot())
	if err != nil {
		return err
	}
	if !known {
		return &store.CompactedError{At: branch.Revision{c.Dot()}}
	}
	v.Base = before.Seen.Merge(c.Base)
	if c.Seq > 1 {
		v.Base = v.Base.With(branch.Dot{Branch: c.Branch, Seq: c.Seq - 1})
	}
	v.Revision = v.Base.With(c.Dot())
	return nil
}
