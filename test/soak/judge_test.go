package soak

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// sound is what two nodes tell after three acknowledged writes of one client, a deletion, and one
// that was not answered and not done.
func sound() (map[int][]write, []evidence) {
	writes := []write{
		{id: "own-0-00", node: "0A", value: "0-1", dot: "0A00001"},
		{id: "own-0-01", node: "0B", value: "0-2", dot: "0B00001"},
		{id: "own-0-00", node: "0A", value: "0-3", dot: "0A00002"},
		{id: "own-0-01", node: "0B", value: "", dot: "0B00002"},
		{id: "own-0-00", node: "0A", value: "0-5"},
		{id: "own-0-02", node: "0A", value: "0-6", void: true},
	}
	var nodes []evidence
	for i, name := range []string{"0A", "0B"} {
		e := evidence{
			node: name, revision: "0A00002,0B00002", digest: "d",
			objects: map[string]json.RawMessage{"own-0-00": json.RawMessage(`{"v":"0-3"}`)},
			history: map[string]map[string]past{"own-0-00": {}, "own-0-01": {}},
			log:     `{"level":"WARN","msg":"Lost the broker"}` + "\n",
		}
		for j, dot := range [][]string{{"0A00001", "0B00001", "0A00002", "0B00002"}, {"0B00001", "0A00001", "0A00002", "0B00002"}}[i] {
			e.feed = append(e.feed, feedEntry{Pos: uint64(j) + 1, Changeset: dot})
		}
		for _, w := range writes[:4] {
			p := past{Changeset: w.dot, Deleted: w.value == ""}
			if w.value != "" {
				p.Added = json.RawMessage(fmt.Sprintf(`{"v":%q}`, w.value))
			}
			e.history[w.id][w.dot] = p
		}
		nodes = append(nodes, e)
	}
	return map[int][]write{0: writes}, nodes
}

func TestVerifierAcceptsWhatIsSound(t *testing.T) {
	if problems := judge(sound()); len(problems) > 0 {
		t.Errorf("problems with sound nodes: %q", problems)
	}
}

func TestVerifierAcceptsAnUnansweredWriteThatHappened(t *testing.T) {
	clients, nodes := sound()
	for i := range nodes {
		nodes[i].objects["own-0-00"] = json.RawMessage(`{"v":"0-5"}`)
	}
	if problems := judge(clients, nodes); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}

// TestVerifierFindsEachWayToBeWrong is the verifier's own proof: a soak that it passes is worth no
// more than what it would not have passed.
func TestVerifierFindsEachWayToBeWrong(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(clients map[int][]write, nodes []evidence)
		want string
	}{
		"an acknowledged write is lost on one node": {func(_ map[int][]write, n []evidence) {
			n[1].feed = n[1].feed[:3]
			delete(n[1].history["own-0-01"], "0B00002")
		}, "does not have the acknowledged write"},
		"an acknowledged write is lost everywhere": {func(c map[int][]write, _ []evidence) {
			c[0] = append(c[0], write{id: "own-0-03", node: "0A", value: "0-9", dot: "0A00003"})
		}, "does not have the acknowledged write"},
		"a write is in the feed and not in the history": {func(_ map[int][]write, n []evidence) {
			delete(n[0].history["own-0-00"], "0A00001")
			delete(n[1].history["own-0-00"], "0A00001")
		}, "does not have the acknowledged write"},
		"a write has another content": {func(_ map[int][]write, n []evidence) {
			for i := range n {
				n[i].history["own-0-00"]["0A00001"] = past{Changeset: "0A00001", Added: json.RawMessage(`{"v":"0-7"}`)}
			}
		}, "does not have the acknowledged write"},
		"a deletion did not delete": {func(_ map[int][]write, n []evidence) {
			for i := range n {
				n[i].history["own-0-01"]["0B00002"] = past{Changeset: "0B00002", Added: json.RawMessage(`{}`)}
			}
		}, "does not have the acknowledged write"},
		"a dot is in the feed twice": {func(_ map[int][]write, n []evidence) {
			n[0].feed = append(n[0].feed, feedEntry{Pos: 5, Changeset: "0A00001"})
		}, "seen before: true"},
		"the feed leaves out a position": {func(_ map[int][]write, n []evidence) { n[0].feed[3].Pos = 5 }, "at position 5 of the feed, want 4"},
		"digests differ":                 {func(_ map[int][]write, n []evidence) { n[1].digest = "e" }, "digest d; node 0B"},
		"revisions differ":               {func(_ map[int][]write, n []evidence) { n[1].revision = "0A00002" }, "revision 0A00002,0B00002"},
		"an object differs": {func(_ map[int][]write, n []evidence) {
			n[1].objects["shared-1"] = json.RawMessage(`{}`)
		}, "differ in objects"},
		"one has a changeset more": {func(_ map[int][]write, n []evidence) {
			n[1].feed = append(n[1].feed, feedEntry{Pos: 5, Changeset: "0C00001"})
		}, "differ in changesets"},
		"history differs": {func(_ map[int][]write, n []evidence) {
			n[1].history["own-0-00"]["0C00001"] = past{Changeset: "0C00001"}
		}, "differ in history"},
		"an old value is back": {func(_ map[int][]write, n []evidence) {
			for i := range n {
				n[i].objects["own-0-00"] = json.RawMessage(`{"v":"0-1"}`)
			}
		}, `has the value "0-1"`},
		"a deleted object is back": {func(_ map[int][]write, n []evidence) {
			for i := range n {
				n[i].objects["own-0-01"] = json.RawMessage(`{"v":"0-2"}`)
			}
		}, `own-0-01 has the value "0-2"`},
		"a write that was refused happened": {func(_ map[int][]write, n []evidence) {
			for i := range n {
				n[i].objects["own-0-02"] = json.RawMessage(`{"v":"0-6"}`)
			}
		}, `own-0-02 has the value "0-6"`},
		"an object is gone": {func(_ map[int][]write, n []evidence) {
			delete(n[0].objects, "own-0-00")
			delete(n[1].objects, "own-0-00")
		}, `own-0-00 has the value ""`},
		"a node panicked":    {func(_ map[int][]write, n []evidence) { n[1].log += "panic: no\n" }, "panic: no"},
		"a race was found":   {func(_ map[int][]write, n []evidence) { n[1].log += "WARNING: DATA RACE\n" }, "DATA RACE"},
		"an error is logged": {func(_ map[int][]write, n []evidence) { n[0].log += `{"level":"ERROR","msg":"x"}` }, "ERROR"},
	} {
		clients, nodes := sound()
		c.harm(clients, nodes)
		if problems := judge(clients, nodes); !strings.Contains(strings.Join(problems, "\n"), c.want) {
			t.Errorf("%s: not found: %q", name, problems)
		}
	}
}
