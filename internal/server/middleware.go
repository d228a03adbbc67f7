package server

import (
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader remembers the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// instrument wraps a handler in what all of them need: panics become errors,
// the request is counted and timed under its pattern, and logged at debug.
func (s *Server) instrument(pattern string, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer func() {
			s.metrics.inFlight.Dec()
			s.observe(pattern, rec, r, time.Since(start))
		}()
		defer s.recover(rec, r)
		rec.Header().Set("X-Content-Type-Options", "nosniff")
		s.fail(rec, r, h(rec, r))
	}
}

func (s *Server) observe(pattern string, rec *recorder, r *http.Request, took time.Duration) {
	status := rec.status
	if status == 0 {
		status = http.StatusOK
	}
	method := r.Method
	if !knownMethods[method] {
		method = "other" // a client must not be able to make label values
	}
	s.metrics.requests.WithLabelValues(pattern, method, strconv.Itoa(status)).Inc()
	s.metrics.duration.WithLabelValues(pattern, method).Observe(took.Seconds())
	s.log.Debug("Answered", "method", r.Method, "path", r.URL.EscapedPath(), "status", status,
		"bytes", rec.bytes, "took", took.String(), "remote", r.RemoteAddr)
}

var knownMethods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true,
}

// recover turns a panic of a handler into a logged 500; one request's fault
// must not end the others'.
func (s *Server) recover(rec *recorder, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // the very value that net/http compares with
		panic(cause)
	}
	s.metrics.panics.Inc()
	s.log.Error("Request panicked", "method", r.Method, "path", r.URL.EscapedPath(), "panic", cause, "stack", string(debug.Stack()))
	if rec.status != 0 {
		panic(http.ErrAbortHandler)
	}
	unavailable(nil).write(rec)
}
