package vesperwire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/statement/conformance"
	"vesperdb.io/vesper/internal/statement/original"
	"vesperdb.io/vesper/internal/store"
)

// recordedCodec writes ids as the recordings have them.
var recordedCodec = legacywire.Codec{ModelURI: "test:", Prefix: statement.ShortAnonymousPrefix}

// recorded is one operation of changesets.jsonl.
type recorded struct {
	Group, Op, Method, Error string
	Argument                 json.RawMessage
	VersionBefore            string   `json:"version_before"`
	VersionAfter             string   `json:"version_after"`
	PrimaryAfter             [][]any  `json:"primary_after"`
	Wire                     []string `json:"-"`
	RawWire                  any      `json:"wire"`
}

func recordings(t *testing.T) []recorded {
	t.Helper()
	var out []recorded
	for _, line := range conformance.Lines(t, "changesets.jsonl") {
		var r recorded
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if list, ok := r.RawWire.([]any); ok {
			for _, w := range list {
				r.Wire = append(r.Wire, fmt.Sprint(w))
			}
		}
		out = append(out, r)
	}
	return out
}

// primary returns what the recording says is in the store, without history and
// with lists instead of list records.
func (r recorded) primary(t *testing.T) []statement.Statement {
	t.Helper()
	list, err := conformance.Statements(r.PrimaryAfter)
	if err != nil {
		t.Fatal(err)
	}
	return original.Fold(slices.DeleteFunc(list, func(s statement.Statement) bool { return strings.HasPrefix(s.Scope, "context:") }))
}

func message(body string) replication.Message {
	m, err := legacywire.Parse([]byte(body))
	if err != nil {
		return replication.Message{Body: []byte(body)}
	}
	return replication.Message{From: m.Origin, Body: []byte(body)}
}

// visible is what the node shows, where the original would have it without the
// scopes that it keeps in its history only.
func (n *node) visible() []statement.Statement {
	list := n.statements()
	for i := range list {
		if strings.HasPrefix(list[i].Scope, "context:") {
			list[i].Scope = ""
		}
	}
	return original.Fold(list)
}

func TestRecordedMessagesMakeTheRecordedState(t *testing.T) {
	nodes := map[string]*node{}
	ran := 0
	for _, r := range recordings(t) {
		if strings.HasPrefix(r.Group, "conflict") || r.Group == "default ids" || strings.HasPrefix(r.Group, "two nodes") {
			continue // two histories; below
		}
		n := nodes[r.Group]
		if n == nil {
			n = newNode(t, "ZZ", "AA")
			nodes[r.Group] = n
		}
		for _, w := range r.Wire {
			n.receive(message(w))
			ran++
		}
		n.sound()
		if len(r.Wire) == 0 || r.Group == "pending" {
			continue
		}
		if got := n.store.Revision().String(); got != r.VersionAfter {
			t.Errorf("%s/%s: at %s, recorded %s", r.Group, r.Op, got, r.VersionAfter)
		}
		if got, want := n.visible(), r.primary(t); pretty(got) != pretty(want) {
			t.Errorf("%s/%s: have\n%s, recorded\n%s", r.Group, r.Op, pretty(got), pretty(want))
		}
	}
	if ran < 40 {
		t.Errorf("only %d messages were recorded", ran)
	}
}

func TestRecordedMergesAndConflictsConverge(t *testing.T) {
	groups := map[string][]string{}
	for _, r := range recordings(t) {
		if strings.HasPrefix(r.Group, "conflict") || strings.HasPrefix(r.Group, "two nodes") {
			groups[r.Group] = append(groups[r.Group], r.Wire...)
		}
	}
	if len(groups) != 4 {
		t.Fatalf("%d groups", len(groups))
	}
	for name, bodies := range groups {
		var digests []store.Digest
		for order := range 3 {
			n := newNode(t, "ZZ", "AA")
			for i := range bodies {
				n.receive(message(bodies[(i*[]int{1, len(bodies) - 1, 1}[order]+order)%len(bodies)]))
			}
			n.sound()
			digests = append(digests, n.store.Digest())
			if count := len(n.log()); count != len(bodies) {
				t.Errorf("%s: %d changesets of %d messages", name, count, len(bodies))
			}
		}
		if digests[0] != digests[1] || digests[0] != digests[2] {
			t.Errorf("%s: the state depends on the order of arrival", name)
		}
	}
}

// otherwise says where a write of ours is told in other statements than the
// original's, to the same effect.
var otherwise = map[string]string{
	"string lists/update: one item changed": "the original says again that there is a list",
	"string lists/update: shorter":          "the original says again that there is a list",
	"string lists/update: to scalar":        "the original leaves the list's record behind",
	"string lists/update: scalar to list":   "the original had left part of the list's record behind",
	"string lists/update: to empty list":    "the original leaves the list's record behind",
	"string lists/replace: with list":       "the original had left the list's record behind",
	"string lists/add: more items":          "the original says again that there is a list",
	"string lists/remove property by null":  "the original leaves the reference to the list's record behind",
	"string lists/update list of refs":      "the original says again that there is a list",
	"lists/remove object with list":         "the original leaves the list's record behind",
	"embedded/remove object with nested":    "the original leaves the list's record behind",
}

// unsaid are operations of which the original publishes something though
// nothing changes, or which it does not do as documented.
var unsaid = map[string]string{
	"basic/add same statement again": "nothing changes",
	"string lists/update: same list": "nothing changes",
	"string lists/update: reordered": "the original does not reorder",
}

