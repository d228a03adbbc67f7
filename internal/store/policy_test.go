package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// The naive model says what an object is, for a SET of changesets, by looking
// at all of them at once: it knows no records, no order of arrival, no state.

// model is the set of changesets of one object.
type model []sent

// sees reports whether the author of y had seen x.
func (m model) sees(y, x sent) bool {
	if x.w.stamp.Dot.Branch == y.w.stamp.Dot.Branch {
		return x.w.stamp.Dot.Seq < y.w.stamp.Dot.Seq
	}
	return y.w.seen.Covers(x.w.stamp.Dot)
}

func (m model) later(x, y changeset.Stamp) bool { return x.Compare(y) > 0 }

// floor is the greatest floor that a change names.
func (m model) floor() (f changeset.Stamp) {
	for _, s := range m {
		if m.later(s.change.Floor, f) {
			f = s.change.Floor
		}
	}
	return f
}

// hidden is the latest deletion that is in effect: later than the floor, and
// than every write that is concurrent with it.
func (m model) hidden() (h changeset.Stamp) {
	floor := m.floor()
	for _, d := range m {
		if !d.change.Delete || !m.later(d.w.stamp, floor) {
			continue
		}
		beaten := slices.ContainsFunc(m, func(w sent) bool {
			return !w.change.Delete && !m.sees(w, d) && !m.sees(d, w) && m.later(w.w.stamp, d.w.stamp)
		})
		if !beaten && m.later(d.w.stamp, h) {
			h = d.w.stamp
		}
	}
	return h
}

// fact is a value with the changeset that brought it.
type fact struct {
	stamp  changeset.Stamp
	assign bool
	value  changeset.Value
}

// living are the values of a property that no later write which had seen them
// replaced or removed, and that no deletion hides.
func (m model) living(p prop) (out []fact) {
	floor, hidden := m.floor(), m.hidden()
	for _, s := range m {
		c := propIn(s.change, p)
		if c == nil || m.later(floor, s.w.stamp) || m.later(hidden, s.w.stamp) || s.w.stamp == floor {
			continue
		}
		for _, v := range c.Added {
			gone := slices.ContainsFunc(m, func(w sent) bool { return m.sees(w, s) && replaces(propIn(w.change, p), v) })
			if !gone {
				out = append(out, fact{s.w.stamp, c.Mode == changeset.Assign, v})
			}
		}
	}
	return out
}

func propIn(c changeset.ObjectChange, p prop) *changeset.PropChange {
	for i := range c.Props {
		if c.Props[i].Subject == p.subject && c.Props[i].Predicate == p.predicate {
			return &c.Props[i]
		}
	}
	return nil
}

// replaces reports whether a later change takes a value away or brings it anew.
func replaces(c *changeset.PropChange, v changeset.Value) bool {
	return c != nil && (c.Mode == changeset.Assign || slices.ContainsFunc(slices.Concat(c.Added, c.Removed), v.Same))
}

// rivals are the living assignments, by changeset, the one that is read first.
func (m model) rivals(p prop, policy ConflictPolicy) (stamps []changeset.Stamp, values map[changeset.Stamp][]changeset.Value) {
	values = map[changeset.Stamp][]changeset.Value{}
	for _, f := range m.living(p) {
		if f.assign {
			values[f.stamp] = append(values[f.stamp], f.value)
		}
	}
	stamps = slices.SortedFunc(maps.Keys(values), changeset.Stamp.Compare)
	if policy != PolicyEarliest {
		slices.Reverse(stamps)
	}
	return stamps[:min(len(stamps), MaxConflictValues)], values
}

