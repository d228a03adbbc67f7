package server

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/store"
)

// spooling gives a node a directory to make snapshots in.
func spooling(t *testing.T) func(*Deps) {
	dir := t.TempDir()
	return func(d *Deps) { d.Config.StoragePath = dir }
}

// fill writes so many megabytes that compress badly.
func (n *node) fill(megabytes int) {
	n.t.Helper()
	for i := range megabytes {
		var text strings.Builder
		for at := range 1 << 15 {
			text.WriteString(strconv.FormatUint(uint64(at*(i+7)+1)*0x9e3779b97f4a7c15, 36))
			text.WriteString(strconv.FormatUint(uint64(at*(i+9)+1)*0xbf58476d1ce4e5b9, 36))
		}
		n.put("big"+strconv.Itoa(i), `{"v": "`+text.String()+`"}`)
	}
}

func TestSnapshotOfARunningNodeIsWholeAndNobodysAndRestores(t *testing.T) {
	n := newNode(t, spooling(t))
	for _, id := range []string{"x", "y", "z"} {
		n.put(id, `{"v": "`+id+`"}`)
	}
	got := n.get("/v1/snapshot").want(200).wantHeader("Content-Type", snapshotType).wantHeader("Vesper-Revision", "0A00003")
	if got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
		t.Errorf("the length is %q of %d", got.header.Get("Content-Length"), len(got.body))
	}
	info, err := store.ReadSnapshotInfo(strings.NewReader(got.body))
	if err != nil || info.Revision.String() != "0A00003" || info.Objects != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	if strings.Contains(got.body, n.store.Incarnation()) {
		t.Error("it names the incarnation")
	}
	if _, err := store.ReadSnapshotInfo(strings.NewReader(got.body[:len(got.body)-40])); err == nil {
		t.Error("a cut snapshot is taken for a whole one")
	}
	options := store.Options{Dir: t.TempDir(), Branch: "0D", Trunk: "0A", Logger: slog.New(slog.DiscardHandler)}
	if _, err := store.RestoreSnapshot(t.Context(), strings.NewReader(got.body), options); err != nil {
		t.Error(err)
	}
	n.do("HEAD", "/v1/snapshot", "").want(200).wantHeader("Content-Type", snapshotType)
	n.get("/v1/snapshot?since=0").wantProblem(kindBadRequest, "since")
	if left, err := os.ReadDir(n.server.shelf().Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestSnapshotThatHasNoRoomIsRefusedAndTheNodeGoesOn(t *testing.T) {
	n := newNode(t, spooling(t))
	n.server.disk.Free = func(string) (int64, error) { return 1 << 20, nil }
	got := n.get("/v1/snapshot").wantProblem(kindFull, "--data")
	if got.header.Get("Content-Disposition") != "" {
		t.Error("a problem is named as a snapshot")
	}
	n.put("x", `{"v": 1}`)
}

func TestWhatACrashLeftOfASnapshotIsRemovedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	left := ""
	newNode(t, func(d *Deps) {
		d.Config.StoragePath = dir
		shelf := (&Server{deps: *d}).shelf()
		f, err := shelf.Make(0, func(w io.Writer) error { _, err := w.Write([]byte("half")); return err })
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		found, err := os.ReadDir(shelf.Dir)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		left = filepath.Join(shelf.Dir, found[0].Name())
	})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", left, err)
	}
}

// A client reads for longer than a request may take as a whole, on a server
// whose limits are short.
func TestSnapshotIsNotCutByTheLimitsOfARequest(t *testing.T) {
	n := newNode(t, spooling(t))
	n.fill(12)
	web := httptest.NewUnstartedServer(n.server.Handler())
	web.Config.ReadTimeout, web.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	web.Start()
	defer web.Close()
	resp, err := web.Client().Get(web.URL + "/v1/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	if _, err := io.CopyN(&got, resp.Body, 100); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second) // longer than the limits: this is what is tried
	if _, err := io.Copy(&got, resp.Body); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ReadSnapshotInfo(&got); err != nil {
		t.Error(err)
	}
}

func TestClientThatStopsReadingASnapshotHoldsNothingUpAndIsCutOff(t *testing.T) {
	n := newNode(t, spooling(t))
	n.fill(12)
	n.server.patience = 500 * time.Millisecond
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /v1/snapshot HTTP/1.1\r\nHost: n\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	// It has begun, and nothing of the store is held: others write and back up,
	// and the store closes at once.
	n.put("x", `{"v": 1}`)
	n.get("/v1/snapshot").want(200)
	done := make(chan error, 1)
	go func() { done <- n.store.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the store cannot be closed")
	}
	deadline := time.Now().Add(20 * time.Second)
	if err := c.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	for inFlight(t, n) > 1 { // the request that asks counts itself
		if time.Now().After(deadline) {
			t.Fatal("it is still being sent")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// inFlight is how many requests are being answered.
func inFlight(t *testing.T, n *node) int {
	t.Helper()
	for line := range strings.Lines(n.get("/metrics").body) {
		if value, found := strings.CutPrefix(line, "vesper_http_requests_in_flight "); found {
			count, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatal("the metric is not there")
	return 0
}
