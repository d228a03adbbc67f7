package stomplink_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/rabbitmqtest"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/stomplink"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbitmqtest.Shared(activemqtest.Shared(m))) }

// anyBroker is the embedded broker, a real ActiveMQ or a real RabbitMQ.
type anyBroker interface {
	Addr() string
	// credentials are nil where the broker asks for none.
	credentials() stomp.CredentialSource
	// kill ends the broker or cuts it off without a good-bye; back brings it up
	// again with what it had acknowledged.
	kill()
	back(t *testing.T)
}

type embedded struct{ *broker.Broker }

func (e embedded) credentials() stomp.CredentialSource { return nil }
func (e embedded) kill()                               { e.Suspend() }
func (e embedded) back(t *testing.T) {
	t.Helper()
	if err := e.Resume(); err != nil {
		t.Fatal(err)
	}
}

type activeMQ struct{ *activemqtest.Broker }

func (a activeMQ) credentials() stomp.CredentialSource { return nil }
func (a activeMQ) kill()                               { a.Kill() }
func (a activeMQ) back(t *testing.T) {
	t.Helper()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
}

// rabbitMQ is shared by all tests: its start takes long, and channels keep them apart.
type rabbitMQ struct {
	*rabbitmqtest.Broker
	t *testing.T
}

func (r rabbitMQ) credentials() stomp.CredentialSource {
	return stomp.StaticCredentials(rabbitmqtest.Login, rabbitmqtest.Passcode)
}

func (r rabbitMQ) kill() {
	if err := r.Kill(); err != nil {
		r.t.Error(err)
	}
}

func (r rabbitMQ) back(t *testing.T) {
	t.Helper()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
}

func startEmbedded(t *testing.T, o broker.Options) embedded {
	t.Helper()
	b, err := broker.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return embedded{b}
}

// onEachBroker runs a test side by side on the embedded broker, on a real ActiveMQ and on a real RabbitMQ.
func onEachBroker(t *testing.T, test func(t *testing.T, b anyBroker)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, startEmbedded(t, broker.Options{}))
	})
	t.Run("activemq", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("short: starts a Java process")
		}
		test(t, activeMQ{activemqtest.Start(t, activemqtest.Options{})})
	})
	t.Run("rabbitmq", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("short: starts a large process")
		}
		test(t, rabbitMQ{rabbitmqtest.Get(t), t})
	})
}

