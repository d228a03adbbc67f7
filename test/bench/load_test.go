package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDocumentsAreValidAndOfTheSizeAskedFor(t *testing.T) {
	for _, size := range []int{256, 1024} {
		for i, d := range documents(20, size) {
			if !json.Valid(d) || len(d) != size {
				t.Errorf("document %d has %d bytes, want %d, valid: %t: %s", i, len(d), size, json.Valid(d), d)
			}
		}
	}
}

func TestLeanClientReadsLengthsAndChunks(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chunked" {
			for i := range 3 {
				fmt.Fprintf(w, "part %d;", i)
				w.(http.Flusher).Flush()
			}
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, r.Method+" "+r.URL.Path)
	}))
	defer s.Close()
	c, err := dialHTTP(t.Context(), strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, want := range []struct {
		path, body string
		status     int
	}{{"/x", "PUT /x", 201}, {"/chunked", "part 0;part 1;part 2;", 200}, {"/y", "PUT /y", 201}} {
		status, body, err := c.do("PUT", want.path, []byte(`{}`))
		if err != nil || status != want.status || string(body) != want.body {
			t.Errorf("PUT %s: %d %q %v, want %d %q", want.path, status, body, err, want.status, want.body)
		}
	}
}

type flaky struct{ left int }

func (f *flaky) call(context.Context) error {
	if f.left--; f.left < 0 {
		return errors.New("refused")
	}
	time.Sleep(time.Millisecond) // the work
	return nil
}
func (*flaky) close() {}

func TestClosedLoopFailsWhenOneClientDoes(t *testing.T) {
	_, _, err := closedLoop(t.Context(), 3, time.Minute, func() (caller, error) { return &flaky{left: 5}, nil })
	if err == nil || err.Error() != "refused" {
		t.Errorf("the error is %v, want refused", err)
	}
}

func TestClosedLoopCountsWhatWasAnswered(t *testing.T) {
	n, rate, err := closedLoop(t.Context(), 2, 50*time.Millisecond, func() (caller, error) { return &flaky{left: 1 << 30}, nil })
	if err != nil || n == 0 || rate <= 0 || rate > 2000 {
		t.Errorf("two clients of a millisecond each did %v a second (%v), want at most 2000", rate, err)
	}
}

func TestConnectionsThatFailAreErrors(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, _, err = closedLoop(t.Context(), 1, time.Second, func() (caller, error) {
		c, err := dialHTTP(t.Context(), address)
		if err != nil {
			return nil, err
		}
		return &putter{httpConn: c}, nil
	})
	if err == nil {
		t.Error("a port where nobody listens gave no error")
	}
}
