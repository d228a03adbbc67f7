package soak

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/nodetest"
)

// past is what a changeset did to an object.
type past struct {
	Changeset      string
	Deleted        bool
	Added, Removed json.RawMessage
}

// feedEntry is one line of a node's change feed.
type feedEntry struct {
	Pos       uint64
	Changeset string
}

// evidence is all that a node can tell of itself.
type evidence struct {
	node, revision, digest string
	feed                   []feedEntry
	objects                map[string]json.RawMessage
	// history is by object and dot.
	history map[string]map[string]past
	log     string
}

// judge compares what the nodes have with what the clients were told, and the nodes with each
// other; it returns what is wrong. The clients' writes are by the client's number.
func judge(clients map[int][]write, nodes []evidence) (problems []string) {
	for _, n := range nodes {
		dots, wrong := n.dots()
		problems = append(problems, wrong...)
		problems = append(problems, n.badLines()...)
		for _, number := range slices.Sorted(maps.Keys(clients)) {
			problems = append(problems, n.lost(clients[number], dots)...)
			problems = append(problems, n.outdated(number, clients[number])...)
		}
		problems = append(problems, nodes[0].differsFrom(n)...)
	}
	return problems
}

// dots are those of the feed; none may come twice, and no position may be left out.
func (e evidence) dots() (dots map[string]bool, problems []string) {
	dots = map[string]bool{}
	for i, c := range e.feed {
		if c.Pos != uint64(i)+1 || dots[c.Changeset] {
			problems = append(problems, fmt.Sprintf("node %s: changeset %s is at position %d of the feed, want %d; seen before: %v",
				e.node, c.Changeset, c.Pos, i+1, dots[c.Changeset]))
		}
		dots[c.Changeset] = true
	}
	return dots, problems
}

// badLines are those that must never be in a log.
func (e evidence) badLines() (problems []string) {
	for line := range strings.Lines(e.log) {
		for _, bad := range []string{`"level":"ERROR"`, "DATA RACE", "panic:", "fatal error:"} {
			if strings.Contains(line, bad) {
				problems = append(problems, fmt.Sprintf("the log of node %s says: %s", e.node, line))
			}
		}
	}
	return problems
}

// lost are the acknowledged writes that the node does not have as they were written.
func (e evidence) lost(writes []write, dots map[string]bool) (problems []string) {
	for _, w := range writes {
		if w.dot == "" {
			continue
		}
		h, found := e.history[w.id][w.dot]
		if !dots[w.dot] || !found || h.Deleted != (w.value == "") || !strings.Contains(string(h.Added), `"`+w.value+`"`) && w.value != "" {
			problems = append(problems, fmt.Sprintf("node %s does not have the acknowledged write %+v: feed %v, history %+v", e.node, w, dots[w.dot], h))
		}
	}
	return problems
}

// outdated are the own objects of a client that have neither the value last acknowledged nor that
// of a later attempt without an answer.
func (e evidence) outdated(number int, writes []write) (problems []string) {
	for i := range ownObjects {
		id := fmt.Sprintf("own-%d-%02d", number, i)
		var o struct{ V string }
		if raw := e.objects[id]; raw != nil {
			if err := json.Unmarshal(raw, &o); err != nil {
				problems = append(problems, fmt.Sprintf("node %s: %s is %s: %v", e.node, id, raw, err))
			}
		}
		if want := outcomes(writes, id); !want[o.V] {
			problems = append(problems, fmt.Sprintf("node %s: %s has the value %q, want one of %v", e.node, id, o.V, want))
		}
	}
	return problems
}

func (e evidence) differsFrom(n evidence) (problems []string) {
	if e.revision != n.revision || e.digest != n.digest {
		problems = append(problems, fmt.Sprintf("node %s has revision %s, digest %s; node %s has %s, %s", e.node, e.revision, e.digest, n.node, n.revision, n.digest))
	}
	for what, pair := range map[string][2]any{
		"objects": {e.objects, n.objects}, "history": {e.history, n.history}, "changesets": {e.all(), n.all()},
	} {
		if text(pair[0]) != text(pair[1]) {
			problems = append(problems, fmt.Sprintf("nodes %s and %s differ in %s", e.node, n.node, what))
		}
	}
	return problems
}

// all are the dots of the feed, sorted: nodes come by them in different orders.
func (e evidence) all() []string {
	dots, _ := e.dots()
	return slices.Sorted(maps.Keys(dots))
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// gather asks every node for all it has.
func gather(t *testing.T, nodes []*nodetest.Node, clients []*writer) (all []evidence) {
	t.Helper()
	for _, n := range nodes {
		s, err := n.Status()
		if err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(n.LogFile)
		if err != nil {
			t.Fatal(err)
		}
		e := evidence{
			node: n.ID, revision: s.Revision.String(), digest: s.Digest, log: string(log),
			feed: feed(t, n), objects: objects(t, n), history: map[string]map[string]past{},
		}
		for _, c := range clients {
			for _, w := range c.writes {
				if e.history[w.id] == nil && w.dot != "" {
					e.history[w.id] = history(t, n, w.id)
				}
			}
		}
		all = append(all, e)
	}
	return all
}

// feed reads all changes.
func feed(t *testing.T, n *nodetest.Node) (all []feedEntry) {
	t.Helper()
	for {
		var page struct{ Changes []feedEntry }
		after := uint64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Pos
		}
		if err := n.Get(fmt.Sprintf("/v1/changes?limit=1000&after=%d", after), &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Changes) == 0 {
			return all
		}
		all = append(all, page.Changes...)
	}
}

// objects reads all objects.
func objects(t *testing.T, n *nodetest.Node) map[string]json.RawMessage {
	t.Helper()
	all, next := map[string]json.RawMessage{}, "/v1/objects?limit=1000"
	for next != "" {
		var page struct {
			Objects []json.RawMessage
			Next    string
		}
		if err := n.Get(next, &page); err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.Objects {
			var o struct{ ID string }
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			all[o.ID] = raw
		}
		next = page.Next
	}
	return all
}

// history reads what changesets did to an object, by dot.
func history(t *testing.T, n *nodetest.Node, id string) map[string]past {
	t.Helper()
	entries, next := map[string]past{}, "/v1/history/"+id+"?limit=1000"
	for next != "" {
		var page struct {
			History []past
			Next    string
		}
		if err := n.Get(next, &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.History {
			entries[e.Changeset] = e
		}
		next = page.Next
	}
	return entries
}
