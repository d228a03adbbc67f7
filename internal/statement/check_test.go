package statement

import (
	"strings"
	"testing"
)

func TestWhatCanBeStoredIsAccepted(t *testing.T) {
	embedded := EmbeddedObjectMark + strings.Repeat("a", MaxIDBytes) + ":x0123456789abcdef0123456789abcdef12345"
	tests := map[string]Statement{
		"the smallest":             {Subject: "a", Predicate: "p", Term: Literal("")},
		"the longest id":           {Subject: strings.Repeat("a", MaxIDBytes), Predicate: "p", Term: Literal("x")},
		"the longest embedded id":  {Subject: AnonymousPrefix + embedded, Predicate: "p", Term: Literal("x")},
		"the longest name":         {Subject: "a", Predicate: strings.Repeat("p", MaxPredicateBytes), Term: Literal("x")},
		"the longest text":         {Subject: "a", Predicate: "p", Term: Literal(strings.Repeat("x", MaxTextBytes))},
		"a language":               {Subject: "a", Predicate: "p", Term: Term{"x", "en-US"}},
		"every other character":    {Subject: "a\n\x01€", Predicate: "\t😀", Term: Literal("\ufffd\x7f")},
		"positions":                {Subject: "a", Predicate: "p", Term: Literal("x"), Positions: []int{0, 1, 7}},
		"no positions, not nil":    {Subject: "a", Predicate: "p", Term: Literal("x"), Positions: []int{}},
		"the empty list":           {Subject: "a", Predicate: "p", Term: EmptyList()},
		"a scope":                  {Subject: "a", Predicate: "p", Term: Null(), Scope: strings.Repeat("s", MaxScopeBytes)},
		"a reference to something": {Subject: "a", Predicate: "p", Term: Reference("bnode:j:e:object:a:x1")},
	}
	for name, s := range tests {
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatCannotBeStoredIsRefusedWithTheReason(t *testing.T) {
	ok := Statement{Subject: "user:1", Predicate: "name", Term: Literal("x")}
	tests := []struct {
		name  string
		wreck func(*Statement)
		want  string
	}{
		{"no id", func(s *Statement) { s.Subject = "" }, "id is empty: give it at least one character"},
		{"a long id", func(s *Statement) { s.Subject = "k" + strings.Repeat("é", MaxIDBytes/2) },
			`id "k` + strings.Repeat("é", 39) + `"... is too long: 2049 bytes, and the limit is 2048`},
		{"a long embedded id", func(s *Statement) {
			s.Subject = "_:j:e:object:a:x" + strings.Repeat("0", MaxEmbeddedIDBytes)
		}, "and the limit is 2176"},
		{"no property name", func(s *Statement) { s.Predicate = "" }, `object "user:1": property name is empty`},
		{"a long property name", func(s *Statement) { s.Predicate = strings.Repeat("p", 2049) },
			`object "user:1": property name "` + strings.Repeat("p", 40) + `"... is too long: 2049 bytes, and the limit is 2048`},
		{"a long text", func(s *Statement) { s.Text = strings.Repeat("x", MaxTextBytes+1) },
			`property "name" of object "user:1": value "` + strings.Repeat("x", 40) + `"... is too long: 8388609 bytes`},
		{"a long type", func(s *Statement) { s.Type = strings.Repeat("t", MaxTypeBytes+1) }, "datatype"},
		{"no type", func(s *Statement) { s.Type = "" }, `value "x" has no type`},
		{"a pJSON language", func(s *Statement) { s.Type = "lang:en" }, "a language tag stands alone"},
		{"a long scope", func(s *Statement) { s.Scope = strings.Repeat("s", MaxScopeBytes+1) }, "context"},
		{"an empty reference", func(s *Statement) { s.Term = Reference("") }, "reference: id is empty"},
		{"a long reference", func(s *Statement) { s.Term = Reference(strings.Repeat("r", MaxIDBytes+1)) }, "reference: id"},
		{"NUL in an id", func(s *Statement) { s.Subject = "a\x00b" },
			`id "a\x00b" contains a NUL character at byte 1: remove it, Vesper cannot store it`},
		{"NUL in a name", func(s *Statement) { s.Predicate = "\x00" }, "contains a NUL character at byte 0"},
		{"NUL in a text", func(s *Statement) { s.Text = "abc\x00" }, "contains a NUL character at byte 3"},
		{"NUL in a scope", func(s *Statement) { s.Scope = "\x00" }, "contains a NUL"},
		{"invalid UTF-8", func(s *Statement) { s.Text = "ok\ufffd\xff" }, "is not valid UTF-8 at byte 5: send text encoded as UTF-8"},
		{"half a surrogate pair", func(s *Statement) { s.Text = "\xed\xa0\xbd" }, "is not valid UTF-8 at byte 0"},
		{"a negative position", func(s *Statement) { s.Positions = []int{-1} }, "list position -1"},
		{"positions out of order", func(s *Statement) { s.Positions = []int{2, 1} }, "list position 1 follows 2"},
		{"a position twice", func(s *Statement) { s.Positions = []int{2, 2} }, "list position 2 follows 2"},
		{"a position too far", func(s *Statement) { s.Positions = []int{MaxListItems} }, "a list holds at most 1048576 items"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := ok
			tt.wreck(&s)
			err := s.Check()
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not contain %q", err, tt.want)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error has %d bytes: it repeats what was sent", len(err.Error()))
			}
		})
	}
}

func TestAnExcerptIsShortAndPrintable(t *testing.T) {
	tests := map[string]string{
		"":                            `""`,
		"abc":                         `"abc"`,
		"a\nb\x00\xff":                `"a\nb\x00\xff"`,
		strings.Repeat("ü", 40):       `"` + strings.Repeat("ü", 40) + `"`,
		strings.Repeat("ü", 41):       `"` + strings.Repeat("ü", 40) + `"...`,
		strings.Repeat("x", 10000000): `"` + strings.Repeat("x", 40) + `"...`,
	}
	for text, want := range tests {
		if got := Excerpt(text); got != want {
			t.Errorf("Excerpt of %d bytes = %s, want %s", len(text), got, want)
		}
	}
}
