package replication

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
)

func TestMain(m *testing.M) {
	warmUp()
	goleak.VerifyTestMain(m)
}

// warmUp makes the codec's pools, which all tests share, outside any bubble of
// virtual time.
func warmUp() {
	if body, err := changeset.Pack(nil); err == nil {
		_, _ = changeset.Unpack(body, changeset.DefaultLimits())
	}
}

// quiet is the logger of tests; VESPER_TEST_LOG=1 shows it.
func quiet() *slog.Logger {
	if os.Getenv("VESPER_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// testNode is a fake store with a Replicator over a fake broker.
type testNode struct {
	t      *testing.T
	store  *fakeStore
	broker *fakeBroker
	o      Options
	// more are the brokers of further links; with any, the node is a relay.
	more  []*fakeBroker
	alias string
	repl  *Replicator
	stop  func()
}

func newTestNode(t *testing.T, b *fakeBroker, id branch.ID, o Options) *testNode {
	o.Logger = quiet().With("node", string(id))
	n := &testNode{t: t, store: newFakeStore(id), broker: b, o: o}
	t.Cleanup(func() { stopAll(n) })
	return n
}

// start runs a new Replicator, as a new process does.
func (n *testNode) start() *testNode {
	n.t.Helper()
	var links []LinkConfig
	for i, b := range append([]*fakeBroker{n.broker}, n.more...) {
		name := "main"
		if i > 0 {
			name = fmt.Sprintf("link-%d", i)
		}
		links = append(links, LinkConfig{
			Name: name, Channel: "CH", Hosts: []string{"fake:1"}, Relay: len(n.more) > 0,
			Transport: &fakeTransport{b: b, me: n.store.me, alias: n.alias},
		})
	}
	repl, err := New(n.store, links, n.o)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- repl.Run(ctx) }()
	n.repl = repl
	n.stop = func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("node %s ended with: %v", n.store.me, err)
		}
		n.stop = nil
	}
	return n
}

// crash ends the process without letting it write anything more.
func (n *testNode) crash() {
	n.store.setDead(true)
	n.stop()
	n.store.setDead(false)
}

// write commits a changeset and fails the test when it is refused.
func (n *testNode) write(count int) {
	n.t.Helper()
	for i := range count {
		if _, err := n.store.write(fmt.Sprintf("%s-%d", n.store.me, i)); err != nil {
			n.t.Fatalf("node %s: %v", n.store.me, err)
		}
	}
}

// eventually polls, on whatever clock runs, until ok or the deadline.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}

func (n *testNode) status() nodestatus.Status { return n.repl.Status() }

func (n *testNode) ready() bool { return n.status().Ready }

// converged reports whether all stores hold the same and nothing waits.
func converged(nodes ...*testNode) bool {
	r, d := nodes[0].store.Snapshot()
	for _, n := range nodes {
		revision, digest := n.store.Snapshot()
		outbox, _ := n.store.Outbox("main")
		pending, _ := n.store.Pending()
		if !revision.Equal(r) || digest != d || outbox > 0 || pending > 0 {
			return false
		}
	}
	return true
}

func describe(nodes ...*testNode) (out string) {
	for _, n := range nodes {
		outbox, _ := n.store.Outbox("main")
		pending, _ := n.store.Pending()
		s := n.status()
		out += fmt.Sprintf("\n%s: revision %s outbox %d pending %d ready %v %s %s", n.store.me, s.Revision, outbox, pending, s.Ready, s.Reason, s.Message)
	}
	return out
}

func startAll(nodes ...*testNode) {
	for _, n := range nodes {
		n.start()
	}
}

func stopAll(nodes ...*testNode) {
	for _, n := range nodes {
		if n.stop != nil {
			n.stop()
		}
	}
}
