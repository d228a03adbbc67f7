package nodetest

import (
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/stomp/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(Built(m)) }

// recorder takes the complaints of a node in place of its test.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors int
}

// Errorf counts.
func (r *recorder) Errorf(string, ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors++
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errors
}

func TestNodeKeepsItsDataOverKillsAndConverges(t *testing.T) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	var nodes []*Node
	for _, id := range []string{"0A", "0B"} {
		n := New(t, Options{ID: id, Hosts: []string{b.Addr()}, Channel: "NODETEST"})
		n.Start()
		n.Start() // one that runs already goes on
		nodes = append(nodes, n)
	}
	Converged(t, nodes...)
	a, err := nodes[0].Do(http.MethodPut, "/v1/objects/x", `{"v":1}`, "If-None-Match", "*")
	if err != nil || a.Status != http.StatusCreated || !strings.HasPrefix(a.Changeset, "0A") || a.Header.Get("ETag") == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	Converged(t, nodes...)
	nodes[1].Kill()
	if _, err := nodes[1].Status(); err == nil {
		t.Error("a killed node answers")
	}
	nodes[1].Start()
	Converged(t, nodes...)
	var o struct{ V int }
	if err := nodes[1].Get("/v1/objects/x", &o); err != nil || o.V != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	if err := nodes[1].Get("/v1/objects/y", &o); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an object that is not there: %v", err)
	}
	for _, n := range nodes {
		if !n.End(syscall.SIGTERM) || n.End(syscall.SIGTERM) {
			t.Errorf("node %s did not end once", n.ID)
		}
		if err := n.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestNodeThatEndsByItselfIsComplainedOf(t *testing.T) {
	r := &recorder{TB: t}
	n := New(r, Options{ID: "0A", Hosts: []string{"127.0.0.1:1"}, Channel: "NODETEST", More: "nonsense: true\n"})
	n.Start()
	for end := time.Now().Add(Patience); r.count() == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if r.count() == 0 {
		t.Error("a node that cannot start went unnoticed")
	}
	if err := n.Check(); err == nil {
		t.Error("a store that is not there is sound")
	}
}
