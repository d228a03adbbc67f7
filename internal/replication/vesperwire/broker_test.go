package vesperwire

import (
	"bufio"
	"context"
	"crypto/md5"
	_ "embed"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/stomplink"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/store"
)

// onBrokers runs a test on the embedded broker and on a real ActiveMQ.
func onBrokers(t *testing.T, test func(t *testing.T, addr, channel string)) {
	channel := fmt.Sprintf("ORIGINAL_%x", md5.Sum([]byte(t.Name())))
	t.Run("embedded", func(t *testing.T) {
		b, err := broker.Start(broker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		test(t, b.Addr(), channel)
	})
	t.Run("activemq", func(t *testing.T) {
		if testing.Short() {
			t.Skip("short: starts a Java process")
		}
		test(t, activemqtest.Get(t).Addr(), channel)
	})
}

// running is a node of ours with its replication.
type running struct {
	*node
	repl *replication.Replicator
}

func start(t *testing.T, addr, channel string, id, trunk branch.ID) *running {
	t.Helper()
	n := &running{node: &node{t: t, id: id, dir: t.TempDir()}}
	n.open(trunk)
	transport, err := stomplink.New(stomplink.Options{
		Hosts: []string{addr}, Branch: id, HeartBeat: time.Second, Logger: quiet(),
		Backoff: stomp.Backoff{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.repl, err = replication.New(n.store, []replication.LinkConfig{{
		Name: "main", Channel: channel, Hosts: []string{addr}, Transport: transport, Wire: n.wire, Relay: true,
	}}, replication.Options{
		BeaconInterval: 300 * time.Millisecond, DiscoveryWindow: time.Second, Grace: 300 * time.Millisecond,
		RequestTimeout: 3 * time.Second, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.repl.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if err := n.store.Close(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	})
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func ready(t *testing.T, nodes ...*running) {
	t.Helper()
	eventually(t, "the nodes to be ready", func() bool {
		return !slices.ContainsFunc(nodes, func(n *running) bool { return !n.repl.Status().Ready })
	})
}

// wired is an original behind the frames that the specification says it sends.
type wired struct {
	*originalNode
	mu      sync.Mutex
	conn    net.Conn
	channel string
	// heard are the frames that came, as they came.
	heard []string
}

// connect connects an original to a broker, byte for byte as it does itself.
func connect(t *testing.T, o *originalNode, addr, channel string) *wired {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	w := &wired{originalNode: o, conn: conn, channel: channel}
	r := bufio.NewReader(conn)
	w.send(t, "CONNECT\nclient-id:%s\n\n\x00", o.id)
	if f, err := r.ReadString(0); err != nil || !strings.Contains(f, "CONNECTED") {
		t.Fatalf("the broker answers %q, %v", f, err)
	}
	w.send(t, "SUBSCRIBE\nack:client\nactivemq.subscriptionName:%s-%s\ndestination:/topic/%s\nselector:clientid <> '%s'\n\n\x00",
		o.id, channel, channel, o.id)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := r.ReadString(0)
			if err != nil {
				return
			}
			w.take(t, strings.TrimLeft(f, "\n"))
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return w
}

func (w *wired) send(t *testing.T, format string, args ...any) {
	if _, err := fmt.Fprintf(w.conn, format, args...); err != nil {
		t.Errorf("original %s: %v", w.id, err)
	}
}

// take handles a frame and acknowledges it if the node lives on.
func (w *wired) take(t *testing.T, f string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	head, body, _ := strings.Cut(strings.TrimSuffix(f, "\x00"), "\n\n")
	if !strings.HasPrefix(head, "MESSAGE") {
		return
	}
	w.heard = append(w.heard, f)
	w.receive(header(head, "clientid"), []byte(body))
	if w.dead == nil {
		w.send(t, "ACK\nmessage-id:%s\n\n\x00", unescape(header(head, "message-id")))
	}
	w.flush(t)
}

func header(head, name string) string {
	for line := range strings.Lines(head) {
		if value, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), name+":"); ok {
			return value
		}
	}
	return ""
}

func unescape(s string) string { return strings.ReplaceAll(s, `\c`, ":") }

// flush publishes what the node has committed.
func (w *wired) flush(t *testing.T) {
	for _, body := range w.out {
		w.send(t, "SEND\ndestination:/topic/%s\npersistent:true\nclientid:%s\n\n%s\x00", w.channel, w.id, body)
	}
	w.out = nil
}

// checkHeaders looks at the headers of what came from ours. A broker may count
// the body's bytes by itself; ActiveMQ does so only if the publisher did.
func (w *wired) checkHeaders(t *testing.T, counted bool) {
	t.Helper()
	for _, f := range w.heard {
		head, _, _ := strings.Cut(f, "\n\n")
		id := header(head, "clientid")
		if id != "0C" && id != "0D" {
			continue
		}
		if strings.Contains(head, "content-type") || header(head, "persistent") != "true" || counted && strings.Contains(head, "content-length") {
			t.Errorf("a message of %s has the headers %q", id, head)
		}
	}
}

// commit runs a local transaction of the original.
func (w *wired) commit(t *testing.T, added, removed []row) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.write(added, removed); err != nil {
		t.Fatal(err)
	}
	w.flush(t)
}

// at returns the revision, the number of merges and why it died.
func (w *wired) at() (string, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current, w.merges, w.dead
}

func TestOriginalsAndOursShareAChannelOfARealBroker(t *testing.T) {
	onBrokers(t, func(t *testing.T, addr, channel string) {
		a, b := connect(t, newOriginal("0A", "0A"), addr, channel), connect(t, newOriginal("0B", "0A"), addr, channel)
		x, y := start(t, addr, channel, "0C", "0A"), start(t, addr, channel, "0D", "0A")
		ready(t, x, y)
		expect := func(revision string) {
			t.Helper()
			eventually(t, revision, func() bool {
				one, _, dead := a.at()
				two, _, deadToo := b.at()
				if dead != nil || deadToo != nil {
					t.Fatalf("an original died: %v, %v", dead, deadToo)
				}
				return one == revision && two == revision && x.store.Revision().String() == revision && y.store.Revision().String() == revision
			})
		}
		a.commit(t, []row{lit("x", "name", "one")}, nil)
		expect("0A00001")
		b.commit(t, []row{lit("y", "name", "one")}, nil)
		expect("0A00001,0B00001")
		x.set(`{"id":"x","name":"two","list":["c","a","é"],"deep":{"k":1.5}}`)
		expect("0A00001,0B00001,0C00001")
		y.set(`{"id":"x","list":["a","c"],"third":0.3333333333333333}`)
		expect("0A00001,0B00001,0C00001,0D00001")
		b.commit(t, []row{lit("y", "name", "two")}, []row{lit("y", "name", "one")})
		expect("0A00001,0B00002,0C00001,0D00001")
		x.set(`{"id":"y","name":"three"}`)
		expect("0A00001,0B00002,0C00002,0D00001")
		if x.store.Digest() != y.store.Digest() {
			t.Error("ours differ")
		}
		for _, w := range []*wired{a, b} {
			w.mu.Lock()
			want := pretty(x.statements())
			if got := pretty(w.statements()); got != want || w.merges > 0 {
				t.Errorf("original %s has merged %d times and holds\n%sand ours\n%s", w.id, w.merges, got, want)
			}
			w.checkHeaders(t, strings.HasSuffix(t.Name(), "activemq"))
			w.mu.Unlock()
		}
	})
}

//go:embed testdata/publish.py
var publisher string

// python has an independent client publish bodies, as an original would.
func python(t *testing.T, addr, channel, id string, bodies []string) {
	t.Helper()
	const python = "/usr/bin/python3"
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, python, "-c", "import stomp").Run(); err != nil {
		t.Skipf("needs an independent STOMP client: apt-get install python3-stomp (%v)", err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, python, "-c", publisher, host, port, channel, id)
	c.Stdin = strings.NewReader(strings.Join(bodies, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// An independent client publishes the recorded bytes, some twice, beside what
// kills an original, to two nodes of ours and, later, a third.
func TestRecordedMessagesFromAnIndependentClientMakeTheRecordedState(t *testing.T) {
	onBrokers(t, func(t *testing.T, addr, channel string) {
		x, y := start(t, addr, channel, "BB", "AA"), start(t, addr, channel, "CC", "AA")
		ready(t, x, y)
		var bodies []string
		var last recorded
		for _, r := range recordings(t) {
			if r.Group == "string lists" {
				for _, w := range r.Wire {
					bodies, last = append(bodies, w), r
				}
			}
		}
		mixed := []string{`no JSON`, `{"origin":"ZZ","timestamp":1,"statements":[],"baserevision":"0","revision":"ZZ00001"}`, `{"origin":"AA"}`}
		for i, b := range bodies {
			mixed = append(mixed, b)
			if i%3 == 0 {
				mixed = append(mixed, b, bodies[0])
			}
		}
		slices.Reverse(mixed[5:9]) // early ones too
		python(t, addr, channel, "AA", mixed)
		eventually(t, last.VersionAfter, func() bool {
			return x.store.Revision().String() == last.VersionAfter && y.store.Revision().String() == last.VersionAfter
		})
		x.set(`{"id":"ours","p":1}`)
		z := start(t, addr, channel, "DD", "AA") // was not there: from its peers
		eventually(t, "the new node", func() bool { return z.store.Digest() == x.store.Digest() && y.store.Digest() == x.store.Digest() })
		x.set(`{"id":"ours","p":null}`)
		if _, err := x.update(func(tx *store.Tx) error { _, err := tx.Delete("ours"); return err }); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all three", func() bool { return z.store.Digest() == x.store.Digest() && y.store.Digest() == x.store.Digest() })
		for _, n := range []*running{x, y, z} {
			if got, want := pretty(n.visible()), pretty(last.primary(t)); got != want {
				t.Errorf("%s has\n%s, recorded\n%s", n.id, got, want)
			}
			if n.wire.Waiting() {
				t.Errorf("%s keeps messages back", n.id)
			}
		}
		if kept := len(x.repl.Quarantine()); kept != 3 {
			t.Errorf("%d messages are in quarantine: %v", kept, x.repl.Quarantine())
		}
	})
}
