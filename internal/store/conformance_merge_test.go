package store

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement/conformance"
)

// mergeDeviations are the recorded merges after which this store is in another
// state than the original, or in the same by another way, without the suffix
// that says how the original kept its history.
var mergeDeviations = map[string]struct{ why, answer string }{
	"two nodes/AA merges concurrent (creates a merge changeset)": {why: "merging makes no changeset"},
	"two nodes/BB merges concurrent (creates a merge changeset)": {why: "merging makes no changeset"},
	"two nodes/AA receives the merge changeset of BB":            {why: "there is none"},
	"two nodes/BB receives the merge changeset of AA":            {why: "there is none"},
	"conflict/AA merges it":                                      {"the original fails", `[{"id":"@1","v":"A","w":"B"}]`},
	"conflict/BB merges it":                                      {"the original fails", `[{"id":"@1","v":"A","w":"B"}]`},
	"conflict/AA merges its own changeset":                       {"a duplicate is no error", `[{"id":"@1","v":"A","w":"B"}]`},
	"pending/CC gets the same changeset again":                   {why: "a duplicate is no error"},
	"pending/CC gets the base":                                   {"the original never applies what waited", `[{"id":"@1","v":"A","w":"k"}]`},
	`default ids/branch "B" is padded`:                           {why: "refused: an id is given whole"},
	"default ids/no branch configured":                           {why: "refused: an id is needed"},
}

// merges replays the recorded operations that have no argument: what several
// nodes do with each other's changesets, and transactions.
type merges struct {
	*testing.T
	stores map[string]*Store
}

func (m *merges) store(name string) *Store {
	if m.stores[name] == nil {
		m.stores[name] = open(m.T, m.TempDir(), branch.ID(name))
	}
	return m.stores[name]
}

// write makes the store have these objects, by one transaction.
func (m *merges) write(s *Store, objects string) Commit {
	m.Helper()
	d, err := pjson.Parse([]byte(objects), pjson.Options{IDs: pjson.Counter()})
	if err != nil {
		m.Fatal(err)
	}
	commit, err := s.Update(m.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Replace(d.Objects) })
	if err != nil {
		m.Fatal(err)
	}
	return commit
}

func (m *merges) apply(s *Store, list []changeset.Envelope) Applied {
	m.Helper()
	done, err := s.Apply(m.Context(), list)
	if err != nil || len(done.Rejected) > 0 {
		m.Fatalf("applying: %+v, %v", done, err)
	}
	return done
}

// exchange runs one operation "AA add" or "BB merges it" and returns whose it was.
func (m *merges) exchange(c recorded) *Store {
	name, act, _ := strings.Cut(c.Op, " ")
	s, other := m.store(name), map[string]string{"AA": "BB", "BB": "AA"}[name]
	before := s.Revision().String()
	switch {
	case strings.HasSuffix(act, "its own changeset"):
		if done := m.apply(s, feed(m.T, s)); done.Applied != 0 {
			m.Errorf("it applied its own changesets: %+v", done)
		}
	case strings.HasPrefix(act, "merges"), strings.HasPrefix(act, "receives"):
		m.apply(s, feed(m.T, m.store(other)))
	default:
		if commit := m.write(s, string(c.QueryAfter)); commit.Dot.IsZero() || s.Revision().String() == before {
			m.Errorf("no changeset was made")
		}
	}
	return s
}

// pending has CC get the second changeset of AA, again, and then the first.
func (m *merges) pending(c recorded) *Store {
	author, s := m.store("AA"), m.store("CC")
	if author.Revision().Equal(nil) {
		m.write(author, `{"id":"1","v":"x","w":"k"}`)
		m.write(author, `{"id":"1","v":"A","w":"k"}`)
	}
	all := feed(m.T, author)
	switch {
	case strings.HasSuffix(c.Op, "missing"):
		if done := m.apply(s, all[1:]); done.Pending != 1 {
			m.Errorf("applied %+v, want one pending", done)
		}
	case strings.HasSuffix(c.Op, "again"):
		if done := m.apply(s, all[1:]); done.Duplicate != 1 {
			m.Errorf("applied %+v, want one duplicate", done)
		}
	default:
		if done := m.apply(s, all[:1]); done.Applied != 2 {
			m.Errorf("applied %+v, want both", done)
		}
	}
	return s
}

