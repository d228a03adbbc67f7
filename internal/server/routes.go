package server

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
)

// handler answers a request or returns an error, of which problemOf makes the answer.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one path of the interface and what its methods do. GET serves HEAD too.
type route struct {
	pattern string
	methods map[string]handler
}

// An id is all that follows in the path. One that contains a slash may stand
// there as it is or percent-encoded: proxies on the way, the API server of
// Kubernetes among them, decode it.
func (s *Server) routes() []route {
	return []route{
		{"/datarequest", map[string]handler{"POST": s.dataRequest}},
		{"/{store}/datarequest", map[string]handler{"POST": s.storeDataRequest}},
		{"/v1/objects", map[string]handler{"GET": s.listObjects, "POST": s.addObjects}},
		{"/v1/objects/{id...}", map[string]handler{"GET": s.getObject, "PUT": s.putObject, "PATCH": s.patchObject, "DELETE": s.deleteObject}},
		{"/v1/history/{id...}", map[string]handler{"GET": s.getHistory}},
		{"/v1/conflicts", map[string]handler{"GET": s.getConflicts}},
		{"/v1/conflicts/{id...}", map[string]handler{"GET": s.getConflictsOf, "POST": s.resolve}},
		{"/v1/changesets/{dot}", map[string]handler{"GET": s.getChangeset}},
		{"/v1/bundle", map[string]handler{"GET": s.getBundle, "POST": s.postBundle}},
		{"/v1/snapshot", map[string]handler{"GET": s.getSnapshot}},
		{"/v1/changes", map[string]handler{"GET": s.getChanges}},
		{"/v1/branch/accept", map[string]handler{"POST": s.acceptBranch}},
		{"/v1/forks", map[string]handler{"GET": s.getForks}},
		{"/v1/forks/{branch}", map[string]handler{"DELETE": s.settleFork}},
		{"/v1/quarantine", map[string]handler{"GET": s.getQuarantine}},
		{"/v1/quarantine/{number}", map[string]handler{"GET": s.getEvidence, "DELETE": s.dropEvidence}},
		{"/v1/status", map[string]handler{"GET": s.getStatus}},
		{"/healthz", map[string]handler{"GET": s.healthz}},
		{"/readyz", map[string]handler{"GET": s.readyz}},
		{"/metrics", map[string]handler{"GET": s.serveMetrics}},
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
	if r.methods["GET"] != nil {
		allowed = append(allowed, "HEAD")
	}
	slices.Sort(allowed)
	allow := strings.Join(append(allowed, "OPTIONS"), ", ")
	return func(w http.ResponseWriter, req *http.Request) error {
		method := req.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if h := r.methods[method]; h != nil {
			return h(w, req)
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
