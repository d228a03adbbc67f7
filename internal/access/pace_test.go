package access

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// receiving serves, on a real socket, a handler that reads the body and tells
// how that ended.
func receiving(t *testing.T, whole, pause time.Duration, rate int, before func(http.ResponseWriter)) (*httptest.Server, <-chan error) {
	t.Helper()
	ended := make(chan error, 1)
	web := httptest.NewUnstartedServer(paced(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before(w)
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
		if err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		_, _ = io.WriteString(w, "taken")
	}), whole, pause, rate))
	web.Start()
	t.Cleanup(web.Close)
	return web, ended
}

func hurried(http.ResponseWriter) {}

// upload sends the head of a request with a body of so many bytes.
func upload(t *testing.T, web *httptest.Server, length int) net.Conn {
	t.Helper()
	c := dial(t, web)
	if _, err := fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length); err != nil {
		t.Fatal(err)
	}
	return c
}

func result(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the body is still being read")
		return nil
	}
}

// trickle sends a byte now and then until the server hangs up.
func trickle(c net.Conn, every time.Duration) {
	for tick := time.NewTicker(every); ; <-tick.C {
		if _, err := c.Write([]byte{'x'}); err != nil {
			tick.Stop()
			return
		}
	}
}

func TestABodyThatTricklesIsCutOffThoughEachByteIsInTime(t *testing.T) {
	web, ended := receiving(t, time.Hour, 200*time.Millisecond, 1<<20, hurried)
	c := upload(t, web, 1<<20)
	done := make(chan struct{})
	go func() { defer close(done); trickle(c, 5*time.Millisecond) }()
	if err := result(t, ended); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
	_ = c.Close()
	<-done
}

func TestABodyAtTheRateIsTakenHoweverLongItIs(t *testing.T) {
	// A byte every 5 ms is twenty times the rate, for ten times the pause.
	web, ended := receiving(t, time.Hour, 100*time.Millisecond, 10, hurried)
	c := upload(t, web, 200)
	for range 200 {
		_, _ = c.Write([]byte{'x'})
		time.Sleep(5 * time.Millisecond) // the client's own pace, not a wait for something
	}
	if err := result(t, ended); err != nil {
		t.Errorf("the body ended with %v", err)
	}
}

func TestABodyHasOneTimeForAllOfItUnlessTheHandlerSetsAnother(t *testing.T) {
	web, ended := receiving(t, 50*time.Millisecond, time.Hour, 1, hurried)
	upload(t, web, 10)
	if err := result(t, ended); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
	web, ended = receiving(t, time.Nanosecond, time.Hour, 1, func(w http.ResponseWriter) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	})
	c := upload(t, web, 10)
	_, _ = io.WriteString(c, strings.Repeat("x", 10))
	if err := result(t, ended); err != nil {
		t.Errorf("the handler's word does not count: %v", err)
	}
}

func TestTheEndOfABodysTimeIsNotTheEndOfItsRequest(t *testing.T) {
	gaveUp := make(chan error, 1)
	web := httptest.NewServer(paced(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond): // the handler's own work
		}
		gaveUp <- r.Context().Err()
	}), time.Hour, 50*time.Millisecond, 1<<30))
	defer web.Close()
	c := upload(t, web, 3)
	_, _ = io.WriteString(c, "abc")
	if err := result(t, gaveUp); err != nil {
		t.Errorf("the request was given up: %v", err)
	}
}

// sending serves a handler through a connection of so short a pause.
func sending(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	web := httptest.NewUnstartedServer(h)
	web.Listener = impatient{web.Listener}
	web.Start()
	t.Cleanup(web.Close)
	return web
}

type impatient struct{ net.Listener }

func (l impatient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, free: func() {}, pause: 100 * time.Millisecond, rate: 1 << 20}, nil
}

func TestWhoDoesNotReadItsAnswerIsCutOff(t *testing.T) {
	ended := make(chan error, 1)
	web := sending(t, func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for big := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(big)
		}
		ended <- err
	})
	c := dial(t, web)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") // and reads nothing
	if err := result(t, ended); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing ended with %v", err)
	}
}

func TestAnEventStreamMayBeSilentForAsLongAsItLikes(t *testing.T) {
	web := sending(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "event\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(150 * time.Millisecond) // longer than the pause of a write
		}
	})
	r, err := web.Client().Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, err := io.ReadAll(r.Body); err != nil || string(text) != strings.Repeat("event\n", 3) {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestADeadlineOfTheServerCountsWhenItIsEarlier(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct{ a, b, want time.Time }{
		{time.Time{}, time.Time{}, time.Time{}}, {now, time.Time{}, now}, {time.Time{}, now, now},
		{now, now.Add(1), now}, {now.Add(1), now, now},
	} {
		if got := earliest(tt.a, tt.b); !got.Equal(tt.want) {
			t.Errorf("of %v and %v came %v", tt.a, tt.b, got)
		}
	}
}
