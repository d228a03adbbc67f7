package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	writers = 4
	// ownObjects are written by one client at one node, sharedObjects by all
	// clients at all nodes.
	ownObjects, sharedObjects = 40, 10
	// pace is the longest pause between two writes of a client.
	pace = 10 * time.Millisecond
)

// write is one attempt to write.
type write struct {
	id, node string
	// value marks what was written, "" a deletion.
	value string
	// dot is the changeset's name; "" when it is not known whether there is one.
	dot string
	// void says that the node answered that it has not written.
	void bool
}

// writer is one client: it waits for each answer before it writes again.
type writer struct {
	t      *testing.T
	number int
	nodes  []*node
	chance *rand.Rand
	writes []write
	// refused counts answers by their problem, lost those that did not come.
	refused map[string]int
	lost    int
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if w.chance.IntN(4) == 0 {
			w.attempt(fmt.Sprintf("shared-%d", w.chance.IntN(sharedObjects)), w.nodes[w.chance.IntN(len(w.nodes))], n, http.MethodPatch)
		} else {
			object := w.chance.IntN(ownObjects)
			method := [...]string{http.MethodPut, http.MethodPut, http.MethodPatch, http.MethodDelete}[w.chance.IntN(4)]
			w.attempt(fmt.Sprintf("own-%d-%02d", w.number, object), w.nodes[object%len(w.nodes)], n, method)
		}
		select {
		case <-time.After(below(w.chance, pace)):
		case <-ctx.Done():
		}
	}
}

// attempt sends one write and notes what came of it.
func (w *writer) attempt(id string, at *node, n int, method string) {
	a := write{id: id, node: at.id, value: fmt.Sprintf("%d-%d", w.number, n)}
	body := fmt.Sprintf(`{"v":%q,"by%d":%d,"text":%q}`, a.value, w.number, n, strings.Repeat("x", w.chance.IntN(400)))
	if method == http.MethodDelete {
		a.value, body = "", ""
	}
	got, err := at.do(method, "/v1/objects/"+id, body)
	switch {
	case err != nil:
		w.lost++
	case got.status == http.StatusOK || got.status == http.StatusCreated || got.status == http.StatusNoContent:
		if a.dot = got.changeset; !strings.HasPrefix(a.dot, at.id) {
			w.t.Errorf("%s %s at node %s was acknowledged as changeset %q: %s", method, id, at.id, a.dot, got.body)
		}
	case got.status == http.StatusNotFound && method == http.MethodDelete:
		a.void = true
		w.mayBeGone(id)
	case got.status == http.StatusServiceUnavailable:
		a.void = true
		w.refused[reason(got.body)]++
	default:
		w.t.Errorf("%s %s at node %s: %d: %s", method, id, at.id, got.status, got.body)
	}
	w.writes = append(w.writes, a)
}

func reason(problem string) string {
	var p struct{ Detail string }
	if json.Unmarshal([]byte(problem), &p) != nil || p.Detail == "" {
		return problem
	}
	return p.Detail
}

// mayBeGone complains when a node says that an object does not exist that it
// must still have: all writes of own objects go to one node.
func (w *writer) mayBeGone(id string) {
	if values := outcomes(w.writes, id); !values[""] {
		w.t.Errorf("%s does not exist at its own node; it must have one of the values %v", id, values)
	}
}

// outcomes are the values that an own object may have after these writes: that
// of the last one that was acknowledged, and those of later attempts of which
// nobody knows.
func outcomes(writes []write, id string) map[string]bool {
	values := map[string]bool{"": true}
	for _, w := range writes {
		if w.id != id || w.void {
			continue
		}
		if w.dot != "" {
			clear(values)
		}
		values[w.value] = true
	}
	return values
}
