package soak

import (
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/nodetest"
)

// newVolume returns a node whose volume cannot be told from a copy of it, as a
// block device that was cloned or rolled back: peers and the broker alone keep
// the copy from writing. Files that were copied are noticed before (see
// the tests of cmd/node).
func newVolume(t *testing.T, id, broker string) *nodetest.Node {
	t.Helper()
	return nodetest.New(t, nodetest.Options{ID: id, Hosts: []string{broker}, Channel: "SOAK", More: "volumeIdentity: none\n"})
}

// trio starts three nodes on a broker and waits until they are at rest.
func trio(t *testing.T, broker *activemqtest.Broker) []*nodetest.Node {
	t.Helper()
	var nodes []*nodetest.Node
	for _, id := range []string{"0A", "0B", "0C"} {
		n := newVolume(t, id, broker.Addr())
		n.Start()
		nodes = append(nodes, n)
	}
	nodetest.Converged(t, nodes...)
	return nodes
}

// put writes an object; it returns the changeset, "" when there was none.
func put(n *nodetest.Node, id, body string) string {
	a, err := n.Do(http.MethodPut, "/v1/objects/"+id, body)
	if err != nil || a.Status >= http.StatusMultipleChoices {
		return ""
	}
	return a.Changeset
}

func mustPut(t *testing.T, n *nodetest.Node, id, body string) {
	t.Helper()
	if put(n, id, body) == "" {
		t.Fatalf("node %s did not take %s", n.ID, id)
	}
}

// within polls until what holds.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		took := time.Since(started)
		if holds() {
			return took.Round(time.Millisecond)
		}
		if took > limit {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// copyStore puts a copy of a stopped node's store into another directory.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestOldBackupNeverIssuesADotAgain: the clients of a node whose volume was
// restored do not wait until it has found out.
func TestOldBackupNeverIssuesADotAgain(t *testing.T) {
	nodes := trio(t, activemqtest.Start(t, activemqtest.Options{}))
	a, backup := nodes[0], t.TempDir()
	mustPut(t, a, "before", `{"x":1}`)
	nodetest.Converged(t, nodes...)
	a.Kill()
	copyStore(t, a.Dir, backup)
	a.Start()
	within(t, nodetest.Patience, "a new write", func() bool { return put(a, "after", `{"x":1}`) != "" })
	nodetest.Converged(t, nodes...)
	a.Kill()
	copyStore(t, backup, a.Dir)
	a.Start()
	within(t, nodetest.Patience, "the lost write is back and writes are refused", func() bool {
		if dot := put(a, "again", `{"x":2}`); dot != "" {
			t.Fatalf("the old backup issued %s", dot)
		}
		s, err := a.Status()
		return err == nil && s.Reason == nodestatus.ReasonBranchAhead && s.Objects == 2
	})
}

// TestSecondCopyOfANodeNeverWritesAtTheSameTime: a copied store is no new one,
// so it is the broker that tells the two apart. It must not let the second take
// the first one's place.
func TestSecondCopyOfANodeNeverWritesAtTheSameTime(t *testing.T) {
	broker := activemqtest.Start(t, activemqtest.Options{LinkStealing: os.Getenv("SOAK_LINK_STEALING") != ""})
	nodes := trio(t, broker)
	a, twin := nodes[0], newVolume(t, "0A", broker.Addr())
	mustPut(t, a, "first", `{"x":1}`)
	nodetest.Converged(t, nodes...)
	a.Kill()
	copyStore(t, a.Dir, twin.Dir)
	a.Start()
	nodetest.Converged(t, nodes...)
	twin.Start()
	// The first is idle until the copy had time to look around: nothing that
	// peers hold tells the copy that it is one.
	within(t, nodetest.Patience, "the copy answers", func() bool { _, err := twin.Status(); return err == nil })
	time.Sleep(12 * time.Second)
	first, second := map[string]bool{}, map[string]bool{}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		first[put(a, "first", `{"t":"`+time.Now().String()+`"}`)] = true
		second[put(twin, "second", `{"t":"`+time.Now().String()+`"}`)] = true
	}
	delete(first, "")
	delete(second, "")
	t.Logf("in 30 s the first took %d writes, the copy %d", len(first), len(second))
	for dot := range second {
		if first[dot] {
			t.Errorf("both issued %s", dot)
		}
	}
	for _, n := range []*nodetest.Node{a, twin} {
		s, err := n.Status()
		t.Logf("writable %v, %s: %s; refused: %s; reconnects %d; %v", s.Writable, s.Reason, s.Message, s.WritesRefused, s.Links[0].Reconnects, err)
	}
}

// TestReplacementOfANodeThatHangsGetsItsPlaceAtTheBroker: without a good-bye the
// broker keeps the client id until it misses heart-beats, which must not be
// covered up by what it goes on sending to the dead one.
func TestReplacementOfANodeThatHangsGetsItsPlaceAtTheBroker(t *testing.T) {
	broker := activemqtest.Start(t, activemqtest.Options{})
	nodes := trio(t, broker)
	a, next := nodes[0], newVolume(t, "0A", broker.Addr())
	mustPut(t, a, "first", `{"x":1}`)
	nodetest.Converged(t, nodes...)
	a.Kill()
	copyStore(t, a.Dir, next.Dir)
	a.Start()
	nodetest.Converged(t, nodes...)
	a.Signal(syscall.SIGSTOP)
	next.Start()
	took := within(t, nodetest.Patience, "the replacement is ready and writes", func() bool {
		s, err := next.Status()
		return err == nil && s.Ready && put(next, "second", `{"x":1}`) != ""
	})
	t.Logf("The replacement was ready after %v", took)
	nodes[0] = next
	nodetest.Converged(t, nodes...)
}