func (m *merges) transaction(c recorded) *Store {
	s := m.store("AA")
	boom := errors.New("boom")
	parse := func(text string) []pjson.Object {
		d, err := pjson.Parse([]byte(text), pjson.Options{})
		if err != nil {
			m.Fatal(err)
		}
		return d.Objects
	}
	steps := map[string]func(tx *Tx) error{
		"several operations in one transaction, with author and comment": func(tx *Tx) error {
			return errors.Join(tx.Add(parse(`[{"id":"m1","a":1},{"id":"m2","a":2}]`)), tx.Update(parse(`{"id":"m2","a":3}`)), tx.Remove(parse(`{"id":"m1","a":1}`)))
		},
		"transaction that raises": func(tx *Tx) error { return errors.Join(tx.Add(parse(`{"id":"m3","a":1}`)), boom) },
		"empty add":               func(tx *Tx) error { return tx.Add(nil) },
		"next add after the failures": func(tx *Tx) error {
			return tx.Add(parse(`{"id":"m4","a":1}`))
		},
	}
	commit, err := s.Update(m.Context(), WriteOptions{Author: "author", Comment: "comment"}, steps[c.Op])
	if (err != nil) != (c.Error != "") || err != nil && !errors.Is(err, boom) {
		m.Errorf("it ends with %v, recorded %q", err, c.Error)
	}
	if commit.Dot.IsZero() != (c.VersionBefore == c.VersionAfter) || s.Revision().String() != c.VersionAfter {
		m.Errorf("at %s, recorded %s", s.Revision(), c.VersionAfter)
	}
	return s
}

func (m *merges) defaultID(c recorded) *Store {
	if c.Op != "trunk 0A" {
		if id, err := branch.ParseID(map[bool]string{true: "B"}[strings.Contains(c.Op, "B")]); err == nil {
			m.Errorf("the branch id is %s, and was to be refused", id)
		}
		return nil
	}
	s := m.store("0A")
	m.write(s, string(c.QueryAfter))
	if got := s.Revision().String(); got != c.VersionAfter {
		m.Errorf("at %s, recorded %s", got, c.VersionAfter)
	}
	return s
}

func (m *merges) run(c recorded) *Store {
	switch kind, _, _ := strings.Cut(c.Group, ", "); kind {
	case "two nodes", "conflict":
		return m.exchange(c)
	case "pending":
		return m.pending(c)
	case "transactions":
		return m.transaction(c)
	case "default ids":
		return m.defaultID(c)
	default:
		m.Errorf("no way to run operations of %q", kind)
		return nil
	}
}

func TestMergesAndTransactionsBehaveAsTheOriginalRecorded(t *testing.T) {
	stores, used := map[string]map[string]*Store{}, map[string]bool{}
	for _, line := range conformance.Lines(t, "changesets.jsonl") {
		var c recorded
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if c.Method != "" && string(c.Argument) != "null" && c.Argument != nil {
			continue // the other test has these
		}
		if stores[c.Group] == nil {
			stores[c.Group] = map[string]*Store{}
		}
		kind, _, _ := strings.Cut(c.Group, ", ")
		d, deviates := mergeDeviations[kind+"/"+c.Op]
		if kind == "conflict" && c.Error == "" {
			d.answer, deviates = "", false // there was no conflict yet
		}
		used[kind+"/"+c.Op] = used[kind+"/"+c.Op] || deviates
		at := &merges{T: t, stores: stores[c.Group]}
		s := at.run(c)
		if s != nil {
			want := d.answer
			if want == "" {
				want = string(c.QueryAfter)
			}
			if got := answer(t, s); !sameRows(t, got, want) {
				t.Errorf("%s/%s reads %s, want %s", c.Group, c.Op, got, want)
			}
		}
		conformance.Report(t, "store operations", c.Group+"/"+c.Op, !deviates && !t.Failed())
	}
	for name, d := range mergeDeviations {
		if !used[name] {
			t.Errorf("deviation %s (%s) is of no recorded operation", name, d.why)
		}
	}
}