// reads is what is read of a property, in words.
func (m model) reads(p prop, policy ConflictPolicy) string {
	var shown []changeset.Value
	stamps, values := m.rivals(p, policy)
	list := false
	for i, s := range stamps {
		if i > 0 && policy != PolicyKeepBoth {
			break
		}
		for _, v := range values[s] {
			if len(v.Positions) == 0 || !list {
				shown = append(shown, v)
			}
		}
		list = list || slices.ContainsFunc(values[s], func(v changeset.Value) bool { return len(v.Positions) > 0 })
	}
	for _, f := range m.living(p) {
		if !f.assign {
			shown = append(shown, f.value)
		}
	}
	return words(shown)
}

// words spells a set of values: equal facts once, with all their places.
func words(values []changeset.Value) string {
	places := map[string]map[int]bool{}
	for _, v := range values {
		key := v.Text + "/" + v.Type + "/" + v.Scope
		if places[key] == nil {
			places[key] = map[int]bool{}
		}
		for _, at := range v.Positions {
			places[key][at] = true
		}
	}
	var out []string
	for key, at := range places {
		out = append(out, fmt.Sprint(key, slices.Sorted(maps.Keys(at))))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// conflict spells the values of a property that was assigned different ones.
func (m model) conflict(p prop, policy ConflictPolicy) string {
	all := map[changeset.Stamp][]changeset.Value{}
	for _, f := range m.living(p) {
		if f.assign {
			all[f.stamp] = append(all[f.stamp], f.value)
		}
	}
	different := map[string]bool{}
	for _, v := range all {
		different[words(v)] = true
	}
	if len(different) < 2 {
		return ""
	}
	stamps, values := m.rivals(p, policy)
	var out []string
	for _, s := range stamps {
		out = append(out, s.Dot.String()+"="+words(values[s]))
	}
	return strings.Join(out, "; ")
}

// said spells what a record reads and lists for the properties of the root.
func said(rec *record, policy ConflictPolicy) (reads, conflicts map[string]string) {
	reads, conflicts = map[string]string{}, map[string]string{}
	o, _ := rec.object(testRoot, testRoot, policy)
	byProp := map[string][]changeset.Value{}
	for _, s := range o.Statements {
		if s.Subject == testRoot {
			byProp[s.Predicate] = append(byProp[s.Predicate], valueOf(s))
		}
	}
	for p, v := range byProp {
		reads[p] = words(v)
	}
	for _, c := range o.Conflicts {
		if c.Subject != testRoot {
			continue
		}
		var out []string
		for _, v := range c.Values {
			own := slices.DeleteFunc(slices.Clone(v.Statements), func(s statement.Statement) bool {
				return s.Subject != c.Subject || s.Predicate != c.Predicate
			})
			var values []changeset.Value
			for _, s := range own {
				values = append(values, valueOf(s))
			}
			out = append(out, v.Stamp.Dot.String()+"="+words(values))
		}
		conflicts[c.Predicate] = strings.Join(out, "; ")
	}
	return reads, conflicts
}

// TestEveryPolicyReadsAndListsWhatTheNaiveModelSays is the rule of conflicts,
// for every policy, in any causal order of arrival.
func TestEveryPolicyReadsAndListsWhatTheNaiveModelSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := story(t)
		digest := ""
		for _, policy := range ConflictPolicies() {
			rec := shuffled(t, all).rec
			reads, conflicts := said(&rec, policy)
			for _, predicate := range []string{"p", "q"} {
				p := prop{"", predicate}
				if want := model(all).reads(p, policy); reads[predicate] != want {
					t.Fatalf("%s: %s reads %q, the model says %q\n%s", policy, predicate, reads[predicate], want, describe(&rec))
				}
				if want := model(all).conflict(p, policy); conflicts[predicate] != want {
					t.Fatalf("%s: the conflict of %s is %q, the model says %q\n%s", policy, predicate, conflicts[predicate], want, describe(&rec))
				}
			}
			if bytes := string(rec.encode()); digest != "" && bytes != digest {
				t.Fatal("the policy changed the record")
			} else {
				digest = bytes
			}
		}
	})
}

