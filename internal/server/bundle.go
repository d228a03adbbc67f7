package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/bundle"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// bundlePatience is how long a client may take for each part of a bundle, which
// has no bound as a whole.
const bundlePatience = time.Minute

// getBundle sends what this node has and a revision does not cover, as a file of
// changesets.
func (s *Server) getBundle(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "since")
	if err != nil {
		return err
	}
	since, err := branch.ParseRevision(params.Get("since"))
	if err != nil {
		return problem(kindBadRequest, "since: %v", err)
	}
	w.Header().Set("Content-Type", bundle.ContentType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+string(s.deps.Store.Branch())+`.bundle"`)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(headerRevision, s.deps.Store.Revision().String())
	if r.Method == http.MethodHead {
		return nil
	}
	unhurried(w)
	control := http.NewResponseController(w)
	_, err = bundle.Export(r.Context(), w, s.deps.Store, s.deps.Config.TrunkID, since, func() error {
		_ = control.SetWriteDeadline(time.Now().Add(bundlePatience)) // a recorder in tests has none
		return nil
	})
	return err
}

// postBundle applies a file of changesets. It may be repeated.
func (s *Server) postBundle(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if _, err := mediaType(r, bundle.ContentType, "application/octet-stream"); err != nil {
		return err
	}
	if s.draining.Load() {
		return &store.RefusedError{Reason: drainingReason}
	}
	control := http.NewResponseController(w)
	apply := s.deps.Store.Apply
	if s.deps.Import != nil {
		apply = s.deps.Import
	}
	got, err := bundle.Import(r.Context(), r.Body, s.deps.Store, s.deps.Config.TrunkID, func(ctx context.Context, list []changeset.Envelope) (store.Applied, error) {
		deadline := time.Now().Add(bundlePatience)
		_ = errors.Join(control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline.Add(bundlePatience)))
		a, err := apply(ctx, list)
		s.storage.note(err)
		return a, err
	})
	if err != nil {
		return bundleProblem(err, got)
	}
	answer(w, http.StatusOK, got)
	return nil
}

// bundleProblem says what is wrong with a bundle, and how much of it was taken.
func bundleProblem(err error, got bundle.Imported) error {
	_, foreign := errors.AsType[*bundle.ForeignError](err)
	_, damaged := errors.AsType[*bundle.DamagedError](err)
	switch {
	case foreign:
		return problem(kindForeign, "%s", err)
	case damaged:
		return problem(kindBadBundle, "%s (%d changesets of it are here now)", err, got.Changesets)
	case got.Changesets == 0 && problemOf(err).Status == http.StatusInternalServerError:
		return problem(kindBadBundle, "%s", err)
	}
	return err
}
