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

	"vesperdb.io/vesper/internal/nodetest"
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

// tags are the revisions of an own object that its client was told.
type tags struct {
	// stale is the revision before latest; latest is that after the last write,
	// "" while it is not known.
	stale, latest string
}

// writer is one client: it waits for each answer before it goes on.
type writer struct {
	t      *testing.T
	number int
	nodes  []*nodetest.Node
	chance *rand.Rand
	writes []write
	tags   map[string]*tags
	// refused counts answers by their problem, lost those that did not come,
	// conditions the writes that a stale condition rightly stopped.
	refused                 map[string]int
	lost, conditions, reads int
}

func newWriter(t *testing.T, number int, nodes []*nodetest.Node, chance *rand.Rand) *writer {
	return &writer{t: t, number: number, nodes: nodes, chance: chance, tags: map[string]*tags{}, refused: map[string]int{}}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if w.chance.IntN(4) == 0 {
			at := w.nodes[w.chance.IntN(len(w.nodes))]
			w.attempt(fmt.Sprintf("shared-%d", w.chance.IntN(sharedObjects)), at, n, http.MethodPatch)
		} else {
			w.own(n)
		}
		select {
		case <-time.After(below(w.chance, pace)):
		case <-ctx.Done():
		}
	}
}

// own writes an object that only this client writes, at only one node: plainly or on a condition
// that holds. Then it reads it back, or tries to write on a condition that does not hold.
func (w *writer) own(n int) {
	object := w.chance.IntN(ownObjects)
	id, at := fmt.Sprintf("own-%d-%02d", w.number, object), w.nodes[object%len(w.nodes)]
	method := [...]string{http.MethodPut, http.MethodPut, http.MethodPatch, http.MethodDelete}[w.chance.IntN(4)]
	known := w.known(id)
	if known.latest != "" && w.chance.IntN(3) == 0 {
		w.attempt(id, at, n, method, "If-Match", known.latest)
	} else {
		w.attempt(id, at, n, method)
	}
	switch w.chance.IntN(4) {
	case 0:
		w.readBack(id, at)
	case 1:
		w.stale(id, at)
	}
}

func (w *writer) known(id string) *tags {
	if w.tags[id] == nil {
		w.tags[id] = &tags{}
	}
	return w.tags[id]
}

// attempt sends one write and notes what came of it.
func (w *writer) attempt(id string, at *nodetest.Node, n int, method string, condition ...string) {
	a := write{id: id, node: at.ID, value: fmt.Sprintf("%d-%d", w.number, n)}
	body := fmt.Sprintf(`{"v":%q,"by%d":%d,"text":%q}`, a.value, w.number, n, strings.Repeat("x", w.chance.IntN(400)))
	if method == http.MethodDelete {
		a.value, body = "", ""
	}
	got, err := at.Do(method, "/v1/objects/"+id, body, condition...)
	known := w.known(id)
	switch {
	case err != nil:
		w.lost++
		*known = tags{}
	case got.Status == http.StatusOK || got.Status == http.StatusCreated || got.Status == http.StatusNoContent:
		if a.dot = got.Changeset; !strings.HasPrefix(a.dot, at.ID) {
			w.t.Errorf("%s %s at node %s was acknowledged as changeset %q: %s", method, id, at.ID, a.dot, got.Body)
		}
		known.stale, known.latest = known.latest, got.Header.Get("ETag")
	case got.Status == http.StatusNotFound && method == http.MethodDelete:
		a.void = true
		w.mayBeGone(id)
	case got.Status == http.StatusServiceUnavailable:
		a.void = true
		w.refused[reason(got.Body)]++
	default:
		w.t.Errorf("%s %s at node %s on condition %q: %d: %s", method, id, at.ID, condition, got.Status, got.Body)
	}
	w.writes = append(w.writes, a)
}

// stale writes on the condition that the object is as it was before the last write: it must not.
func (w *writer) stale(id string, at *nodetest.Node) {
	known := w.known(id)
	if known.stale == "" || known.latest == "" || known.stale == known.latest {
		return
	}
	got, err := at.Do(http.MethodPut, "/v1/objects/"+id, `{"v":"never"}`, "If-Match", known.stale)
	switch {
	case err != nil || got.Status == http.StatusServiceUnavailable:
	case got.Status == http.StatusPreconditionFailed || got.Status == http.StatusNotFound:
		w.conditions++
	default:
		w.t.Errorf("%s at node %s: a write on the stale condition %s was answered with %d: %s", id, at.ID, known.stale, got.Status, got.Body)
	}
}

// readBack reads an own object where it was written: the node must show what it acknowledged.
func (w *writer) readBack(id string, at *nodetest.Node) {
	got, err := at.Do(http.MethodGet, "/v1/objects/"+id, "")
	if err != nil || got.Status == http.StatusServiceUnavailable {
		return
	}
	var o struct{ V string }
	switch {
	case got.Status == http.StatusNotFound:
	case got.Status != http.StatusOK:
		w.t.Errorf("GET %s from node %s: %d: %s", id, at.ID, got.Status, got.Body)
		return
	case json.Unmarshal([]byte(got.Body), &o) != nil:
		w.t.Errorf("GET %s from node %s: %s", id, at.ID, got.Body)
		return
	}
	w.reads++
	if want := outcomes(w.writes, id); !want[o.V] {
		w.t.Errorf("node %s shows %q as the value of %s, which was acknowledged with one of %v", at.ID, o.V, id, want)
	}
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

// sums add up what the clients saw.
type sums struct {
	acknowledged, unanswered, conditions, reads int
	refused                                     map[string]int
}

func total(t *testing.T, clients []*writer) sums {
	t.Helper()
	s := sums{refused: map[string]int{}}
	for _, c := range clients {
		s.unanswered, s.conditions, s.reads = s.unanswered+c.lost, s.conditions+c.conditions, s.reads+c.reads
		for _, w := range c.writes {
			if w.dot != "" {
				s.acknowledged++
			}
		}
		for why, n := range c.refused {
			s.refused[why] += n
			if strings.Contains(why, "branch") && !strings.Contains(why, "just started") {
				t.Errorf("writes were refused %d times though no branch was in danger: %s", n, why)
			}
		}
	}
	return s
}

// histories are the clients' writes by the client's number.
func histories(clients []*writer) map[int][]write {
	all := map[int][]write{}
	for _, c := range clients {
		all[c.number] = c.writes
	}
	return all
}