func quiet() *slog.Logger {
	if os.Getenv("VESPER_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// node is a real store, a Replicator and a STOMP transport.
type node struct {
	t       *testing.T
	id      branch.ID
	dir     string
	channel string
	// options of the transport; start fills in what they all have.
	options stomplink.Options
	// logs gets what the node logs, unless it is nil.
	logs io.Writer
	// wrap, when set, stands between the store and the Replicator.
	wrap func(*store.Store) replication.Store

	store *store.Store
	repl  *replication.Replicator
	stop  func()

	mu    sync.Mutex
	acked []string
}

func newNode(t *testing.T, b anyBroker, id branch.ID) *node {
	n := &node{t: t, id: id, dir: t.TempDir(), channel: channelOf(t), options: stomplink.Options{
		Hosts: []string{b.Addr()}, Branch: id, HeartBeat: time.Second, Credentials: b.credentials(),
		Backoff: stomp.Backoff{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond},
	}}
	t.Cleanup(func() {
		if n.stop != nil {
			n.stop()
		}
	})
	return n
}

// channelOf is the test's own channel, since tests share a broker.
func channelOf(t *testing.T) string { return fmt.Sprintf("VESPER_%x", md5.Sum([]byte(t.Name()))) }

func (n *node) start() *node {
	n.t.Helper()
	log := quiet().With("node", string(n.id))
	if n.logs != nil {
		log = slog.New(slog.NewTextHandler(n.logs, nil))
	}
	s, err := store.Open(context.Background(), store.Options{Dir: n.dir, Branch: n.id, Logger: log})
	if err != nil {
		n.t.Fatal(err)
	}
	n.options.Logger = log
	transport, err := stomplink.New(n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	var facade replication.Store = s
	if n.wrap != nil {
		facade = n.wrap(s)
	}
	n.repl, err = replication.New(facade, []replication.LinkConfig{{
		Name: "main", Channel: n.channel, Hosts: n.options.Hosts, Transport: transport,
	}}, replication.Options{
		BeaconInterval: time.Second, DiscoveryWindow: 1500 * time.Millisecond, Grace: 500 * time.Millisecond,
		RequestTimeout: 3 * time.Second, Logger: log, SnapshotDir: filepath.Join(n.dir, "snapshots"),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.store = s
	n.run()
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.repl.Run(ctx) }()
	n.stop = func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("node %s: %v", n.id, err)
		}
		if err := n.store.Close(); err != nil {
			n.t.Errorf("node %s: %v", n.id, err)
		}
		n.stop = nil
	}
}

// tryWriteText adds one object with a text in it.
func (n *node) tryWriteText(text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := fmt.Sprintf("%s-%d", n.id, len(n.acked))
	doc, err := pjson.Parse([]byte(fmt.Sprintf(`[{"id": %q, "name": "object", "text": %q}]`, id, text)), pjson.Options{})
	if err != nil {
		return err
	}
	_, err = n.store.Update(context.Background(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) })
	if err == nil {
		n.acked = append(n.acked, id)
	}
	return err
}

// tryWrite adds one object and remembers it when the write is acknowledged.
func (n *node) tryWrite() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := fmt.Sprintf("%s-%d", n.id, len(n.acked))
	doc, err := pjson.Parse([]byte(fmt.Sprintf(`[{"id": %q, "name": "object", "n": %d}]`, id, len(n.acked))), pjson.Options{})
	if err != nil {
		return err
	}
	_, err = n.store.Update(context.Background(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) })
	if err == nil {
		n.acked = append(n.acked, id)
	}
	return err
}

func (n *node) write(count int) {
	n.t.Helper()
	for range count {
		if err := n.tryWrite(); err != nil {
			n.t.Fatalf("node %s: %v", n.id, err)
		}
	}
}

// lacks returns the acknowledged objects of all nodes that n does not show.
func (n *node) lacks(all ...*node) (missing []string) {
	n.t.Helper()
	err := n.store.View(context.Background(), func(r *store.Reader) error {
		for _, m := range all {
			for _, id := range m.acked {
				if _, ok, err := r.Object(id); err != nil || !ok {
					missing = append(missing, id)
				}
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return missing
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool, nodes ...*node) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, n := range nodes {
				s := n.repl.Status()
				t.Logf("%s: revision %s ready %v %s %s outbox %d pending %d, links %+v", n.id, s.Revision, s.Ready, s.Reason, s.Message,
					s.Outbox.Changesets, s.Pending.Changesets, s.Links)
			}
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}

func ready(nodes ...*node) bool {
	for _, n := range nodes {
		if !n.repl.Status().Ready {
			return false
		}
	}
	return true
}

// level reports whether all stores hold the same.
func level(nodes ...*node) bool {
	r, d := nodes[0].store.Snapshot()
	for _, n := range nodes[1:] {
		revision, digest := n.store.Snapshot()
		if !revision.Equal(r) || digest != d {
			return false
		}
	}
	return true
}

// mustConverge waits until all nodes are ready and level, and checks that no
// acknowledged write is missing anywhere.
func mustConverge(t *testing.T, nodes ...*node) {
	t.Helper()
	eventually(t, 60*time.Second, "all ready and level", func() bool { return ready(nodes...) && level(nodes...) }, nodes...)
	for _, n := range nodes {
		if lost := n.lacks(nodes...); len(lost) > 0 {
			t.Errorf("node %s lacks %d acknowledged objects, such as %s", n.id, len(lost), lost[0])
		}
	}
}

// trio starts three nodes and waits until they are ready.
func trio(t *testing.T, b anyBroker) []*node {
	t.Helper()
	var nodes []*node
	for _, id := range []branch.ID{"0A", "0B", "0C"} {
		nodes = append(nodes, newNode(t, b, id).start())
	}
	eventually(t, 60*time.Second, "three nodes ready", func() bool { return ready(nodes...) }, nodes...)
	return nodes
}
