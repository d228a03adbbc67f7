package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// declaring opens a store with declared indexes, without waiting for them.
func declaring(t testing.TB, dir string, id branch.ID, hooks *Hooks, properties ...string) *Store {
	t.Helper()
	if properties == nil {
		properties = []string{}
	}
	s, err := Open(t.Context(), Options{Dir: dir, Branch: id, Logger: quiet(), NoSync: true, Hooks: hooks, Indexes: properties})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { _ = s.Abandon() })
	return s
}

// waitBuilt waits until the indexes are what is declared.
func waitBuilt(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for unfinished(s.published().declared) >= 0 {
		if err := sleep(ctx, time.Millisecond); err != nil {
			t.Fatalf("the indexes are not built: %+v", s.published().declared)
		}
	}
}

// inOrderOf is what Ordered should yield, from the objects alone.
func inOrderOf(r *Reader, predicate string, within ValueRange) (want []string, err error) {
	var list []longValue
	for o, err := range r.Objects("") {
		if err != nil {
			return nil, err
		}
		terms := map[string][]statement.Term{}
		for _, s := range o.Statements {
			if s.Predicate == predicate && !slices.Contains(terms[s.Subject], s.Term) {
				terms[s.Subject] = append(terms[s.Subject], s.Term)
			}
		}
		for subject, of := range terms {
			if v := value.OfTerms(of); within.holds(v) {
				list = append(list, longValue{value: v, place: place{o.ID, subject}})
			}
		}
	}
	w := orderedWalk{within: within}
	slices.SortFunc(list, w.compare)
	for _, v := range list {
		want = append(want, v.subject)
	}
	return want, nil
}

// checkOrdered compares what an index yields with the objects.
func checkOrdered(r *Reader, predicate string, within ValueRange) error {
	seq, ok := r.Ordered(predicate, within)
	if !ok {
		return fmt.Errorf("there is no index of %s", predicate)
	}
	var got []string
	for subject, err := range seq {
		if err != nil {
			return err
		}
		got = append(got, subject)
	}
	want, err := inOrderOf(r, predicate, within)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		near := func(list []string) []string { return list[min(at, len(list)):min(at+5, len(list))] }
		return fmt.Errorf("within %+v the index yields %d and the objects say %d; at %d: %q, not %q", within, len(got), len(want), at, near(got), near(want))
	}
	for subject, err := range seq { // again, and not to its end
		if err != nil || subject != got[0] {
			return fmt.Errorf("the second time the index begins with %s, %w", subject, err)
		}
		break
	}
	return checkCount(r, predicate, within, len(got))
}

// checkCount holds the counts of a range against what is in it. Where a bound is
// longer than the index keeps, there may be counted more.
func checkCount(r *Reader, predicate string, within ValueRange, n int) error {
	exact := true
	for _, bound := range []*value.Value{within.Low, within.High} {
		exact = exact && (bound == nil || len(value.AppendKey(nil, *bound, maxKeyText)) <= maxKeyText)
	}
	for _, most := range []int{0, 1, n - 1, n, n + 1, n + 100} {
		c, ok := r.CountOrdered(predicate, within, max(most, 0))
		want := Count{N: min(max(most, 0), n), More: n > max(most, 0)}
		if !ok || exact && c != want || c.N < want.N || want.More && !c.More {
			return fmt.Errorf("within %+v of %d entries %+v are counted, %d at most", within, n, c, most)
		}
	}
	return nil
}

// someValues are values of all kinds, as pJSON: some of them equal, some longer
// than the index keeps and alike as far as it does.
var someValues = []string{
	`null`, `true`, `false`, `0`, `1`, `1.0`, `-1`, `-1.5`, `2`, `1e11`, `100000000000`, `1e-7`, `5e-324`, `9007199254740993`, `9007199254740992.0`,
	`123456789012345678901234567890`, `-123456789012345678901234567890`, `1` + strings.Repeat("0", 700), `1` + strings.Repeat("0", 699) + `1`,
	`""`, `"a"`, `"A"`, `"ä"`, `"a b"`, `"\u0001"`, `"x` + strings.Repeat("x", 300) + `a"`, `"x` + strings.Repeat("x", 300) + `b"`, `"x` + strings.Repeat("x", 252) + `"`,
	`"x` + strings.Repeat("x", 253) + `"`, `"x` + strings.Repeat("x", 254) + `"`, `[]`, `[1,2]`, `[2,1]`, `[1,1]`, `["a",1,null]`, `[[1],[2]]`, `["` + strings.Repeat("l", 200) + `",1]`,
	`["` + strings.Repeat("l", 300) + `",1]`, `["` + strings.Repeat("l", 300) + `",2]`, `{"n":1,"m":"in"}`, `{"n":[3,4]}`, `"@o1"`, `"@elsewhere"`,
}

