package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/branch"
)

// past is what a changeset did to an object.
type past struct {
	Changeset string
	Added     json.RawMessage
}

// evidence is what a node has.
type evidence struct {
	node string
	dots map[string]bool
	// history is by object and dot.
	history map[string]map[string]past
}

// judge compares what nodes have with what clients were told, and the nodes with
// each other. Of branches whose volume was taken away, only that counts which
// another node was known to have.
func judge(writes []acknowledged, nodes []evidence, lost []branch.ID) (problems []string) {
	by := map[branch.Dot]acknowledged{}
	for _, w := range writes {
		if other, twice := by[w.dot]; twice {
			problems = append(problems, fmt.Sprintf("two writes were acknowledged as %s: %+v and %+v", w.dot, other, w))
		}
		by[w.dot] = w
	}
	for _, n := range nodes {
		for _, w := range writes {
			if w.alone && slices.Contains(lost, w.dot.Branch) {
				continue
			}
			h, found := n.history[w.id][w.dot.String()]
			if !found || !n.dots[w.dot.String()] || !strings.Contains(string(h.Added), `"`+w.value+`"`) {
				problems = append(problems, fmt.Sprintf("%s does not have the acknowledged write %+v: in its log %v, in the history %s", n.node, w, n.dots[w.dot.String()], h.Added))
			}
		}
		for dot := range n.dots {
			if !nodes[0].dots[dot] {
				problems = append(problems, fmt.Sprintf("%s has changeset %s, which %s has not", n.node, dot, nodes[0].node))
			}
		}
		if len(n.dots) != len(nodes[0].dots) {
			problems = append(problems, fmt.Sprintf("%s has %d changesets, %s %d", n.node, len(n.dots), nodes[0].node, len(nodes[0].dots)))
		}
	}
	return problems
}

// gather asks a node for its log and the history of the objects that were written.
func (w *world) gather(node string, writes []acknowledged) evidence {
	w.t.Helper()
	e := evidence{node: node, dots: map[string]bool{}, history: map[string]map[string]past{}}
	for after := uint64(0); ; {
		var page struct {
			Changes []struct {
				Pos       uint64
				Changeset string
			}
		}
		w.get(node, fmt.Sprintf("/v1/changes?limit=1000&after=%d", after), &page)
		if len(page.Changes) == 0 {
			break
		}
		for _, c := range page.Changes {
			e.dots[c.Changeset], after = true, c.Pos
		}
	}
	for _, a := range writes {
		if e.history[a.id] == nil {
			e.history[a.id] = w.history(node, a.id)
		}
	}
	return e
}

func (w *world) history(node, id string) map[string]past {
	w.t.Helper()
	entries, next := map[string]past{}, "/v1/history/"+url.PathEscape(id)+"?limit=1000"
	for next != "" {
		var page struct {
			History []past
			Next    string
		}
		w.get(node, next, &page)
		for _, h := range page.History {
			entries[h.Changeset] = h
		}
		next = page.Next
	}
	return entries
}

func (w *world) get(node, path string, into any) {
	w.t.Helper()
	data, err := kube.Node(w.t.Context(), w.namespace, pod(node), http.MethodGet, path, nil)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		w.t.Fatalf("asking %s for %s: %v", node, path, err)
	}
}

// keptAll ends the load and checks that every node has all that was acknowledged.
func (w *world) keptAll(l *load, lost ...branch.ID) {
	w.t.Helper()
	l.finish()
	l.tell(w.t)
	w.converged()
	var nodes []evidence
	for _, node := range w.nodes() {
		nodes = append(nodes, w.gather(node, l.all()))
	}
	problems := judge(l.all(), nodes, lost)
	for _, p := range problems[:min(len(problems), 20)] {
		w.t.Error(p)
	}
	if len(problems) > 20 {
		w.t.Errorf("and %d problems more", len(problems)-20)
	}
	w.t.Logf("%d acknowledged writes are on each of %d nodes", len(l.all()), len(nodes))
}

func TestTheJudgeFindsEachWayToLoseAWrite(t *testing.T) {
	t.Parallel()
	sound := func() ([]acknowledged, []evidence) {
		dot := func(id branch.ID, seq uint64) branch.Dot { return branch.Dot{Branch: id, Seq: seq} }
		writes := []acknowledged{{id: "a", value: "0-1", dot: dot("0A", 1)}, {id: "b", value: "0-2", dot: dot("0B", 1)}, {id: "a", value: "2-1", dot: dot("0C", 1), alone: true}}
		var nodes []evidence
		for _, node := range []string{"x", "y"} {
			e := evidence{node: node, dots: map[string]bool{}, history: map[string]map[string]past{"a": {}, "b": {}}}
			for _, w := range writes {
				e.dots[w.dot.String()] = true
				e.history[w.id][w.dot.String()] = past{Changeset: w.dot.String(), Added: json.RawMessage(`[{"v":"` + w.value + `"}]`)}
			}
			nodes = append(nodes, e)
		}
		return writes, nodes
	}
	writes, nodes := sound()
	if problems := judge(writes, nodes, nil); len(problems) > 0 {
		t.Fatalf("problems with sound nodes: %q", problems)
	}
	gone := func(id string, dot string) func([]acknowledged, []evidence) {
		return func(_ []acknowledged, nodes []evidence) {
			for _, n := range nodes {
				delete(n.dots, dot)
				delete(n.history[id], dot)
			}
		}
	}
	for name, harm := range map[string]func([]acknowledged, []evidence){
		"lost everywhere":                 gone("a", "0A00001"),
		"lost with the volume, but known": func(w []acknowledged, n []evidence) { w[2].alone = false; gone("a", "0C00001")(w, n) },
		"in the log alone":                func(_ []acknowledged, n []evidence) { delete(n[1].history["b"], "0B00001") },
		"in the history alone":            func(_ []acknowledged, n []evidence) { delete(n[1].dots, "0B00001") },
		"another value": func(_ []acknowledged, n []evidence) {
			n[1].history["b"]["0B00001"] = past{Added: json.RawMessage(`"0-9"`)}
		},
		"one has more":              func(_ []acknowledged, n []evidence) { n[1].dots["0B00002"] = true },
		"a dot was given out twice": func(w []acknowledged, _ []evidence) { w[1].dot = w[0].dot },
	} {
		writes, nodes := sound()
		harm(writes, nodes)
		if problems := judge(writes, nodes, []branch.ID{"0C"}); len(problems) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	writes, nodes = sound()
	gone("a", "0C00001")(writes, nodes)
	if problems := judge(writes, nodes, []branch.ID{"0C"}); len(problems) > 0 {
		t.Errorf("what nobody was told to be on another node may be lost with the volume: %q", problems)
	}
}
