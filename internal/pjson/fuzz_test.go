package pjson

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/statement"
)

// FuzzParse proves that no text breaks the parser, that it accepts JSON only,
// that every statement it gives can be stored, and that writing what it
// understood and reading that again changes nothing.
func FuzzParse(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d.text))
	}
	for _, n := range namemaps {
		f.Add([]byte(`{"pjson":"0.9","namemap":{` + n.namemap + `},"data":` + n.object + `}`))
	}
	f.Add([]byte("=multipart-json\n= 1 E\nlong\nE\n{\"id\":\"a\",\"p\":{\"multipartjsonref\":\"1\"}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := Parse(text, Options{IDs: Counter(), AllowReferences: true})
		if err != nil {
			return
		}
		if !json.Valid(text) && !bytes.HasPrefix(text, byteOrderMark) && !bytes.HasPrefix(text, []byte(multipartMark)) {
			t.Fatalf("accepted what is not JSON: %q", text)
		}
		list := doc.statements()
		for _, s := range list {
			if err := s.Check(); err != nil {
				t.Fatalf("%q gives a statement that cannot be stored: %v", text, err)
			}
		}
		written := AppendJSON(nil, writer(t, Format{PreserveTypes: true}).Document(list))
		back, err := Parse(written, Options{IDs: Counter()})
		if err != nil {
			t.Fatalf("%q was written as %s: %v", text, written, err)
		}
		if len(lists(list)) > 0 {
			return // lists get new ids; the property test covers them
		}
		if diff := cmp.Diff(statement.Set(list), statement.Set(back.statements())); diff != "" {
			t.Fatalf("%q was written as %s\n(-first +second):\n%s", text, written, diff)
		}
	})
}

// lists are the statements that are about lists inside lists.
func lists(list []statement.Statement) []statement.Statement {
	var out []statement.Statement
	for _, s := range list {
		if statement.IsList(s.Subject) || s.IsRef() && statement.IsList(s.Text) {
			out = append(out, s)
		}
	}
	return out
}