// TestOtherOrdersGiveEqualAnswersAndConflictLists compares whole objects,
// embedded ones and the visible marks included.
func TestOtherOrdersGiveEqualAnswersAndConflictLists(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := story(t)
		policy := rapid.SampledFrom(ConflictPolicies()).Draw(t, "policy")
		one, two := shuffled(t, all).rec, shuffled(t, all).rec
		a, _ := one.object(testRoot, testRoot, policy)
		b, _ := two.object(testRoot, testRoot, policy)
		if got, want := fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b); got != want {
			t.Fatalf("%s: one order gives %s\nanother %s", policy, got, want)
		}
	})
}

// assigned is a register with one assignment of each branch, of which none has
// seen another.
func assigned(values ...string) *record {
	var rec record
	id := branch.First(2)
	for i, v := range values {
		value := changeset.Value{Term: statement.Literal(v)}
		rec.apply(changeset.ObjectChange{Root: testRoot, Props: []changeset.PropChange{
			{Predicate: "p", Mode: changeset.Assign, Added: []changeset.Value{value}},
		}}, write{stamp: changeset.Stamp{Clock: changeset.Clock(100 + i), Dot: branch.Dot{Branch: id, Seq: 1}}})
		id, _ = id.Next()
	}
	return &rec
}

func readOf(rec *record, policy ConflictPolicy) (string, []Conflict) {
	o, _ := rec.object(testRoot, testRoot, policy)
	var texts []string
	for _, s := range o.Statements {
		texts = append(texts, s.Text)
	}
	return strings.Join(texts, " "), o.Conflicts
}

func TestPoliciesChooseBetweenTwoValues(t *testing.T) {
	for policy, want := range map[ConflictPolicy]string{PolicyLatest: "b", PolicyEarliest: "a", PolicyKeepBoth: "a b", "": "b"} {
		got, conflicts := readOf(assigned("a", "b"), policy)
		if got != want || len(conflicts) != 1 || len(conflicts[0].Values) != 2 {
			t.Errorf("%s reads %q, want %q; conflicts %+v", cmp.Or(policy, "no policy"), got, want, conflicts)
		}
	}
	for _, policy := range ConflictPolicies() {
		if got, conflicts := readOf(assigned("a", "a"), policy); got != "a" || len(conflicts) != 0 {
			t.Errorf("%s: equal values read %q with conflicts %+v", policy, got, conflicts)
		}
	}
}

// TestOfManyValuesThoseThatThePolicyPrefersAreListed: at most MaxConflictValues,
// the same whatever the order of arrival, and all come back as others settle.
func TestOfManyValuesThoseThatThePolicyPrefersAreListed(t *testing.T) {
	var values []string
	for i := range MaxConflictValues + 8 {
		values = append(values, fmt.Sprintf("v%02d", i))
	}
	for policy, first := range map[ConflictPolicy]string{PolicyLatest: "v39", PolicyEarliest: "v00", PolicyKeepBoth: "v39"} {
		rec := assigned(values...)
		got, conflicts := readOf(rec, policy)
		if n := len(conflicts[0].Values); n != MaxConflictValues || conflicts[0].Values[0].Statements[0].Text != first {
			t.Errorf("%s lists %d values, the first is %+v", policy, n, conflicts[0].Values[0])
		}
		if n := len(strings.Fields(got)); policy == PolicyKeepBoth && n != MaxConflictValues || policy != PolicyKeepBoth && got != first {
			t.Errorf("%s reads %q", policy, got)
		}
		if len(rec.regs[0].groups) != len(values) {
			t.Errorf("%s: %d of %d values are kept", policy, len(rec.regs[0].groups), len(values))
		}
	}
}

