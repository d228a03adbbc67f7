package legacywire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// valuesIn are the values of a property that pJSON gives to an object: those
// of the object x itself.
func valuesIn(t *testing.T, value string) []changeset.Value {
	t.Helper()
	var out []changeset.Value
	for _, s := range statementsIn(t, `{"id":"x","p":`+value+`}`) {
		if s.Subject == "x" {
			out = append(out, changeset.Value{Term: s.Term, Scope: s.Scope, Positions: s.Positions})
		}
	}
	slices.SortFunc(out, changeset.CompareValues)
	return out
}

func statementsIn(t *testing.T, text string) []statement.Statement {
	t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{IDs: pjson.Counter()})
	if err != nil {
		t.Fatal(err)
	}
	var out []statement.Statement
	for _, o := range doc.Objects {
		out = append(out, o.Statements...)
	}
	return out
}

// pastOf is a past in which the objects of a document are.
func pastOf(t *testing.T, text string) Past {
	t.Helper()
	list := statementsIn(t, text)
	return func(root string) (b Before, err error) {
		for _, s := range list {
			if statement.Root(s.Subject) == root {
				b.Statements = append(b.Statements, s)
			}
		}
		return b, nil
	}
}

var shortNames = strings.NewReplacer(archive, "A#", rdf, "rdf:", schema, "ps:", "http://www.w3.org/2001/XMLSchema#", "xsd:", statement.AnonymousPrefix, "_:")

// written writes the statements of a message one a line, T for the transaction.
func written(m Message) string {
	var out []string
	for _, row := range m.Rows {
		line := shortNames.Replace(strings.Join(row[:], " "))
		out = append(out, strings.ReplaceAll(line, "context:txn:u:;"+m.Revision, "T"))
	}
	return strings.Join(out, "\n")
}

func assign(p string, values ...changeset.Value) changeset.PropChange {
	return changeset.PropChange{Predicate: p, Mode: changeset.Assign, Added: values}
}

// metadata is what every message of a first changeset starts with.
const metadataRows = `T A#baseRevision 0 L T
T A#hasRevision AA00001 L T
T A#createdOn 1700000000.12 xsd:double T
`