func someValue() *rapid.Generator[string] { return rapid.SampledFrom(someValues) }

// someBound draws a bound of a range: none, or a value of a query.
func someBound(t *rapid.T, label string) *value.Value {
	text := rapid.OneOf(rapid.Just(""), someValue()).Draw(t, label)
	if text == "" || strings.HasPrefix(text, "{") {
		return nil
	}
	d, err := pjson.Parse([]byte(`{"id":"bound","n":`+text+`}`), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var terms []statement.Term
	for _, s := range d.Objects[0].Statements {
		if s.Predicate == "n" {
			terms = append(terms, s.Term)
		}
	}
	v := value.OfTerms(terms)
	return &v
}

func someRange(t *rapid.T) ValueRange {
	return ValueRange{
		Low: someBound(t, "low"), High: someBound(t, "high"),
		LowOpen: rapid.Bool().Draw(t, "low open"), HighOpen: rapid.Bool().Draw(t, "high open"), Desc: rapid.Bool().Draw(t, "desc"),
	}
}

// writeSome does something to an object in a transaction.
func writeSome(t *rapid.T, tx *Tx) error {
	id := fmt.Sprintf("o%d", rapid.IntRange(0, 9).Draw(t, "object"))
	if rapid.IntRange(0, 9).Draw(t, "deletes") == 0 {
		_, err := tx.Delete(id)
		return err
	}
	n, m := someValue().Draw(t, "n"), someValue().Draw(t, "m")
	d, err := pjson.Parse(fmt.Appendf(nil, `{"id":%q,"n":%s,"m":%s}`, id, n, m), pjson.Options{})
	if err != nil {
		return err
	}
	ops := []func([]pjson.Object) error{tx.Add, tx.Update, tx.Replace, tx.Remove, tx.Update}
	return rapid.SampledFrom(ops).Draw(t, "operation")(d.Objects)
}

// TestOrderedIsASortOfTheObjects writes at random to two stores at once, has one
// take what the other wrote, and asks for ranges: outside of transactions and in
// them, before and after what these write.
func TestOrderedIsASortOfTheObjects(t *testing.T) {
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 150 {
			return
		}
		hooks := &Hooks{TailLimit: 20, BuildObjects: rapid.IntRange(1, 5).Draw(rt, "piece")}
		s, other := declaring(t, t.TempDir(), "0A", hooks, "n", "m"), open(t, t.TempDir(), "0B")
		defer func() { _ = s.Abandon() }()
		ask := func(r *Reader) error {
			return checkOrdered(r, rapid.SampledFrom([]string{"n", "m"}).Draw(rt, "property"), someRange(rt))
		}
		for range rapid.IntRange(1, 25).Draw(rt, "writes") {
			write := func(to *Store, fn func(tx *Tx) error) {
				if _, err := to.Update(t.Context(), WriteOptions{}, fn); err != nil {
					rt.Fatal(err)
				}
			}
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				write(other, func(tx *Tx) error { return writeSome(rt, tx) })
			case 1:
				apply(t, s, feed(t, other)...)
			default:
				waitBuilt(t, s)
				write(s, func(tx *Tx) error {
					if err := ask(tx.Reader); err != nil {
						rt.Error(err)
					}
					if err := writeSome(rt, tx); err != nil {
						return err
					}
					return ask(tx.Reader)
				})
			}
		}
		waitBuilt(t, s)
		for range 5 {
			if err := s.View(t.Context(), ask); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.Check(t.Context()); err != nil {
			rt.Fatal(err)
		}
	})
}

// numbered makes a store of objects o0000… whose n is a permutation, with every
// tenth value there twice.
func numbered(t testing.TB, s *Store, from, to int) {
	t.Helper()
	var all strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&all, `{"id":"o%04d","n":%d,"text":"t"},`, i, i*7919%1000/10*10+i%10)
	}
	do(t, s, (*Tx).Add, "["+strings.TrimSuffix(all.String(), ",")+"]")
}

