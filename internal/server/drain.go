package server

import (
	"net/http"

	"vesperdb.io/vesper/internal/branch"
)

// drainState is the answer to POST and DELETE of /v1/drain.
type drainState struct {
	Branch branch.ID `json:"branch"`
	// Draining says whether writes are refused until DELETE /v1/drain, across
	// restarts too. Then Revision has all that the node ever wrote.
	Draining bool            `json:"draining"`
	Revision branch.Revision `json:"revision"`
	// Writable says whether writes are taken now, WritesRefused why not.
	Writable      bool   `json:"writable"`
	WritesRefused string `json:"writesRefused,omitempty"`
}

// drain ends writing on this node: what it wrote goes on to its peers, and when
// they have it the node may go. It answers when no write is under way any more.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if err := s.deps.Store.Drain(r.Context()); err != nil {
		return err
	}
	s.log.Info("Began to drain the node: it takes no more writes")
	return s.answerDrain(w)
}

// undrain takes writes again.
func (s *Server) undrain(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if err := s.deps.Store.Undrain(); err != nil {
		return err
	}
	s.log.Info("Ended the draining of the node: it takes writes again")
	return s.answerDrain(w)
}

func (s *Server) answerDrain(w http.ResponseWriter) error {
	status := s.status()
	answer(w, http.StatusOK, drainState{Branch: status.Branch, Draining: status.Draining, Revision: status.Revision,
		Writable: status.Writable, WritesRefused: status.WritesRefused})
	return nil
}
