package changeset

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample is a changeset with a little of everything.
func sample() Changeset {
	return Changeset{
		Branch: "0B", Seq: 2, Clock: ClockAt(time.UnixMilli(1_800_000_000_000)), Prev: [32]byte{1},
		Base:   branch.Revision{{Branch: "0A", Seq: 7}, {Branch: "0C", Seq: 1}},
		Author: "ann", Comment: "a comment",
		Objects: []ObjectChange{
			{Root: "gone", Delete: true},
			{Root: "obj", Floor: Stamp{Clock: 5, Dot: branch.Dot{Branch: "0A", Seq: 3}}, Props: []PropChange{
				{Predicate: "list", Mode: Assign, Added: []Value{
					{Term: statement.Literal("a"), Positions: []int{0, 2}}, {Term: statement.Literal("b"), Positions: []int{1}},
				}},
				{Predicate: "p", Mode: Patch, Removed: []Value{{Term: statement.Literal("x")}},
					Added: []Value{{Term: statement.Term{Text: "1", Type: statement.XSDInteger}, Scope: "ctx"}}},
				{Subject: "_:j:e:object:obj:1", Predicate: "k", Mode: Assign, Added: []Value{{Term: statement.Reference("other")}}},
			}},
		},
	}
}

func mustEncode(t testing.TB, c Changeset) Envelope {
	t.Helper()
	e, err := Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEncodedChangesetDecodesToItself(t *testing.T) {
	e := mustEncode(t, sample())
	if e.Dot != sample().Dot() || e.Hash != sha256.Sum256(e.Body) {
		t.Errorf("envelope %s does not name its content", e)
	}
	got, err := Decode(e, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Errorf("came back different:\n%s", d)
	}
}

// anyTerm draws every kind of type, the ones with a short form among them.
func anyTerm(t *rapid.T) statement.Term {
	text := rapid.StringMatching(`[a-z é]{1,5}`).Draw(t, "text")
	typ := rapid.SampledFrom([]string{
		"R", "L", "en-US", statement.XSDInteger, statement.XSDDouble, statement.XSDBoolean, statement.TypeNull,
		":i", "::x", "http://example.org/t", "i", "n",
	}).Draw(t, "type")
	return statement.Term{Text: text, Type: typ}
}

func anyValues(t *rapid.T) []Value {
	seen := map[string]Value{}
	for range rapid.IntRange(0, 3).Draw(t, "values") {
		v := Value{Term: anyTerm(t), Scope: rapid.SampledFrom([]string{"", "s"}).Draw(t, "scope")}
		if rapid.Bool().Draw(t, "listed") {
			v.Positions = []int{rapid.IntRange(0, 9).Draw(t, "position")}
		}
		seen[fmt.Sprint(v.Term, v.Scope)] = v
	}
	var out []Value
	for _, v := range seen {
		at := 0
		for at < len(out) && CompareValues(out[at], v) < 0 {
			at++
		}
		out = append(out[:at], append([]Value{v}, out[at:]...)...)
	}
	return out
}

func TestAnyValuesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := sample()
		c.Seq = rapid.Uint64Range(2, math.MaxUint64).Draw(t, "seq")
		c.Objects[1].Props[1].Added, c.Objects[1].Props[1].Removed = anyValues(t), anyValues(t)
		e, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(e, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c, got); d != "" {
			t.Fatalf("came back different:\n%s", d)
		}
		if again, err := Encode(got); err != nil || again.Hash != e.Hash {
			t.Fatalf("encoding it again gives other bytes (%v)", err)
		}
	})
}

