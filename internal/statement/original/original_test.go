package original

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// rows writes statements one a line: subject predicate text type scope positions.
func rows(text string) []statement.Statement {
	var out []statement.Statement
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		expand := strings.NewReplacer("rdf:", rdf, "ps:", schema).Replace
		s := statement.Statement{Subject: f[0], Predicate: expand(f[1]), Term: statement.Term{Text: f[2], Type: f[3]}}
		if s.IsRef() {
			s.Text = expand(s.Text)
		}
		for _, extra := range f[4:] {
			if place, ok := strings.CutPrefix(extra, "#"); ok {
				s.Positions = append(s.Positions, int(place[0]-'0'))
			} else {
				s.Scope = extra
			}
		}
		out = append(out, s)
	}
	return out
}

var translations = map[string]struct{ ours, originals string }{
	"a scalar is itself": {
		`a p x L`,
		`a p x L`,
	},
	"an ordered property has a proplist": {
		`a p x L #0 #2
		 a p y L #1`,
		`a p x L
		 a p y L
		 a ps:propseq _:j:proplist:a;p R
		 _:j:proplist:a;p rdf:type rdf:Seq R
		 _:j:proplist:a;p rdf:type ps:propseqtype R
		 _:j:proplist:a;p ps:propseqprop p R
		 _:j:proplist:a;p ps:propseqsubject a R
		 _:j:proplist:a;p rdf:_1 x L
		 _:j:proplist:a;p rdf:_2 y L
		 _:j:proplist:a;p rdf:_3 x L`,
	},
	"the empty list has none": {
		`a p rdf:nil R`,
		`a p rdf:nil R`,
	},
	"the proplist is in the scope of its values": {
		`a p x L c1 #0`,
		`a p x L c1
		 a ps:propseq _:j:proplist:a;p R c1
		 _:j:proplist:a;p rdf:type rdf:Seq R c1
		 _:j:proplist:a;p rdf:type ps:propseqtype R c1
		 _:j:proplist:a;p ps:propseqprop p R c1
		 _:j:proplist:a;p ps:propseqsubject a R c1
		 _:j:proplist:a;p rdf:_1 x L c1`,
	},
	"a list inside a list is a numbered sequence": {
		`a p _:j:e:list:a:1 R #0
		 _:j:e:list:a:1 http://www.w3.org/2000/01/rdf-schema#member x L #0 #1`,
		`a p _:j:e:list:a:1 R
		 a ps:propseq _:j:proplist:a;p R
		 _:j:proplist:a;p rdf:type rdf:Seq R
		 _:j:proplist:a;p rdf:type ps:propseqtype R
		 _:j:proplist:a;p ps:propseqprop p R
		 _:j:proplist:a;p ps:propseqsubject a R
		 _:j:proplist:a;p rdf:_1 _:j:e:list:a:1 R
		 _:j:e:list:a:1 rdf:type rdf:Seq R
		 _:j:e:list:a:1 rdf:type ps:standalongseqtype R
		 _:j:e:list:a:1 rdf:_1 x L
		 _:j:e:list:a:1 rdf:_2 x L`,
	},
}

func TestListsAreTranslatedBothWays(t *testing.T) {
	for name, tt := range translations {
		t.Run(name, func(t *testing.T) {
			ours, originals := statement.Set(rows(tt.ours)), statement.Set(rows(tt.originals))
			if diff := cmp.Diff(originals, Expand(ours, "_:")); diff != "" {
				t.Errorf("Expand (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(ours, Fold(originals)); diff != "" {
				t.Errorf("Fold (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProplistsAreNotMadeForRDFsOwnLists(t *testing.T) {
	for _, predicate := range []string{rdfFirst, rdfItem + "1", statement.ListItem} {
		s := statement.Statement{Subject: "a", Predicate: predicate, Term: statement.Literal("x"), Positions: []int{0}}
		if got := Expand([]statement.Statement{s}, "_:"); len(got) != 1 || got[0].Positions != nil {
			t.Errorf("%s: %v", predicate, got)
		}
	}
}

func TestAValueAloneInItsScopeBesideOthersIsNoList(t *testing.T) {
	got := Expand(rows("a p x L #0\na p y L c1 #1\na p z L c1 #2"), "_:")
	scopes := map[string]int{}
	for _, s := range got {
		if s.Subject == "_:j:proplist:a;p" && strings.HasPrefix(s.Predicate, rdfItem) {
			scopes[s.Scope]++
		}
	}
	if scopes[""] != 0 || scopes["c1"] != 2 {
		t.Errorf("items by scope: %v, want 2 in c1 and none in the default scope", scopes)
	}
}

func TestWhatAProplistNoLongerSaysIsIgnored(t *testing.T) {
	tests := map[string]struct{ originals, want string }{
		"an entry whose value is gone": {
			`a p x L
			 _:j:proplist:a;p ps:propseqprop p R
			 _:j:proplist:a;p ps:propseqsubject a R
			 _:j:proplist:a;p rdf:_1 gone L
			 _:j:proplist:a;p rdf:_2 x L`,
			`a p x L #1`},
		"a value without entry": {
			`a p x L
			 a p y L
			 _:j:proplist:a;p ps:propseqprop p R
			 _:j:proplist:a;p ps:propseqsubject a R
			 _:j:proplist:a;p rdf:_5 x L`,
			`a p x L #0
			 a p y L`},
		"a proplist without items": {
			`a p x L
			 a ps:propseq bnode:j:proplist:a;p R
			 bnode:j:proplist:a;p rdf:type rdf:Seq R
			 bnode:j:proplist:a;p ps:propseqprop p R
			 bnode:j:proplist:a;p ps:propseqsubject a R`,
			`a p x L`},
		"two entries at one place": {
			`a p x L
			 a p y L
			 _:j:proplist:a;p ps:propseqprop p R
			 _:j:proplist:a;p ps:propseqsubject a R
			 _:j:proplist:a;p rdf:_1 y L
			 _:j:proplist:a;p rdf:_1 x L`,
			`a p x L #0
			 a p y L #1`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(statement.Set(rows(tt.want)), Fold(rows(tt.originals))); diff != "" {
				t.Errorf("Fold (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListsSurviveTheOriginalsForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "z", "10", "9"}), 1, 12).Draw(t, "values")
		var list []statement.Statement
		for i, v := range values {
			list = append(list, statement.Statement{
				Subject: "a", Predicate: "p;q", Term: statement.Literal(v), Positions: []int{i},
			})
		}
		list = statement.Set(list)
		originals := Expand(list, statement.AnonymousPrefix)
		if slices.ContainsFunc(originals, func(s statement.Statement) bool { return s.Positions != nil }) {
			t.Fatal("the original's form has positions")
		}
		if diff := cmp.Diff(list, Fold(originals)); diff != "" {
			t.Fatalf("there and back (-want +got):\n%s", diff)
		}
	})
}