func TestOfTwoListsKeepBothReadsTheLatest(t *testing.T) {
	rec := assigned("x", "y")
	for i := range rec.regs[0].groups {
		rec.regs[0].groups[i].values = []changeset.Value{
			{Term: statement.Literal(fmt.Sprint("item", i)), Positions: []int{0}}, {Term: statement.Literal(fmt.Sprint("beside", i))},
		}
	}
	got, conflicts := readOf(rec, PolicyKeepBoth)
	if got != "beside0 beside1 item1" {
		t.Errorf("reads %q", got)
	}
	if !conflicts[0].Values[0].Visible || !conflicts[0].Values[1].Visible {
		t.Errorf("unexpected marks %+v", conflicts[0].Values)
	}
}

// conflicted makes a store in which n objects are in conflict, and one is not.
func conflicted(t *testing.T, dir string, n int) *Store {
	t.Helper()
	a, b := open(t, dir, "0A"), open(t, t.TempDir(), "0B")
	for i := range n {
		do(t, a, (*Tx).Update, fmt.Sprintf(`{"id":"o%04d","v":"early","w":{"x":"early"}}`, i))
		do(t, b, (*Tx).Update, fmt.Sprintf(`{"id":"o%04d","v":"later","w":{"y":"later"}}`, i))
	}
	do(t, a, (*Tx).Update, `{"id":"quiet","v":"early"}`)
	apply(t, a, feed(t, b)...)
	return a
}

func reopen(t *testing.T, s *Store, policy ConflictPolicy) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts := s.opts
	opts.ConflictPolicy = policy
	again, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
	return again
}

// found lists the objects that the index finds by a value.
func found(t *testing.T, s *Store, value string) (ids []string) {
	t.Helper()
	read(t, s, func(r *Reader) error {
		for id, err := range r.SubjectsWith("v", statement.Literal(value)) {
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids
}

func TestChangedPolicyChangesWhatIsReadAndFoundAndNothingElse(t *testing.T) {
	const n = 3*policyPiece + 7
	s := conflicted(t, t.TempDir(), n)
	digest, changesets := s.Digest(), s.Stats().Changesets
	for _, c := range []struct {
		policy       ConflictPolicy
		early, later int
	}{{PolicyEarliest, n + 1, 0}, {PolicyKeepBoth, n + 1, n}, {PolicyLatest, 1, n}, {PolicyLatest, 1, n}} {
		s = reopen(t, s, c.policy)
		if early, later := len(found(t, s, "early")), len(found(t, s, "later")); early != c.early || later != c.later {
			t.Errorf("%s finds %d early and %d later, want %d and %d", c.policy, early, later, c.early, c.later)
		}
		if st := s.Stats(); s.Digest() != digest || st.Changesets != changesets || st.Objects != n+1 || st.Conflicts < n {
			t.Errorf("%s changed the state: %+v", c.policy, st)
		}
		wantSound(t, s)
	}
}

func TestPolicyChangeThatWasCutOffGoesOn(t *testing.T) {
	const n = 2*policyPiece + 7
	for cut := 1; cut <= 3; cut++ {
		s := conflicted(t, t.TempDir(), n)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		opts, commits := s.opts, 0
		opts.ConflictPolicy = PolicyEarliest
		broken := errors.New("cut off")
		opts.Hooks = &Hooks{BeforeCommit: func() error {
			if commits++; commits > cut {
				return broken
			}
			return nil
		}}
		if _, err := Open(t.Context(), opts); !errors.Is(err, broken) {
			t.Fatalf("cut %d: opening gave %v", cut, err)
		}
		opts.Hooks = nil
		for _, policy := range []ConflictPolicy{PolicyKeepBoth, PolicyLatest} { // whatever comes next
			opts.ConflictPolicy = policy
			again, err := Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			wantSound(t, again)
			if later := len(found(t, again, "later")); later != n {
				t.Errorf("cut %d: %s finds %d later", cut, policy, later)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestUnknownPolicyIsRefused(t *testing.T) {
	_, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: "0A", ConflictPolicy: "newest"})
	if err == nil || !strings.Contains(err.Error(), `"newest" is unknown`) {
		t.Errorf("opening gave %v", err)
	}
}
