package vesperwire

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func lit(subject, predicate, value string) row { return row{subject, predicate, value, "L", ""} }

func TestAnOriginalTakesOurSequentialWritesWithoutAMerge(t *testing.T) {
	o, n := newOriginal("0B", "0A"), newNode(t, "0A", "0A")
	c := newChannel(t, []*node{n}, o)
	for _, text := range []string{
		`{"id":"x","name":"one"}`,
		`{"id":"x","name":"two","list":["c","a","b"],"n":1.5,"deep":{"k":"v","m":[["x"],[]]}}`,
		`{"id":"x","list":["a","b","d","a"],"deep":{"k":"w"}}`,
		`{"id":"y","ref":"@x","t":true,"z":null,"e":[],"third":0.3333333333333333}`,
		`{"id":"x","list":"scalar"}`,
	} {
		n.set(text)
		if !c.settle(10) {
			t.Fatal("the channel does not come to rest")
		}
		c.follow()
		if got, want := pretty(o.statements()), pretty(n.statements()); got != want {
			t.Errorf("after %s the original stores\n%sand should\n%s", text, got, want)
		}
		if got, want := o.current, n.store.Revision().String(); got != want {
			t.Errorf("after %s the original is at %s, ours at %s", text, got, want)
		}
	}
	if o.merges != 0 || c.count != 5 {
		t.Errorf("%d merges and %d messages", o.merges, c.count)
	}
}

func TestOursTakesTheSequentialWritesOfAnOriginal(t *testing.T) {
	o, n := newOriginal("0A", "0A"), newNode(t, "0B", "0A")
	c := newChannel(t, []*node{n}, o)
	for _, w := range [][2][]row{
		{{lit("x", "name", "one")}, nil},
		{{lit("x", "name", "two")}, {lit("x", "name", "one")}},
		{{lit("x", "tag", "a"), lit("x", "tag", "b")}, nil},
		{nil, {lit("x", "tag", "a")}},
		{nil, {lit("x", "tag", "b"), lit("x", "name", "two")}},
		{{lit("x", "name", "three")}, nil},
	} {
		if err := o.write(w[0], w[1]); err != nil {
			t.Fatal(err)
		}
		c.settle(10)
		c.follow()
	}
	c.agree()
	if got := n.store.Revision().String(); got != "0A00006" {
		t.Errorf("ours is at %s", got)
	}
}

func TestTwoOriginalsAndTwoOfOursConvergeOnWritesOneAfterTheOther(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 1))
			a, b := newOriginal("0A", "0A"), newOriginal("0B", "0A")
			x, y := newNode(t, "0C", "0A"), newNode(t, "0D", "0A")
			c := newChannel(t, []*node{x, y}, a, b)
			writers := []func(i int){
				func(i int) { writeSome(t, a, i) }, func(i int) { writeSome(t, b, i) },
				func(i int) { setSome(x, chance, i) }, func(i int) { setSome(y, chance, i) },
			}
			for i := range 4 { // in the order of the ids, as the original demands
				writers[i](i)
				c.settle(20)
			}
			for i := range 40 {
				writers[chance.IntN(4)](i)
				if !c.settle(20) {
					t.Fatal("the channel does not come to rest")
				}
			}
			c.agree()
			c.follow()
			if a.merges+b.merges > 0 {
				t.Errorf("%d and %d merges of sequential writes", a.merges, b.merges)
			}
			if a.current != b.current || a.current != x.store.Revision().String() {
				t.Errorf("the revisions are %s, %s and %s", a.current, b.current, x.store.Revision())
			}
		})
	}
}

// writeSome gives a property of an object of the original another value.
func writeSome(t *testing.T, o *originalNode, i int) {
	t.Helper()
	subject, predicate := fmt.Sprintf("o%d", i%5), fmt.Sprintf("p%d", i%3)
	var removed []row
	for r := range o.primary {
		if r[0] == subject && r[1] == predicate {
			removed = append(removed, r)
		}
	}
	if err := o.write([]row{lit(subject, predicate, fmt.Sprint("v", o.id, o.current, i))}, removed); err != nil {
		t.Fatal(err)
	}
}

func setSome(n *node, chance *rand.Rand, i int) {
	n.t.Helper()
	id := fmt.Sprintf("o%d", i%5)
	switch chance.IntN(5) {
	case 0:
		n.set(fmt.Sprintf(`{"id":%q,"list":["a%d","b","a%d"]}`, id, i, i))
	case 1:
		n.set(fmt.Sprintf(`{"id":%q,"deep":{"k":%d,"l":[[%d,"x"],"y"]}}`, id, i, i))
	case 2:
		n.set(fmt.Sprintf(`{"id":%q,"p0":"ours%s%d","d":%d.123456789012345}`, id, n.id, i, i))
	case 3:
		n.set(fmt.Sprintf(`{"id":%q,"p1":["one"],"p2":[]}`, id))
	default:
		n.set(fmt.Sprintf(`{"id":%q,"p1":%q}`, id, strings.Repeat("é😀\"\\\n", i%3+1)))
	}
}

func TestAStormOfMergesEndsAtOurs(t *testing.T) {
	o, n := newOriginal("0A", "0A"), newNode(t, "0B", "0A")
	c := newChannel(t, []*node{n}, o)
	if err := o.write([]row{lit("start", "p", "v")}, nil); err != nil {
		t.Fatal(err)
	}
	c.settle(10)
	n.set(`{"id":"n","p":"v"}`)
	c.settle(10)
	// At the same time:
	if err := o.write([]row{lit("theirs", "p", "v")}, nil); err != nil {
		t.Fatal(err)
	}
	n.set(`{"id":"ours","p":"v"}`)
	before := c.count
	if !c.settle(10) {
		t.Fatal("the channel does not come to rest")
	}
	if o.merges != 1 || c.count != before+3 {
		t.Errorf("%d merges, %d messages after two concurrent writes", o.merges, c.count-before)
	}
	c.agree()
	c.follow()
	// And the next write is taken without a merge again, on either side.
	n.set(`{"id":"ours","p":"w"}`)
	c.settle(10)
	if err := o.write([]row{lit("theirs", "p", "w")}, []row{lit("theirs", "p", "v")}); err != nil {
		t.Fatal(err)
	}
	c.settle(10)
	n.set(`{"id":"theirs","p":"ours"}`)
	c.settle(10)
	c.agree()
	c.follow()
	if o.merges != 1 {
		t.Errorf("%d merges", o.merges)
	}
}

func TestAnOriginalDiesOfAConflictAndOursGoesOn(t *testing.T) {
	o, x, y := newOriginal("0A", "0A"), newNode(t, "0B", "0A"), newNode(t, "0C", "0A")
	c := newChannel(t, []*node{x, y}, o)
	if err := o.write([]row{lit("x", "p", "0")}, nil); err != nil {
		t.Fatal(err)
	}
	c.settle(10)
	if err := o.write([]row{lit("x", "p", "theirs")}, []row{lit("x", "p", "0")}); err != nil {
		t.Fatal(err)
	}
	x.set(`{"id":"x","p":"ours"}`)
	c.settle(10)
	if o.dead == nil {
		t.Error("the original survives a conflict: the stand-in is not as the specification says")
	}
	y.set(`{"id":"x","p":"resolved"}`)
	c.settle(10)
	c.agree()
	if got := x.statements(); len(got) != 1 || got[0].Text != "resolved" {
		t.Errorf("the object is %v", got)
	}
}
