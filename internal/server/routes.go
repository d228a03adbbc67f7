package server

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/access"
)

// handler answers a request or returns an error, of which problemOf makes the answer.
type handler func(w http.ResponseWriter, r *http.Request) error

// endpoint is one method of a path and the role that it takes.
type endpoint struct {
	role   access.Role
	handle handler
}

// methods are those of a path. GET serves HEAD too.
type methods map[string]endpoint

// route is one path of the interface and what its methods do.
type route struct {
	pattern string
	methods methods
}

// Every method of every path says which role it takes, by one of these.
// A handler that may write although its method takes read asks for more itself,
// with require.
func open(h handler) endpoint  { return endpoint{access.None, h} }
func read(h handler) endpoint  { return endpoint{access.Read, h} }
func write(h handler) endpoint { return endpoint{access.Write, h} }
func admin(h handler) endpoint { return endpoint{access.Admin, h} }

// An id is all that follows in the path. One that contains a slash may stand
// there as it is or percent-encoded: proxies on the way, the API server of
// Kubernetes among them, decode it.
func (s *Server) routes() []route {
	return []route{
		{"/datarequest", methods{"POST": read(s.dataRequest)}},
		{"/{store}/datarequest", methods{"POST": read(s.storeDataRequest)}},
		{"/v1/objects", methods{"GET": read(s.listObjects), "POST": write(s.addObjects)}},
		{"/v1/objects/{id...}", methods{"GET": read(s.getObject), "PUT": write(s.putObject), "PATCH": write(s.patchObject), "DELETE": write(s.deleteObject)}},
		{"/v1/history/{id...}", methods{"GET": read(s.getHistory)}},
		{"/v1/conflicts", methods{"GET": read(s.getConflicts)}},
		{"/v1/conflicts/{id...}", methods{"GET": read(s.getConflictsOf), "POST": write(s.resolve)}},
		{"/v1/changesets/{dot}", methods{"GET": read(s.getChangeset)}},
		{"/v1/bundle", methods{"GET": read(s.getBundle), "POST": admin(s.postBundle)}},
		{"/v1/snapshot", methods{"GET": read(s.getSnapshot)}},
		{"/v1/changes", methods{"GET": read(s.getChanges)}},
		{"/v1/query", methods{"GET": read(s.getQuery), "POST": read(s.postQuery)}},
		{"/v1/transactions", methods{"POST": write(s.postTransaction)}},
		{"/v1/revisions", methods{"GET": read(s.getRevisions)}},
		{"/v1/diff", methods{"GET": read(s.getDiff)}},
		{"/v1/export", methods{"GET": read(s.getExport)}},
		{"/v1/import", methods{"POST": write(s.postImport)}},
		{"/v1/openapi.json", methods{"GET": open(s.getOpenAPI)}},
		{"/api/query", methods{"GET": read(s.form("query")), "POST": read(s.form("query"))}},
		{"/api/add", methods{"POST": write(s.form("add"))}},
		{"/api/update", methods{"POST": write(s.form("update"))}},
		{"/api/delete", methods{"POST": write(s.form("delete"))}},
		{"/v1/branch/accept", methods{"POST": admin(s.acceptBranch)}},
		{"/v1/drain", methods{"POST": admin(s.drain), "DELETE": admin(s.undrain)}},
		{"/v1/forks", methods{"GET": read(s.getForks)}},
		{"/v1/forks/{branch}", methods{"DELETE": admin(s.settleFork)}},
		{"/v1/quarantine", methods{"GET": read(s.getQuarantine)}},
		{"/v1/quarantine/{number}", methods{"GET": read(s.getEvidence), "DELETE": admin(s.dropEvidence)}},
		{"/v1/status", methods{"GET": read(s.getStatus)}},
		{"/healthz", methods{"GET": open(s.healthz)}},
		{"/readyz", methods{"GET": open(s.readyz)}},
		{"/metrics", methods{"GET": {s.metricsRole(), s.serveMetrics}}},
	}
}

// mux makes the routes one handler. Paths are registered without their method,
// so that a wrong method gets a problem document and not the mux's plain text.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.instrument(strings.Replace(r.pattern, "...", "", 1), s.dispatch(r)))
	}
	mux.Handle("/", s.instrument("other", func(_ http.ResponseWriter, r *http.Request) error {
		return problem(kindNoRoute, "%s is no path of this node: %s", r.URL.EscapedPath(), hintFor(r))
	}))
	return s.sameOrigin(unclean(s, mux))
}

// sameOrigin refuses writes that a browser sends on behalf of another web site:
// a page must not be able to write into the node on its visitor's machine or
// network. Programs that are no browsers are not concerned.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(s.instrument("other", func(http.ResponseWriter, *http.Request) error {
		return problem(kindCrossOrigin, "a browser sent this on behalf of another web site: send it from a page of the node's own origin, or through a server of yours")
	}))
	return protection.Handler(next)
}

// hintFor says what may have been meant by a path that does not exist.
func hintFor(r *http.Request) string {
	for _, prefix := range []string{"/v1/objects/", "/v1/history/"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return "percent-encode the id (a slash is %2F)"
		}
	}
	return "objects are at /v1/objects, JSON-RPC is POST /datarequest"
}

// unclean answers for paths that the mux would redirect (with HTML): those with
// empty and dot segments. They are ids that were not percent-encoded.
func unclean(s *Server, next http.Handler) http.Handler {
	refuse := s.instrument("other", func(_ http.ResponseWriter, r *http.Request) error {
		return problem(kindNoRoute, "%s has an empty or dot segment: %s", r.URL.EscapedPath(), hintFor(r))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		isUnclean := func(segment string) bool { return segment == "" || segment == "." || segment == ".." }
		if r.URL.Path != "/" && slices.ContainsFunc(segments, isUnclean) {
			refuse.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) dispatch(r route) handler {
	allowed := make([]string, 0, len(r.methods)+2)
	for m := range r.methods {
		allowed = append(allowed, m)
	}
	if _, ok := r.methods["GET"]; ok {
		allowed = append(allowed, "HEAD")
	}
	slices.Sort(allowed)
	allow := strings.Join(append(allowed, "OPTIONS"), ", ")
	return func(w http.ResponseWriter, req *http.Request) error {
		method := req.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if e, ok := r.methods[method]; ok {
			return s.admit(w, req, e)
		}
		if method == http.MethodOptions {
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		p := problem(kindMethod, "%s does not apply to %s: use %s", req.Method, req.URL.EscapedPath(), strings.Join(allowed, ", "))
		p.allow = allow
		return p
	}
}

// fail answers an error that a handler returned.
func (s *Server) fail(w *recorder, r *http.Request, err error) {
	if err == nil {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = problem(kindSlowClient, "the body did not arrive in time")
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError && !errors.Is(r.Context().Err(), context.Canceled) {
		s.log.Error("Request failed", "method", r.Method, "path", r.URL.EscapedPath(), "error", err)
	}
	if w.status != 0 {
		// The answer has begun: cutting it off is the only way to say so.
		panic(http.ErrAbortHandler)
	}
	p.write(w)
}