func TestAChangesetIsWrittenAsTheStatementsOfTheOriginal(t *testing.T) {
	const order = `_:j:proplist:x;p rdf:_1 %[2]s L %[1]s
_:j:proplist:x;p rdf:_2 %[3]s L %[1]s
_:j:proplist:x;p rdf:type rdf:Seq R %[1]s
_:j:proplist:x;p rdf:type ps:propseqtype R %[1]s
_:j:proplist:x;p ps:propseqprop p R %[1]s
_:j:proplist:x;p ps:propseqsubject x R %[1]s
`
	const added = "T A#includes context:add:T;; R T\ncontext:add:T;; A#applies-to  R T\n"
	const removed = "T A#excludes context:del:T;; R T\ncontext:del:T;; A#applies-to  R T\n"
	const last = "T rdf:type A#TransactionContext R T\n"
	for _, tt := range []struct {
		name, past string
		change     changeset.ObjectChange
		want       string
	}{
		{"what is new", `[]`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `{"datatype":"lang:en","value":"v"}`)...), assign("q", valuesIn(t, `1.5`)...)}},
			added + last + "x p v en context:add:T;;\nx q 1.5 xsd:double context:add:T;;"},
		{"one value for another, removals before additions", `{"id":"x","p":"a","q":"q"}`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `"b"`)...)}},
			removed + added + last + "x p b L context:add:T;;\nx p a L context:del:T;;"},
		{"a value more and a value less", `{"id":"x","p":"a"}`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{{Predicate: "p", Mode: changeset.Patch, Added: valuesIn(t, `"b"`), Removed: valuesIn(t, `"a"`)}}},
			removed + added + last + "x p b L context:add:T;;\nx p a L context:del:T;;"},
		{"a value beside others", `{"id":"x","p":"a","q":"q"}`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{{Predicate: "p", Mode: changeset.Patch, Added: valuesIn(t, `"b"`)}}},
			added + last + "x p b L context:add:T;;"},
		{"an object that goes", `{"id":"x","p":"a","o":{"k":"@y"}}`, changeset.ObjectChange{Root: "x", Delete: true},
			removed + last + "_:j:e:object:x:1 k y R context:del:T;;\nx o _:j:e:object:x:1 R context:del:T;;\nx p a L context:del:T;;"},
		{"values in two scopes", `[]`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p",
			changeset.Value{Term: statement.Literal("a"), Scope: "c"}, changeset.Value{Term: statement.Literal("b")})}},
			added + "T A#includes context:add:T;;c R T\ncontext:add:T;;c A#applies-to c R T\n" + last + "x p a L context:add:T;;c\nx p b L context:add:T;;"},
		{"a list", `[]`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `["b","a"]`)...)}},
			added + last + fmt.Sprintf(order, "context:add:T;;", "b", "a") + "x p a L context:add:T;;\nx p b L context:add:T;;\nx ps:propseq _:j:proplist:x;p R context:add:T;;"},
		{"a list in another order", `{"id":"x","p":["b","a"]}`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `["a","b"]`)...)}},
			removed + added + last + `_:j:proplist:x;p rdf:_1 a L context:add:T;;
_:j:proplist:x;p rdf:_2 b L context:add:T;;
_:j:proplist:x;p rdf:_1 b L context:del:T;;
_:j:proplist:x;p rdf:_2 a L context:del:T;;`},
		{"a scalar for a list", `{"id":"x","p":["b","a"]}`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `"a"`)...)}},
			removed + last + fmt.Sprintf(order, "context:del:T;;", "b", "a") + "x p b L context:del:T;;\nx ps:propseq _:j:proplist:x;p R context:del:T;;"},
		{"a list in a list", `[]`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{
			assign("p", valuesIn(t, `"@_:j:e:list:x:1"`)...),
			{Subject: "_:j:e:list:x:1", Predicate: statement.ListItem, Mode: changeset.Assign, Added: valuesIn(t, `["a","a"]`)},
		}},
			added + last + `_:j:e:list:x:1 rdf:_1 a L context:add:T;;
_:j:e:list:x:1 rdf:_2 a L context:add:T;;
_:j:e:list:x:1 rdf:type rdf:Seq R context:add:T;;
_:j:e:list:x:1 rdf:type ps:standalongseqtype R context:add:T;;
x p _:j:e:list:x:1 R context:add:T;;`},
		{"the empty list", `[]`, changeset.ObjectChange{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `[]`)...)}},
			added + last + "x p rdf:nil R context:add:T;;"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := changeset.Changeset{Branch: "AA", Seq: 1, Clock: 1700000000123 << 16, Objects: []changeset.ObjectChange{tt.change}}
			m, err := Codec{ModelURI: "u:"}.Emit(c, nil, "0", pastOf(t, tt.past))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(metadataRows+tt.want, written(m)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A message that decides a conflict says all that is there afterwards, so that
// it tells of the property even where nothing changed that its author could see.
func TestAMessageThatDecidesAConflictSaysAllThatIsThere(t *testing.T) {
	c := changeset.Changeset{Branch: "AA", Seq: 1, Clock: 1, Objects: []changeset.ObjectChange{
		{Root: "x", Props: []changeset.PropChange{assign("p", valuesIn(t, `"a"`)...), assign("q", valuesIn(t, `"b"`)...)}},
	}}
	past := pastOf(t, `{"id":"x","p":"a","q":"b"}`)
	m, err := Codec{ModelURI: "u:"}.Emit(c, nil, "0", func(root string) (Before, error) {
		b, err := past(root)
		b.Conflicts = [][2]string{{"x", "p"}}
		return b, err
	})
	if text := written(m); err != nil || !strings.Contains(text, "x p a L context:add:T;;") || strings.Contains(text, "x q") {
		t.Errorf("written as %s, %v", text, err)
	}
	broken := errors.New("no past")
	if _, err := (Codec{}).Emit(c, nil, "0", func(string) (Before, error) { return Before{}, broken }); !errors.Is(err, broken) {
		t.Errorf("without a past: %v", err)
	}
}

func TestAMessageSaysWhoseItIsWhenAndOnWhat(t *testing.T) {
	c := changeset.Changeset{
		Branch: "BB", Seq: 12, Clock: 1700000000123<<16 | 456, Author: "ann", Comment: "why\n",
		Objects: []changeset.ObjectChange{{Root: "é", Props: []changeset.PropChange{assign("p", valuesIn(t, `"😀"`)...)}}},
	}
	seen := branch.Revision{{Branch: "AA", Seq: 3}, {Branch: "BB", Seq: 11}}
	m, err := Codec{ModelURI: "u:"}.Emit(c, seen, "AA00003,BB00011", pastOf(t, `[]`))
	if err != nil {
		t.Fatal(err)
	}
	want := `T A#baseRevision AA00003,BB00011 L T
T A#hasRevision AA00003,BB00012 L T
T A#createdOn 1700000000.12 xsd:double T
T A#createdBy ann L T
T A#comment why
 L T
T A#includes context:add:T;; R T
context:add:T;; A#applies-to  R T
T rdf:type A#TransactionContext R T
é p 😀 L context:add:T;;`
	if diff := cmp.Diff(want, written(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	body := string(m.Encode())
	for _, part := range []string{
		`{"origin": "BB", "timestamp": 1700000000.123456, "statements": [["context:txn:u:;AA00003,BB00012", "`,
		`["\u00e9", "p", "\ud83d\ude00", "L", "context:add:context:txn:u:;AA00003,BB00012;;"]`, `"why\n"`,
		`]], "baserevision": "AA00003,BB00011", "revision": "AA00003,BB00012"}`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
}

// told writes what a changeset does, one property a line.
func told(c changeset.Changeset) string {
	var out []string
	for _, o := range c.Objects {
		if o.Delete {
			out = append(out, o.Root+" deleted")
		}
		for _, p := range o.Props {
			line := strings.TrimSpace(o.Root + " " + p.Subject + " " + p.Predicate)
			for _, v := range p.Removed {
				line += fmt.Sprintf(" -%s%s%v", v.Text, v.Scope, v.Positions)
			}
			for _, v := range p.Added {
				line += fmt.Sprintf(" +%s%s%v", v.Text, v.Scope, v.Positions)
			}
			out = append(out, line+map[changeset.Mode]string{changeset.Assign: " assigned", changeset.Patch: ""}[p.Mode])
		}
	}
	return shortNames.Replace(strings.ReplaceAll(strings.Join(out, "\n"), "[]", ""))
}

func TestTheStatementsOfAMessageAreReadAsWhatTheyDo(t *testing.T) {
	const seq = "http://www.w3.org/1999/02/22-rdf-syntax-ns#_"
	for _, tt := range []struct {
		name, past string
		rows       []Row // the scope is + or - and the original scope
		want       string
	}{
		{"a first value", `[]`, []Row{{"x", "p", "a", "L", "+"}}, "x  p +a assigned"},
		{"a second one", `{"id":"x","p":"a"}`, []Row{{"x", "p", "b", "L", "+"}}, "x  p +b"},
		{"one of two less", `[{"id":"x","p":["a","b"]},{"id":"y","p":1}]`, []Row{{"y", "p", "2", statement.XSDInteger, "+"}}, "y  p +2"},
		{"one for another", `{"id":"x","p":"a"}`, []Row{{"x", "p", "b", "L", "+"}, {"x", "p", "a", "L", "-"}}, "x  p +b assigned"},
		{"a value that is there", `{"id":"x","p":"a"}`, []Row{{"x", "p", "a", "L", "+"}}, ""},
		{"a value that is not there", `{"id":"x","p":"a"}`, []Row{{"x", "p", "b", "L", "-"}}, ""},
		{"a value of another type", `{"id":"x","p":"1","q":1}`, []Row{{"x", "p", "1", statement.XSDInteger, "-"}}, ""},
		{"the last property", `{"id":"x","p":"a"}`, []Row{{"x", "p", "a", "L", "-"}}, "x deleted"},
		{"the last value of a property", `{"id":"x","p":"a","q":1}`, []Row{{"x", "p", "a", "L", "-"}}, "x  p assigned"},
		{"a value of one scope", `{"id":"x","p":["a",{"datatype":"json","value":"a","context":"c"}],"q":1}`, []Row{{"x", "p", "a", "L", "-c"}}, "x  p +a[0] assigned"},
		{"a value of a scope that the original does not show", `{"id":"x","context":"context:u","p":"a","q":1}`, []Row{{"x", "p", "a", "L", "-"}}, "x  p assigned"},
		{"and no other value of such a scope, nor of another scope", `{"id":"x","p":[{"datatype":"json","value":"a","context":"context:u"},{"datatype":"json","value":"b","context":"context:u"},{"datatype":"json","value":"a","context":"c"}]}`,
			[]Row{{"x", "p", "a", "L", "-"}}, "x  p +ac[2] +bcontext:u[1] assigned"},
		{"a list", `[]`, []Row{{"x", "p", "a", "L", "+"}, {"x", "p", "b", "L", "+"}, {"bnode:j:proplist:x;p", seq + "1", "b", "L", "+"},
			{"bnode:j:proplist:x;p", seq + "2", "a", "L", "+"}, {"bnode:j:proplist:x;p", seq + "3", "b", "L", "+"}}, "x  p +a[1] +b[0 2] assigned"},
		{"a place of a value that is gone", `{"id":"x","p":"a"}`, []Row{{"bnode:j:proplist:x;p", seq + "1", "b", "L", "+"}}, ""},
		{"a place less", `{"id":"x","p":["a","b","a"]}`, []Row{{"bnode:j:proplist:x;p", seq + "3", "a", "L", "-"}}, "x  p +a[0] +b[1] assigned"},
		{"another order", `{"id":"x","p":["a","b"]}`, []Row{{"bnode:j:proplist:x;p", seq + "1", "a", "L", "-"}, {"bnode:j:proplist:x;p", seq + "2", "b", "L", "-"},
			{"bnode:j:proplist:x;p", seq + "2", "a", "L", "+"}, {"bnode:j:proplist:x;p", seq + "1", "b", "L", "+"}}, "x  p +a[1] +b[0] assigned"},
		{"a list whose record says what it is of", `[]`, []Row{{"x;y", "p;q", "a", "L", "+"}, {"bnode:j:proplist:x;y;p;q", seq + "1", "a", "L", "+"},
			{"bnode:j:proplist:x;y;p;q", seqProp, "p;q", "R", "+"}, {"bnode:j:proplist:x;y;p;q", seqSubject, "x;y", "R", "+"}}, "x;y  p;q +a[0] assigned"},
		{"one whose record does not, and the message has its property", `[]`, []Row{{"x", "p;q", "a", "L", "+"}, {"bnode:j:proplist:x;p;q", seq + "1", "a", "L", "+"}}, "x  p;q +a[0] assigned"},
		{"or that of another reading", `[]`, []Row{{"x;p", "q", "a", "L", "+"}, {"bnode:j:proplist:x;p;q", seq + "1", "a", "L", "+"}}, "x;p  q +a[0] assigned"},
		{"or the object had it", `[{"id":"x","p;r":1},{"id":"x;p","q":["a","b"]}]`, []Row{{"bnode:j:proplist:x;p;q", seq + "1", "a", "L", "-"}, {"bnode:j:proplist:x;p;q", seq + "3", "a", "L", "+"}}, "x;p  q +a[2] +b[1] assigned"},
		{"an item less in a list in a list", `{"id":"x","p":[["a","b"]]}`, []Row{{"_:j:e:list:x:1", seq + "1", "a", "L", "-"}}, "x _:j:e:list:x:1 http://www.w3.org/2000/01/rdf-schema#member +b[1] assigned"},
		{"a value of it at one place less", `{"id":"x","p":[["a","b","a"]]}`, []Row{{"_:j:e:list:x:1", seq + "1", "a", "L", "-"}}, "x _:j:e:list:x:1 http://www.w3.org/2000/01/rdf-schema#member +a[2] +b[1] assigned"},
		{"what cannot be stored is left out", `[]`, []Row{{strings.Repeat("x", 3000), "p", "a", "L", "+"}, {"x", "p", "", "R", "+"}, {"x", "p", "a", "L", "+"}}, "x  p +a assigned"},
		{"a list in a list", `[]`, []Row{{"x", "p", "bnode:j:e:list:x:1", "R", "+"}, {"bnode:j:e:list:x:1", seq + "1", "a", "L", "+"},
			{"bnode:j:e:list:x:1", rdfType, rdfSeq, "R", "+"}, {"bnode:j:e:list:x:1", rdfType, typeListSeq, "R", "+"}},
			"x  p +_:j:e:list:x:1 assigned\nx _:j:e:list:x:1 http://www.w3.org/2000/01/rdf-schema#member +a[0] assigned"},
		{"statements of no known scope", `[]`, []Row{{"x", "p", "a", "L", ""}, {"x", "p", "a", "L", "elsewhere"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Message{Origin: "AA", Timestamp: "1.5", Base: "0", Revision: "AA00001", seq: 1}
			for _, row := range tt.rows {
				if of, ok := strings.CutPrefix(row[scope], "+"); ok {
					row[scope] = addedIn + transaction + "v;AA00001" + scopeMark + of
				} else if of, ok := strings.CutPrefix(row[scope], "-"); ok {
					row[scope] = removedIn + transaction + "v;AA00001" + scopeMark + of
				}
				m.Rows = append(m.Rows, row)
			}
			c, err := Convert(m, Predecessor{}, pastOf(t, tt.past))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, told(c.Changeset)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheMetadataOfAMessageAreAuthorCommentTimeAndBase(t *testing.T) {
	const tx, data = transaction + "v;AA00002,BB00003", addedIn + transaction + "v;AA00002,BB00003" + scopeMark
	m := Message{Origin: "AA", Timestamp: "1700000000.000001", Base: "AA00001", Revision: "AA00002,BB00003", seq: 2, seen: branch.Revision{{Branch: "BB", Seq: 3}}}
	m.Rows = []Row{
		{tx, createdBy, "bob", "L", tx}, {tx, createdBy, "ann", "L", tx}, {tx, comment, "why", "L", tx},
		{"x", comment, "a", "L", data}, {"x", createdBy, "a", "L", data},
	}
	was := Predecessor{Seen: branch.Revision{{Branch: "BB", Seq: 2}}, Hash: [32]byte{1}}
	gone := changeset.Stamp{Clock: 5 << 16, Dot: branch.Dot{Branch: "BB", Seq: 1}}
	got, err := Convert(m, was, func(string) (Before, error) { return Before{Deleted: gone}, nil })
	if err != nil {
		t.Fatal(err)
	}
	c := got.Changeset
	if c.Author != "ann" || c.Comment != "why" || c.Clock != 1700000000000<<16|1 || c.Prev != was.Hash || c.Dot().String() != "AA00002" {
		t.Errorf("it is %+v", c)
	}
	if c.Base.String() != "BB00003" || CausalPast(m, was).String() != "AA00001,BB00003" {
		t.Errorf("it builds on %s, and all that its author had seen is %s", c.Base, CausalPast(m, was))
	}
	if len(c.Objects) != 1 || c.Objects[0].Floor != gone || len(c.Objects[0].Props) != 2 {
		t.Errorf("it changes %+v, and the object was deleted before at %v", c.Objects, gone)
	}
	broken := errors.New("no past")
	if _, err := Convert(m, was, func(string) (Before, error) { return Before{}, broken }); !errors.Is(err, broken) {
		t.Errorf("without a past: %v", err)
	}
}
