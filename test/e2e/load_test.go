package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"vesperdb.io/vesper/hack/devcluster"
	"vesperdb.io/vesper/internal/branch"
)

const (
	// Two plain writers and two that wait for another node write ownObjects each
	// of their own, and sharedObjects together.
	plainWriters, waitingWriters = 2, 2
	ownObjects, sharedObjects    = 20, 10
	// pace is the longest pause between two writes of a writer.
	pace = 150 * time.Millisecond
	// attemptTime bounds one write, lost connections included.
	attemptTime = 15 * time.Second
)

// acknowledged is a write that a client was told to be kept.
type acknowledged struct {
	id, value string
	dot       branch.Dot
	// alone says that the client asked for another node to have it too, and was
	// told that none had said so in time.
	alone bool
}

// load is clients that write to a cluster for as long as it is looked after, and
// remember what they were told.
type load struct {
	w       *world
	writers []*writer
	stop    context.CancelFunc
	done    sync.WaitGroup

	// changing is held for reading by plain writes, so that whoever holds it for
	// writing knows that none is under way.
	changing sync.RWMutex
	mu       sync.Mutex
	nodes    []string
	spared   string
}

// writer is one client: it waits for each answer before it goes on.
type writer struct {
	load   *load
	number int
	waits  bool
	chance *rand.Rand

	kept                []acknowledged
	refused, unanswered int
}

// startLoad lets clients write until the test is over, or finish is called.
func startLoad(w *world, seed uint64) *load {
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &load{w: w, stop: cancel, nodes: w.nodes()}
	for n := range plainWriters + waitingWriters {
		c := &writer{load: l, number: n, waits: n >= plainWriters, chance: rand.New(rand.NewPCG(seed, uint64(n)))}
		l.writers = append(l.writers, c)
		l.done.Go(func() { c.run(ctx) })
	}
	w.t.Cleanup(l.finish)
	return l
}

// finish ends the writing; what was under way is waited for.
func (l *load) finish() {
	l.stop()
	l.done.Wait()
}

// use has the clients write to these nodes from now on.
func (l *load) use(nodes []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = slices.Clone(nodes)
}

// spare has plain writers write to other nodes than this one, whose volume will be
// lost: what no other node has is lost with it, and only who waits for another
// node is told whether one has it. When it returns, no plain write is under way.
func (l *load) spare(node string) {
	l.changing.Lock()
	defer l.changing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spared = node
}

// target picks a node, or "" for the Service in front of them all.
func (c *writer) target() string {
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	spared := !c.waits && c.load.spared != ""
	if c.chance.IntN(4) == 0 && !spared {
		return ""
	}
	for {
		node := c.load.nodes[c.chance.IntN(len(c.load.nodes))]
		if !spared || node != c.load.spared {
			return node
		}
	}
}

func (c *writer) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("own-%d-%02d", c.number, c.chance.IntN(ownObjects))
		if c.chance.IntN(4) == 0 {
			id = fmt.Sprintf("shared-%d", c.chance.IntN(sharedObjects))
		}
		c.write(context.WithoutCancel(ctx), id, fmt.Sprintf("%d-%d", c.number, n))
		select {
		case <-time.After(time.Duration(c.chance.Int64N(int64(pace)))):
		case <-ctx.Done():
		}
	}
}

func (c *writer) write(ctx context.Context, id, value string) {
	if !c.waits {
		c.load.changing.RLock()
		defer c.load.changing.RUnlock()
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	path := objectPath(id)
	if c.waits {
		path += "?wait=1&timeout=3s"
	}
	a, err := c.send(ctx, path, map[string]any{"v": value})
	var answered *devcluster.HTTPError
	switch {
	case err == nil:
		a.id, a.value = id, value
		c.kept = append(c.kept, a)
	case errors.As(err, &answered):
		c.refused++
	default:
		c.unanswered++
	}
}

// send writes at some node and returns what its answer promises.
func (c *writer) send(ctx context.Context, path string, v any) (acknowledged, error) {
	ask, name := kube.Service, "shop"
	if node := c.target(); node != "" {
		ask, name = kube.Node, pod(node)
	}
	data, err := ask(ctx, c.load.w.namespace, name, http.MethodPut, path, v)
	if err != nil {
		return acknowledged{}, err
	}
	var answer struct {
		Changeset  string
		Replicated *struct{ Enough bool }
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return acknowledged{}, fmt.Errorf("reading the answer of %s to a write: %w", name, err)
	}
	dot, err := branch.ParseDot(answer.Changeset)
	return acknowledged{dot: dot, alone: c.waits && (answer.Replicated == nil || !answer.Replicated.Enough)}, err
}

// all are the acknowledged writes of all clients. The load must have finished.
func (l *load) all() (all []acknowledged) {
	for _, c := range l.writers {
		all = append(all, c.kept...)
	}
	return all
}

// tell logs what the clients saw, and fails the test if they saw too little to
// prove anything. The load must have finished.
func (l *load) tell(t *testing.T) {
	t.Helper()
	for _, c := range l.writers {
		alone := 0
		for _, a := range c.kept {
			if a.alone {
				alone++
			}
		}
		t.Logf("writer %d: %d writes acknowledged, %d of them by one node alone though another was asked for; %d refused, %d not answered",
			c.number, len(c.kept), alone, c.refused, c.unanswered)
		if len(c.kept) < 100 {
			t.Errorf("writer %d had only %d writes acknowledged", c.number, len(c.kept))
		}
	}
}
