package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// attempt is a request as the audit log knows it.
type attempt struct {
	request *http.Request
	started time.Time
	rpc     []string
	// writes: the request writes, or would; told: the log has it.
	writes, told bool
}

type attemptKey struct{}

// admit lets a request reach its endpoint if its principal has the role.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, e endpoint) error {
	a := &attempt{request: r, started: time.Now(), writes: e.role >= access.Write}
	who, err := s.principal(r, e.role)
	r = r.WithContext(context.WithValue(access.With(r.Context(), who), attemptKey{}, a))
	a.request = r
	if err == nil {
		err = s.require(r, e.role)
	}
	if err == nil {
		err = e.handle(w, r)
	}
	s.finish(a, err)
	return err
}

// principal says whose a request is. What is open to all asks nobody.
func (s *Server) principal(r *http.Request, role access.Role) (access.Principal, error) {
	if s.deps.Guard == nil {
		return access.Principal{Role: access.Admin}, nil
	}
	if role == access.None {
		return access.Principal{}, nil
	}
	who, err := s.deps.Guard.Principal(r)
	return who, denied(err)
}

// require refuses a request whose principal lacks the role. Handlers call it that
// learn only from the body what they are asked to do.
func (s *Server) require(r *http.Request, role access.Role) error {
	if a, ok := r.Context().Value(attemptKey{}).(*attempt); ok && role >= access.Write {
		a.writes = true
	}
	if s.deps.Guard == nil {
		return nil
	}
	return denied(s.deps.Guard.Require(r, access.Of(r.Context()), role))
}

// denied makes a refusal a problem.
func denied(err error) error {
	d, ok := errors.AsType[*access.Denied](err)
	if !ok {
		return err
	}
	k := kindUnauthorized
	if d.Status == http.StatusForbidden {
		k = kindForbidden
	}
	p := problem(k, "%s", d.Detail)
	p.challenge = d.Challenge
	return p
}

// calling notes the methods of a batch that write, and whether they may.
func (s *Server) calling(r *http.Request, calls []*call) error {
	var names []string
	for _, c := range calls {
		if c.runs && c.method.writes && !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if a, ok := r.Context().Value(attemptKey{}).(*attempt); ok {
		a.rpc = names
	}
	return s.require(r, access.Write)
}

// footprint is the objects that a transaction changes, as the audit log names them.
type footprint struct {
	ids   []string
	count int
}

func (t *footprint) note(tx *store.Tx) error {
	added, removed, err := tx.Changes()
	if err != nil {
		return err
	}
	var ids []string
	for _, list := range [][]statement.Statement{added, removed} {
		for _, st := range list {
			ids = append(ids, statement.Root(st.Subject))
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	t.ids, t.count = ids[:min(len(ids), access.MaxObjects)], len(ids)
	return nil
}

// audited runs a write so that the log has it before the client is told.
func (s *Server) audited(ctx context.Context, opts store.WriteOptions, fn func(*store.Tx) error) (store.Commit, error) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok || !s.deps.Audit.On() {
		return s.deps.Store.Update(ctx, opts, fn)
	}
	var objects footprint
	commit, err := s.deps.Store.Update(ctx, opts, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return objects.note(tx)
	})
	e := s.entry(a, err)
	if err == nil {
		e.Outcome, e.Objects, e.ObjectCount = "unchanged", objects.ids, objects.count
		e.Revision = commit.Revision.String()
		if !commit.Dot.IsZero() {
			e.Outcome, e.Changeset = "committed", commit.Dot.String()
		}
	}
	s.tell(a, e)
	return commit, err
}

// finish tells the audit log of what no transaction has told it.
func (s *Server) finish(a *attempt, err error) {
	if a.writes && !a.told && s.deps.Audit.On() {
		s.tell(a, s.entry(a, err))
	}
}

func (s *Server) entry(a *attempt, err error) access.Entry {
	r := a.request
	who := access.Of(r.Context())
	e := access.Entry{
		Time: a.started.UTC(), Principal: who.Name, Role: who.Role.String(), Remote: r.RemoteAddr, Method: r.Method,
		Path: r.URL.EscapedPath(), RPC: a.rpc, Outcome: "done", LatencyMS: float64(time.Since(a.started).Microseconds()) / 1000,
	}
	if err != nil {
		p := problemOf(err)
		e.Outcome, e.Problem = "failed", strings.TrimPrefix(p.Type, "urn:vesper:problem:")
		if p.Type == "urn:vesper:problem:"+kindUnauthorized.name || p.Type == "urn:vesper:problem:"+kindForbidden.name {
			e.Outcome = "refused"
		}
	}
	return e
}

// tell keeps an entry. A write that is committed stays so, whatever becomes of
// the log: the node's own log, and a counter, then say that a line is missing.
func (s *Server) tell(a *attempt, e access.Entry) {
	a.told = true
	if err := s.deps.Audit.Write(e); err != nil {
		s.metrics.auditFailed.Inc()
		s.log.Error("The audit log lacks an entry", "error", err, "changeset", e.Changeset, "principal", e.Principal)
	}
}

// metricsRole is the role that /metrics takes.
func (s *Server) metricsRole() access.Role {
	if s.deps.Guard == nil {
		return access.None
	}
	return s.deps.Guard.MetricsRole()
}
