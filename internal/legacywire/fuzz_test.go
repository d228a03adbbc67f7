package legacywire

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// someObject is what the author of every fuzzed message saw.
func someObject(root string) (Before, error) {
	at := func(predicate, text string, positions ...int) statement.Statement {
		return statement.Statement{Subject: root, Predicate: predicate, Term: statement.Literal(text), Positions: positions}
	}
	return Before{
		Statements: []statement.Statement{at("foo", "bar"), at("foo", "baz"), at("l", "a", 0, 2), at("l", "b", 1)},
		Conflicts:  [][2]string{{root, "foo"}},
	}, nil
}

// FuzzParse reads anything. What is read as a message is written in ASCII and
// reads as the same again, and makes a changeset that is in order, or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Parse(body)
		if err != nil {
			return
		}
		text := m.Encode()
		if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf }) {
			t.Fatalf("written as %q", text)
		}
		again, err := Parse(text)
		if err != nil || !bytes.Equal(again.Encode(), text) || again.Dot() != m.Dot() || !again.Seen().Equal(m.Seen()) {
			t.Fatalf("read again it is %s and %v, %v", again.Encode(), again.Dot(), err)
		}
		before := Predecessor{}
		if m.Dot().Seq > 1 {
			before.Hash[0] = 1
		}
		one, err := Convert(m, before, someObject)
		if err != nil {
			return
		}
		two, err := Convert(again, before, someObject)
		if err != nil || one.Envelope.Hash != two.Envelope.Hash {
			t.Fatalf("it is converted to two changesets, %v", err)
		}
		back, err := changeset.Decode(one.Envelope, changeset.DefaultLimits())
		if err != nil || back.Dot() != m.Dot() {
			t.Fatalf("it made a changeset that cannot be read: %v", err)
		}
	})
}

// FuzzShape gives what a message did to a node of this project as a transaction
// of its own: the form it gets must come back the same.
func FuzzShape(f *testing.F) {
	f.Add([]byte(example))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Parse(body)
		if err != nil || m.Dot().Seq != 1 {
			return
		}
		c, err := Convert(m, Predecessor{}, someObject)
		if err != nil {
			return
		}
		k := Codec{ModelURI: "http://example.com/"}
		shaped, m, err := k.Shape(c.Changeset, Predecessor{}, someObject)
		if err != nil || len(shaped.Objects) == 0 {
			return
		}
		again, err := k.Message(shaped, Predecessor{}, someObject)
		if err != nil || !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatalf("%v: %s and %s", err, again.Encode(), m.Encode())
		}
	})
}