func TestOurWritesAreTheRecordedMessages(t *testing.T) {
	published := map[string][]string{}
	exact, told := 0, map[string]bool{}
	for _, r := range recordings(t) {
		before := slices.Clone(published[r.Group])
		published[r.Group] = append(published[r.Group], r.Wire...)
		if len(r.Wire) != 1 || strings.Contains(r.Op, "merge") {
			continue
		}
		name := r.Group + "/" + r.Op
		if unsaid[name] != "" {
			told[name] = true
			continue
		}
		t.Run(name, func(t *testing.T) {
			want, err := legacywire.Parse([]byte(r.Wire[0]))
			if err != nil {
				t.Fatal(err)
			}
			if !want.Seen().Equal(nil) {
				// Both nodes of the recording had the same time; a changeset of ours
				// is later than those that its author had seen.
				want.Timestamp = strings.Replace(want.Timestamp, "1300000001.25", "1300000001.250001", 1)
			}
			got, n := r.replay(t, want, before)
			if bytes.Equal(got, sorted(want).Encode()) {
				exact++
				if otherwise[name] != "" {
					t.Errorf("it is told as the original does, though the table says: %s", otherwise[name])
				}
			} else if told[name] = true; otherwise[name] == "" {
				t.Errorf("published\n%s\nrecorded\n%s", got, sorted(want).Encode())
			}
			if have, want := n.visible(), r.primary(t); pretty(have) != pretty(want) {
				t.Errorf("have\n%s, recorded\n%s", pretty(have), pretty(want))
			}
		})
	}
	for name := range otherwise {
		if !told[name] {
			t.Errorf("the table names %s, which is no recorded operation", name)
		}
	}
	if exact < 40 {
		t.Errorf("only %d of the recorded messages are published byte for byte", exact)
	}
}

// sorted brings the data of a recorded message, which the original writes in
// the order of its hash tables, into the order in which ours are written.
func sorted(m legacywire.Message) legacywire.Message {
	var parts [3][]legacywire.Row
	for _, r := range m.Rows {
		switch {
		case strings.HasPrefix(r[4], "context:add:"):
			parts[1] = append(parts[1], r)
		case strings.HasPrefix(r[4], "context:del:"):
			parts[2] = append(parts[2], r)
		default:
			parts[0] = append(parts[0], r)
		}
	}
	for _, p := range parts[1:] {
		slices.SortFunc(p, func(a, b legacywire.Row) int { return slices.Compare(a[:], b[:]) })
	}
	m.Rows = slices.Concat(parts[:]...)
	return m
}

// replay runs a recorded operation on a node that has what the original had,
// and returns what it publishes.
func (r recorded) replay(t *testing.T, want legacywire.Message, before []string) ([]byte, *node) {
	t.Helper()
	had, err := branch.ParseRevision(r.VersionBefore)
	if err != nil {
		t.Fatal(err)
	}
	clock, err := legacywire.ClockOf(want.Timestamp)
	if err != nil {
		t.Fatal(err)
	}
	trunk := branch.ID(want.Revision[:2])
	n := &node{t: t, id: want.Origin, dir: t.TempDir()}
	form := NewForm(trunk, recordedCodec)
	n.store, err = store.Open(t.Context(), store.Options{
		Dir: n.dir, Branch: n.id, Trunk: trunk, NoSync: true, Logger: quiet(), Shape: form.Shape,
		Now: func() time.Time { return clock.Time() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.store.Close() })
	if n.wire, err = New(Options{Store: n.store, Form: form, Dir: t.TempDir(), Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	for _, w := range before {
		if m, err := legacywire.Parse([]byte(w)); err == nil && had.Covers(m.Dot()) {
			n.receive(message(w))
		}
	}
	n.sound()
	n.cursor = math.MaxInt32
	commit, err := r.run(n, want)
	if err != nil {
		t.Fatal(err)
	}
	list, err := n.store.Range(t.Context(), n.id, commit.Dot.Seq, commit.Dot.Seq, 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("the write made %s, %v", commit.Dot, err)
	}
	out, err := n.wire.Pack([]changeset.Envelope{list[0]})
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Body, n
}

// run does what the recording says, or where it says only what came of it, the
// same with as few words.
func (r recorded) run(n *node, want legacywire.Message) (store.Commit, error) {
	method, argument := r.Method, r.Argument
	opts := store.WriteOptions{}
	if method == "" {
		method = "add"
		objects := map[string]map[string]any{}
		for _, row := range want.Rows {
			switch {
			case row[1] == "http://rx4rdf.sf.net/ns/archive#createdBy":
				opts.Author = row[2]
			case row[1] == "http://rx4rdf.sf.net/ns/archive#comment":
				opts.Comment = row[2]
			case strings.HasPrefix(row[4], "context:del:"):
				method = "update"
			case strings.HasPrefix(row[4], "context:add:"):
				if objects[row[0]] == nil {
					objects[row[0]] = map[string]any{"id": row[0]}
				}
				objects[row[0]][row[1]] = statement.Term{Text: row[2], Type: row[3]}.Value()
			}
		}
		list := []any{}
		for _, o := range objects {
			list = append(list, o)
		}
		var err error
		if argument, err = json.Marshal(list); err != nil {
			return store.Commit{}, err
		}
	}
	d, err := pjson.Parse(argument, pjson.Options{IDs: pjson.Counter(), AllowReferences: method == "remove"})
	if err != nil {
		return store.Commit{}, err
	}
	return n.store.Update(n.t.Context(), opts, func(tx *store.Tx) error { return perform(tx, method, d) })
}

func perform(tx *store.Tx, method string, d pjson.Document) error {
	switch method {
	case "add":
		return tx.Add(d.Objects)
	case "create":
		return tx.Create(d.Objects)
	case "update":
		return tx.Update(d.Objects)
	case "replace":
		return tx.Replace(d.Objects)
	}
	for _, id := range d.References {
		if _, err := tx.Delete(id); err != nil {
			return err
		}
	}
	return tx.Remove(d.Objects)
}
