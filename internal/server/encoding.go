package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// minGzip is the least size of an answer that is compressed.
const minGzip = 1 << 10

// compressed are the media types of answers that gzip makes much shorter. The
// feed of events is not among them: each event must go out by itself.
var compressed = []string{typeJSON, typeNDJSON, typeProblem}

// compress sends answers as gzip to clients that accept it. It holds no more of
// an answer than the first minGzip bytes.
func compress(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(minGzip), gzhttp.ContentTypes(compressed), gzhttp.EnableZstd(false))
	if err != nil {
		return nil, fmt.Errorf("preparing compression: %w", err)
	}
	zipped := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(headKey{}) != nil {
			r.Method = http.MethodHead
		}
		next.ServeHTTP(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true)) // a copy
			r.Method = http.MethodGet
		}
		zipped(&weakener{ResponseWriter: w}, r)
	}), nil
}

// headKey marks requests with HEAD, which the compressor takes for GET: it would
// not compress, and the headers would be others than those of GET.
type headKey struct{}

// weakener makes the entity tag of a compressed answer a weak one: a strong tag
// promises equal bytes. For conditions both count alike; see tags.
type weakener struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader weakens the tag, if need be, and passes the status on.
func (w *weakener) WriteHeader(status int) {
	h := w.Header()
	if tag := h.Get("ETag"); !w.begun && h.Get("Content-Encoding") != "" && strings.HasPrefix(tag, `"`) {
		h.Set("ETag", "W/"+tag)
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write passes bytes on.
func (w *weakener) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Flush sends what is written so far; the compressor asks for it here.
func (w *weakener) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a recorder in tests has none
}

// Unwrap lets http.ResponseController reach the connection.
func (w *weakener) Unwrap() http.ResponseWriter { return w.ResponseWriter }