func TestUnsoundChangesetsAreNeitherEncodedNorDecoded(t *testing.T) {
	lit := func(s string) []Value { return []Value{{Term: statement.Literal(s)}} }
	for name, spoil := range map[string]func(*Changeset){
		"bad branch":              func(c *Changeset) { c.Branch = "b" },
		"no sequence":             func(c *Changeset) { c.Seq = 0 },
		"no clock":                func(c *Changeset) { c.Clock = 0 },
		"clock at the end":        func(c *Changeset) { c.Clock = MaxClock + 1 },
		"first with predecessor":  func(c *Changeset) { c.Seq = 1 },
		"second without one":      func(c *Changeset) { c.Prev = [32]byte{} },
		"own branch in base":      func(c *Changeset) { c.Base = branch.Revision{{Branch: "0B", Seq: 1}} },
		"base out of order":       func(c *Changeset) { c.Base[0], c.Base[1] = c.Base[1], c.Base[0] },
		"zero in base":            func(c *Changeset) { c.Base[0].Seq = 0 },
		"objects out of order":    func(c *Changeset) { c.Objects[0], c.Objects[1] = c.Objects[1], c.Objects[0] },
		"object twice":            func(c *Changeset) { c.Objects[0].Root = "obj" },
		"root is embedded":        func(c *Changeset) { c.Objects[0].Root = "_:j:e:object:obj:1" },
		"deleted and changed":     func(c *Changeset) { c.Objects[1].Delete = true },
		"neither":                 func(c *Changeset) { c.Objects[0].Delete = false },
		"floor in the future":     func(c *Changeset) { c.Objects[1].Floor.Clock = MaxClock },
		"floor without sequence":  func(c *Changeset) { c.Objects[1].Floor.Dot.Seq = 0 },
		"subject of another":      func(c *Changeset) { c.Objects[1].Props[2].Subject = "_:j:e:object:else:1" },
		"root spelled out":        func(c *Changeset) { c.Objects[1].Props[2].Subject = "obj" },
		"properties out of order": func(c *Changeset) { c.Objects[1].Props[0].Predicate = "z" },
		"unknown mode":            func(c *Changeset) { c.Objects[1].Props[0].Mode = 3 },
		"assignment that removes": func(c *Changeset) { c.Objects[1].Props[0].Removed = lit("x") },
		"value twice":             func(c *Changeset) { c.Objects[1].Props[1].Added = append(lit("x"), lit("x")...) },
		"values out of order":     func(c *Changeset) { c.Objects[1].Props[1].Added = append(lit("y"), lit("x")...) },
		"value without type":      func(c *Changeset) { c.Objects[1].Props[1].Added = []Value{{Term: statement.Term{Text: "x"}}} },
		"NUL in an id":            func(c *Changeset) { c.Objects[0].Root = "a\x00b" },
		"long comment":            func(c *Changeset) { c.Comment = strings.Repeat("x", 1<<17) },
	} {
		t.Run(name, func(t *testing.T) {
			c := sample()
			spoil(&c)
			if _, err := Encode(c); err == nil {
				t.Error("it was encoded")
			}
			m, err := modes()
			if err != nil {
				t.Fatal(err)
			}
			body, err := m.enc.Marshal(toWire(c))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(Envelope{Dot: c.Dot(), Body: body, Hash: sha256.Sum256(body)}, DefaultLimits()); err == nil {
				t.Error("it was decoded")
			}
		})
	}
}

func TestEnvelopeMustBeOfItsBody(t *testing.T) {
	e := mustEncode(t, sample())
	wrongDot, wrongHash, cut := e, e, e
	wrongDot.Dot.Seq++
	wrongHash.Hash[0] ^= 1
	cut.Body = e.Body[:len(e.Body)-1]
	cut.Hash = sha256.Sum256(cut.Body)
	for name, bad := range map[string]Envelope{"dot": wrongDot, "hash": wrongHash, "cut": cut, "empty": {Dot: e.Dot, Hash: sha256.Sum256(nil)}} {
		if _, err := Decode(bad, DefaultLimits()); err == nil {
			t.Errorf("%s: it was decoded", name)
		}
	}
}

func TestNewerFormatIsRefusedWithTheRemedy(t *testing.T) {
	e := mustEncode(t, sample())
	e.Body = bytes.Clone(e.Body)
	e.Body[1] = Version + 1
	e.Hash = sha256.Sum256(e.Body)
	if _, err := Decode(e, DefaultLimits()); err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("got %v", err)
	}
}

func TestLimitsAreKept(t *testing.T) {
	e := mustEncode(t, sample())
	for name, tighten := range map[string]func(*Limits){
		"body":    func(l *Limits) { l.BodyBytes = len(e.Body) - 1 },
		"objects": func(l *Limits) { l.Objects = 1 },
		"props":   func(l *Limits) { l.Props = 2 },
		"values":  func(l *Limits) { l.Values = 1 },
		"text":    func(l *Limits) { l.TextBytes = 3 },
	} {
		limits := DefaultLimits()
		tighten(&limits)
		_, err := Decode(e, limits)
		if _, ok := errors.AsType[*LimitError](err); !ok {
			t.Errorf("%s: got %v, want a limit error", name, err)
		}
	}
}

func TestClockNeverGoesBackAndFollowsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Clock(rapid.Uint64Range(0, uint64(MaxClock)).Draw(t, "clock"))
		now := time.UnixMilli(rapid.Int64Range(-1e6, 4e12).Draw(t, "now"))
		next := c.Next(now)
		if next <= c || next < ClockAt(now) {
			t.Fatalf("after %d at %s comes %d", c, now, next)
		}
		if next != c+1 && next != ClockAt(now) {
			t.Fatalf("after %d at %s comes %d, which is neither", c, now, next)
		}
	})
	at := time.UnixMilli(1_800_000_000_123)
	if got := ClockAt(at).Time(); !got.Equal(at) {
		t.Errorf("%s became %s", at, got)
	}
}

func FuzzDecode(f *testing.F) {
	e := mustEncode(f, sample())
	f.Add(e.Body)
	f.Add([]byte{})
	f.Add([]byte{0x89, 0x01})
	f.Fuzz(func(t *testing.T, body []byte) {
		env := Envelope{Dot: e.Dot, Body: body, Hash: sha256.Sum256(body)}
		c, err := Decode(env, DefaultLimits())
		if err != nil {
			return
		}
		if _, err := Encode(c); err != nil {
			t.Errorf("it was decoded, and is not sound: %v", err)
		}
	})
}