// TestValuesTooLongForTheIndexAreReadAndPutInOrder: more of them than are held at
// once, alike as far as the index keeps them, in both directions.
func TestValuesTooLongForTheIndexAreReadAndPutInOrder(t *testing.T) {
	s := declaring(t, t.TempDir(), "0A", nil, "n")
	begin := strings.Repeat("x", 400)
	var all strings.Builder
	const n = 2*longPiece + longPiece/2
	for i := range n {
		fmt.Fprintf(&all, `{"id":"o%04d","n":"%s%d"},`, i, begin, i*7919%1000)
	}
	do(t, s, (*Tx).Add, "["+all.String()+`{"id":"before","n":"x"},{"id":"behind","n":"y"}]`)
	waitBuilt(t, s)
	read(t, s, func(r *Reader) error {
		low := value.Of(statement.Literal(begin + "2"))
		for _, within := range []ValueRange{{}, {Desc: true}, {Low: &low, LowOpen: true}, {High: &low, Desc: true}} {
			if err := checkOrdered(r, "n", within); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestManyOfOneValueComeInOrderOfTheirIDsBothWays: a group longer than is read
// backwards.
func TestManyOfOneValueComeInOrderOfTheirIDsBothWays(t *testing.T) {
	s := declaring(t, t.TempDir(), "0A", nil, "n")
	var all strings.Builder
	for i := range 5 * downPiece {
		fmt.Fprintf(&all, `{"id":"o%04d","n":%v,"in":{"n":%d}},`, i, []string{"1", "1.0", "true"}[i%3], i/downPiece)
	}
	do(t, s, (*Tx).Add, "["+strings.TrimSuffix(all.String(), ",")+"]")
	waitBuilt(t, s)
	read(t, s, func(r *Reader) error {
		for _, within := range []ValueRange{{}, {Desc: true}} {
			if err := checkOrdered(r, "n", within); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestPropertyThatIsNotDeclaredHasNoIndex: the reader is told, and no entry is
// kept.
func TestPropertyThatIsNotDeclaredHasNoIndex(t *testing.T) {
	s := declaring(t, t.TempDir(), "0A", nil, "n")
	do(t, s, (*Tx).Add, `{"id":"o","n":1,"m":2}`)
	waitBuilt(t, s)
	read(t, s, func(r *Reader) error {
		_, ok := r.Ordered("m", ValueRange{})
		_, counted := r.CountOrdered("m", ValueRange{}, 1)
		if ok || counted {
			t.Error("a property that is not declared has an index")
		}
		if n := r.tx.Bucket(bucketOrdered).Stats().KeyN; n != 1 {
			t.Errorf("there are %d entries", n)
		}
		return nil
	})
}

// TestWalkThroughAnIndexEndsWithItsContext: nobody reads on for a client who is gone.
func TestWalkThroughAnIndexEndsWithItsContext(t *testing.T) {
	s := declaring(t, t.TempDir(), "0A", nil, "n")
	numbered(t, s, 0, 1000)
	waitBuilt(t, s)
	for _, desc := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		got := 0
		err := s.View(ctx, func(r *Reader) error {
			seq, _ := r.Ordered("n", ValueRange{Desc: desc})
			cancel()
			for _, err := range seq {
				if err != nil {
					return err
				}
				got++
			}
			return nil
		})
		if err == nil || got > 512 {
			t.Errorf("%d subjects came after the end: %v", got, err)
		}
	}
}

func TestDeclarationsThatMakeNoSenseAreRefused(t *testing.T) {
	many := make([]string, MaxDeclared+1)
	for i := range many {
		many[i] = fmt.Sprintf("p%d", i)
	}
	for name, c := range map[string]struct {
		properties []string
		says       string
	}{
		"twice":    {[]string{"n", "m", "n"}, "twice"},
		"too many": {many, "at most"},
		"empty":    {[]string{""}, "no property"},
		"with NUL": {[]string{"a\x00b"}, "no property"},
		"long":     {[]string{strings.Repeat("p", statement.MaxPredicateBytes+1)}, "no property"},
	} {
		s, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: "0A", Logger: quiet(), NoSync: true, Indexes: c.properties})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

// numberOf is a value of a query.
func numberOf(n int) value.Value {
	return value.Of(statement.Term{Text: fmt.Sprint(n), Type: statement.XSDInteger})
}
