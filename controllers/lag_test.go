package controllers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/api/v1alpha1"
)

// laggingTransport delivers all that a watch says late: what an operator reads
// from its caches is old, also what it has just written itself.
type laggingTransport struct {
	next http.RoundTripper
	lag  time.Duration
}

func (l laggingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if watch := r.URL.Query().Get("watch"); err == nil && (watch == "true" || watch == "1") {
		response.Body = newLateBody(response.Body, l.lag)
	}
	return response, err
}

// lateBody gives each piece of a body on once it has waited.
type lateBody struct {
	io.ReadCloser
	pieces chan piece
	rest   []byte
	done   chan struct{}
	once   sync.Once
}

type piece struct {
	due  time.Time
	text []byte
	err  error
}

func newLateBody(body io.ReadCloser, lag time.Duration) *lateBody {
	late := &lateBody{ReadCloser: body, pieces: make(chan piece, 1<<16), done: make(chan struct{})}
	go func() {
		for {
			buffer := make([]byte, 32<<10)
			n, err := body.Read(buffer)
			select {
			case late.pieces <- piece{time.Now().Add(lag), buffer[:n], err}:
			case <-late.done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return late
}

func (l *lateBody) Read(into []byte) (int, error) {
	if len(l.rest) == 0 {
		select {
		case p := <-l.pieces:
			select {
			case <-time.After(time.Until(p.due)):
			case <-l.done:
				return 0, io.ErrClosedPipe
			}
			if p.err != nil && len(p.text) == 0 {
				return 0, p.err
			}
			l.rest = p.text
		case <-l.done:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(into, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *lateBody) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.ReadCloser.Close()
}

// idBook looks all the time at which node and which volume has an id, and
// complains when one is ever another's.
type idBook struct {
	nodes, volumes map[string]types.UID
}

// keepBook keeps a book until the test ends.
func (c *cluster) keepBook(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done, book := make(chan struct{}), idBook{map[string]types.UID{}, map[string]types.UID{}}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := book.look(ctx, c); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func (b idBook) look(ctx context.Context, c *cluster) error {
	nodes, claims := &v1alpha1.VesperNodeList{}, &corev1.PersistentVolumeClaimList{}
	if err := c.List(ctx, nodes); err != nil {
		return err
	}
	if err := c.List(ctx, claims); err != nil {
		return err
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if first, known := b.nodes[n.Spec.BranchID]; known && first != n.UID {
			return fmt.Errorf("branch id %s was given to a second node, %s", n.Spec.BranchID, n.Name)
		}
		b.nodes[n.Spec.BranchID] = n.UID
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		id := claim.Annotations[v1alpha1.AnnotationBranchID]
		if first, known := b.volumes[id]; known && first != claim.UID {
			return fmt.Errorf("branch id %s was given to a second volume, %s", id, claim.Name)
		}
		b.volumes[id] = claim.UID
	}
	return nil
}

// TestACacheThatLagsIssuesNoIDTwice runs a cluster's life with an operator that
// sees everything late, its own writes too: read-your-writes is not the cache's
// doing. In the end it writes nothing any more.
func TestACacheThatLagsIssuesNoIDTwice(t *testing.T) {
	for _, lag := range []time.Duration{150 * time.Millisecond, time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.keepBook(t)
			op := &operator{lag: lag}
			c.operateAs(t, op, newKubelet(t, c))
			c.readyBroker(t, "mq")
			c.makeCluster(t, "shop", 3)
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
			c.scale(t, "shop", 2)
			c.wantNodes(t, "shop-core-0a", "shop-core-0b")
			c.scale(t, "shop", 4)
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0d", "shop-core-0e")
			c.loseVolume(t, "shop-core-0b")
			c.wantNodes(t, "shop-core-0a", "shop-core-0d", "shop-core-0e", "shop-core-0f")
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0d", "shop-core-0e", "shop-core-0f")
			if l := c.ledger(t, "shop"); l.FirstBranchID != "0A" || l.LastBranchID != "0F" || l.Retired != 2 || len(l.Assigned) != 4 {
				t.Errorf("ledger is %+v", l)
			}
			if writes := op.quietFor(max(3*time.Second, 3*lag)); len(writes) > 0 {
				t.Errorf("at rest the operator wrote %v", writes)
			}
		})
	}
}

// TestIDsAreRecordedBeforeAnythingThatCouldUseThem reads the order of an
// operator's writes.
func TestIDsAreRecordedBeforeAnythingThatCouldUseThem(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	kinds := map[string]int{}
	for i, write := range op.WritesSince(0) {
		for _, kind := range []string{"/vesperclusters/shop/status", "/vespernodes/shop-core-0a", "/persistentvolumeclaims/data-shop-core-0a", "/statefulsets/shop-core-0a"} {
			if _, known := kinds[kind]; !known && strings.HasSuffix(write, kind) {
				kinds[kind] = i
			}
		}
	}
	if kinds["/vesperclusters/shop/status"] >= kinds["/vespernodes/shop-core-0a"] ||
		kinds["/vespernodes/shop-core-0a"] >= kinds["/persistentvolumeclaims/data-shop-core-0a"] ||
		kinds["/persistentvolumeclaims/data-shop-core-0a"] >= kinds["/statefulsets/shop-core-0a"] || len(kinds) != 4 {
		t.Errorf("the order is %v of %v, want ledger, node, claim, process", kinds, op.WritesSince(0))
	}
}
