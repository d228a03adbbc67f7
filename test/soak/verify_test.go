package soak

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// converged waits until all nodes are at rest with the same revision and
// digest, and returns how long that took.
func converged(t *testing.T, nodes []*node) time.Duration {
	t.Helper()
	started, why := time.Now(), error(nil)
	for time.Since(started) < patience {
		if why = differ(nodes); why == nil {
			return time.Since(started).Round(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, n := range nodes {
		log, _ := os.ReadFile(n.log)
		t.Logf("the log of node %s ends:\n%s", n.id, log[max(len(log)-4000, 0):])
	}
	t.Fatalf("no convergence within %v: %v", patience, why)
	return 0
}

// differ says how two nodes differ, or which one is not at rest.
func differ(nodes []*node) error {
	first, err := nodes[0].quiet()
	if err != nil {
		return err
	}
	for _, n := range nodes[1:] {
		s, err := n.quiet()
		if err != nil {
			return err
		}
		if !s.Revision.Equal(first.Revision) || s.Digest != first.Digest {
			return fmt.Errorf("node %s has revision %s, digest %s; node %s has %s, %s",
				nodes[0].id, first.Revision, first.Digest, n.id, s.Revision, s.Digest)
		}
	}
	return nil
}

// verifier compares what the nodes have with what the clients were told.
type verifier struct {
	t       *testing.T
	nodes   []*node
	clients []*writer

	acknowledged, unanswered, lost, diverged int
	refused                                  map[string]int
}

func (v *verifier) verify() {
	v.refused = map[string]int{}
	for _, c := range v.clients {
		v.unanswered += c.lost
		for _, w := range c.writes {
			if w.dot != "" {
				v.acknowledged++
			}
		}
		for why, n := range c.refused {
			v.refused[why] += n
			if strings.Contains(why, "branch") && !strings.Contains(why, "just started") {
				v.t.Errorf("writes were refused %d times though no branch was in danger: %s", n, why)
			}
		}
	}
	first := ""
	for i, n := range v.nodes {
		dump := v.node(n)
		if i == 0 {
			first = dump
		} else if dump != first {
			v.diverged++
			v.t.Errorf("nodes %s and %s differ in objects, conflicts or history", v.nodes[0].id, n.id)
		}
	}
}

// node checks one node and returns all that it can tell, for comparison.
func (v *verifier) node(n *node) string {
	v.logs(n)
	dots := v.feed(n)
	objects := v.objects(n)
	history := v.history(n)
	for _, c := range v.clients {
		for _, w := range c.writes {
			if w.dot == "" {
				continue
			}
			e, found := history[w.id][w.dot]
			if !dots[w.dot] || !found || e.Deleted != (w.value == "") || !strings.Contains(string(e.Added), `"`+w.value+`"`) && w.value != "" {
				v.lost++
				v.t.Errorf("node %s does not have the acknowledged write %+v: feed %v, history %+v", n.id, w, dots[w.dot], e)
			}
		}
		v.latest(n, c, objects)
	}
	text, err := json.Marshal([]any{objects, history, slices.Sorted(maps.Keys(dots))})
	if err != nil {
		v.t.Fatal(err)
	}
	return string(text)
}

// latest checks that each own object has the value last acknowledged, or that
// of a later attempt without an answer.
func (v *verifier) latest(n *node, c *writer, objects map[string]json.RawMessage) {
	for i := range ownObjects {
		id := fmt.Sprintf("own-%d-%02d", c.number, i)
		var o struct{ V string }
		if raw := objects[id]; raw != nil {
			if err := json.Unmarshal(raw, &o); err != nil {
				v.t.Errorf("node %s: %s is %s: %v", n.id, id, raw, err)
			}
		}
		if want := outcomes(c.writes, id); !want[o.V] {
			v.lost++
			v.t.Errorf("node %s: %s has the value %q, want one of %v", n.id, id, o.V, want)
		}
	}
}

// logs looks for what must never be in a log.
func (v *verifier) logs(n *node) {
	text, err := os.ReadFile(n.log)
	if err != nil {
		v.t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		for _, bad := range []string{`"level":"ERROR"`, "DATA RACE", "panic:", "fatal error:"} {
			if strings.Contains(line, bad) {
				v.t.Errorf("the log of node %s says: %s", n.id, line)
			}
		}
	}
}

// feed reads all changes and returns their dots; none may come twice.
func (v *verifier) feed(n *node) map[string]bool {
	dots, after := map[string]bool{}, uint64(0)
	for {
		var page struct {
			Changes []struct {
				Pos       uint64
				Changeset string
			}
			Last uint64
		}
		if err := n.get(fmt.Sprintf("/v1/changes?limit=1000&after=%d", after), &page); err != nil {
			v.t.Fatal(err)
		}
		if len(page.Changes) == 0 {
			return dots
		}
		for _, c := range page.Changes {
			if after++; c.Pos != after || dots[c.Changeset] {
				v.t.Errorf("node %s: changeset %s is at position %d of the feed, want %d; seen before: %v",
					n.id, c.Changeset, c.Pos, after, dots[c.Changeset])
			}
			dots[c.Changeset] = true
		}
	}
}

// objects reads all objects.
func (v *verifier) objects(n *node) map[string]json.RawMessage {
	all, next := map[string]json.RawMessage{}, "/v1/objects?limit=1000"
	for next != "" {
		var page struct {
			Objects []json.RawMessage
			Next    string
		}
		if err := n.get(next, &page); err != nil {
			v.t.Fatal(err)
		}
		for _, raw := range page.Objects {
			var o struct{ ID string }
			if err := json.Unmarshal(raw, &o); err != nil {
				v.t.Fatal(err)
			}
			all[o.ID] = raw
		}
		next = page.Next
	}
	return all
}

// past is what a changeset did to an object.
type past struct {
	Changeset      string
	Deleted        bool
	Added, Removed json.RawMessage
}

// history reads the history of every object that was written: by object and dot.
func (v *verifier) history(n *node) map[string]map[string]past {
	all := map[string]map[string]past{}
	for _, c := range v.clients {
		for _, w := range c.writes {
			if _, known := all[w.id]; !known && w.dot != "" {
				all[w.id] = v.historyOf(n, w.id)
			}
		}
	}
	return all
}

func (v *verifier) historyOf(n *node, id string) map[string]past {
	entries, next := map[string]past{}, "/v1/history/"+id+"?limit=1000"
	for next != "" {
		var page struct {
			History []past
			Next    string
		}
		if err := n.get(next, &page); err != nil {
			v.t.Error(err)
			return entries
		}
		for _, e := range page.History {
			entries[e.Changeset] = e
		}
		next = page.Next
	}
	return entries
}
