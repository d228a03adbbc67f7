package server

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// accepted is the answer to POST /v1/branch/accept.
type accepted struct {
	Branch branch.ID `json:"branch"`
	// Revision is the store's: the next write gets the number after its branch's.
	Revision branch.Revision `json:"revision"`
	// Writable says whether writes are taken now, WritesRefused why not.
	Writable      bool   `json:"writable"`
	WritesRefused string `json:"writesRefused,omitempty"`
}

// acceptBranch takes writes again under a branch that was ahead of its store,
// or whose store is a copy. Whoever asks for it knows that no other node holds,
// and nobody will bring back, anything that the store lacks of the branch.
func (s *Server) acceptBranch(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	accept := s.deps.AcceptBranch
	if accept == nil {
		accept = s.deps.Store.MarkOwned
	}
	if err := accept(r.Context()); err != nil {
		var storage *store.StorageError
		var closed *store.ClosedError
		if errors.As(err, &storage) || errors.As(err, &closed) || r.Context().Err() != nil {
			return err
		}
		return problem(kindNotAcceptable, "%s", err)
	}
	status := s.status()
	answer(w, http.StatusOK, accepted{
		Branch: status.Branch, Revision: status.Revision, Writable: status.Writable, WritesRefused: status.WritesRefused,
	})
	return nil
}

// fork is a branch of which two contents of one name are known.
type fork struct {
	Branch branch.ID  `json:"branch"`
	Dot    branch.Dot `json:"dot"`
	// Have and Got are the SHA-256 of the two changesets, absent when a peer told.
	Have string    `json:"have,omitempty"`
	Got  string    `json:"got,omitempty"`
	Seen time.Time `json:"seen"`
	Told branch.ID `json:"told,omitempty"`
}

func (s *Server) getForks(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	list := []fork{}
	for _, f := range s.deps.Store.Forks() {
		out := fork{Branch: f.Dot.Branch, Dot: f.Dot, Seen: f.Seen, Told: f.Told}
		if f.Told == "" {
			out.Have, out.Got = hex.EncodeToString(f.Have[:]), hex.EncodeToString(f.Got[:])
		}
		list = append(list, out)
	}
	answer(w, http.StatusOK, map[string]any{"forks": list})
	return nil
}

// settleFork decides for what this node holds of a forked branch.
func (s *Server) settleFork(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	id, err := branch.ParseID(r.PathValue("branch"))
	if err != nil {
		return problem(kindBadRequest, "%s", err)
	}
	was, err := s.deps.Store.SettleFork(r.Context(), id)
	if err != nil {
		return err
	}
	if !was {
		return problem(kindNoSuch, "branch %s is not known to be forked: GET /v1/forks lists those that are", id)
	}
	s.log.Warn("Settled a fork: what this node holds of the branch counts", "branch", string(id))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// evidence is a message or changeset that cannot be applied.
type evidence struct {
	ID        uint64    `json:"id"`
	Time      time.Time `json:"time"`
	Link      string    `json:"link,omitempty"`
	From      branch.ID `json:"from,omitempty"`
	Changeset string    `json:"changeset,omitempty"`
	Cause     string    `json:"cause"`
	Error     string    `json:"error"`
	// Size and SHA256 are those of the whole body, Kept how much of it is kept.
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
	Kept   int    `json:"kept"`
}

func (s *Server) getQuarantine(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	kept, err := s.deps.Store.Evidence(r.Context())
	if err != nil {
		return err
	}
	list := []evidence{}
	for _, e := range kept {
		out := evidence{
			ID: e.ID, Time: e.Time, Link: e.Link, From: e.From, Cause: e.Cause, Error: e.Error,
			Size: e.Size, SHA256: hex.EncodeToString(e.Hash[:]), Kept: e.Kept,
		}
		if !e.Dot.IsZero() {
			out.Changeset = e.Dot.String()
		}
		list = append(list, out)
	}
	answer(w, http.StatusOK, map[string]any{"quarantine": list})
	return nil
}

func evidenceID(r *http.Request) (uint64, error) {
	if _, err := query(r); err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		return 0, problem(kindBadRequest, "%q is no number of the quarantine: GET /v1/quarantine lists them", r.PathValue("number"))
	}
	return id, nil
}

// getEvidence answers with the bytes that came, as they came.
func (s *Server) getEvidence(w http.ResponseWriter, r *http.Request) error {
	id, err := evidenceID(r)
	if err != nil {
		return err
	}
	_, body, found, err := s.deps.Store.EvidenceBody(r.Context(), id)
	if err != nil {
		return err
	}
	if !found {
		return noEvidence(id)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename=quarantine-"+strconv.FormatUint(id, 10))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // an error means that the client is gone
	return nil
}

func (s *Server) dropEvidence(w http.ResponseWriter, r *http.Request) error {
	id, err := evidenceID(r)
	if err != nil {
		return err
	}
	found, err := s.deps.Store.DropEvidence(r.Context(), id)
	if err != nil {
		return err
	}
	if !found {
		return noEvidence(id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func noEvidence(id uint64) error {
	return problem(kindNoSuch, "there is no number %d in the quarantine (any more): GET /v1/quarantine lists what there is", id)
}
