package jsonql

import (
	"errors"
	"strings"
	"testing"
)

func TestQueriesOfTheGrammarAreAccepted(t *testing.T) {
	for _, text := range []string{
		"{*}", "{ * , }", "{}", "[]", "{id}", "(id)", "[*]", "{a, b}", "{ 'k' : a }", "{ k : a }",
		"{<a b>}", "{omitnull a}", "{maybe a}", "{omitnull maybe a}", "{[a]}", "{[maybe a]}", "{[omitnull a]}", "{[id]}",
		"{'k' : omitnull a}", "{'k' : [a]}", "{'k' : [maybe a]}", "{'k' : [a + 1]}", "{'k' : ['x']}",
		"{id : *}", "{'k' : * mergeall}", "{* where a}", "{* where (a)}", "{*, where a}", "{where a}",
		"{* where a and b and not c}", "{* where not not a}", "{* where not (a = 1)}",
		"{* where a = 1 and 2 = b}", "{* where a == 'x' and a != :v}", "{* where (maybe a) = null}", "{* where b = maybe a}",
		"{* where maybe a}", "{* where a in (1, 2,)}", "{* where a not in :list}", "{* where a in b}", "{* where not a in (1)}",
		"{* where (a or b) = 1}", "{* where a < 1 and b <= 2 and c > 3 and d >= 4}", "{* where a = -b + 2 * c / 3 % 4}",
		"{* where upper(a) = 'X'}", "{'k' : if(a, b, c)}", "{'k' : a or 'x'}", "{'k' : not a and b}",
		"{* order by a}", "{* order by a, b desc, id asc}", "{* order by a desc, limit 1}", "{* order by a, where b}",
		"{* limit 1}", "{* limit 1 offset 2}", "{* limit 1, offset 2,}", "{* limit 1 limit 2}", "{* depth 3}",
		"{a, count(b) : 1 group by a}", "{'n' : count(*)}", "[count(a), sum(a), avg(a), min(a), max(a), total(maybe a)]",
		"{a where b group by a order by a limit 1}", "('x')", "(1 + 2,)", "[1, 'a', null, true, false, @x, :v]",
		"{a = 1 : b}", "{'k' : (a)}", "{* where ((((a))))}",
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWhatIsNotAQueryIsRefusedWithItsPlace(t *testing.T) {
	tests := []struct {
		text string
		col  int
		want string
	}{
		{"", 1, "syntax error at the end of the query: a query starts with {, [ or ("},
		{"foo", 1, `syntax error at "foo": a query starts with {, [ or (`},
		{"{*", 3, `at the end of the query: "}" should be here`},
		{"{* ]", 4, `at "]"`},
		{"{*} {*}", 5, "the query should end here"},
		{"{*/1}", 3, `at "/"`},
		{"{a b}", 4, `at "b"`},
		{"{foo:bar}", 5, "a colon and a name is a bind variable; put a blank after the colon"},
		{"{a + 1}", 2, "an expression in an object needs a name: write 'name' : and the value"},
		{"{'x'}", 2, "needs a name"},
		{"{'k' : }", 8, "a value should be here"},
		{"{'k' : where}", 8, "write <where> for a property of that name"},
		{"{* where}", 9, "a value should be here"},
		{"{* where a = }", 14, "a value should be here"},
		{"{* where a < b < c}", 16, "comparisons cannot be chained"},
		{"{* where (a}", 12, `")" should be here`},
		{"{* where a in ()}", 16, "an empty set has no members"},
		{"{* where a in (1 2)}", 18, "should be here"},
		{"{* order a}", 10, `"by" should be here`},
		{"{* group a}", 10, `"by" should be here`},
		{"{* limit x}", 10, "a whole number, 0 or more, should be here"},
		{"{* limit -1}", 10, "a whole number, 0 or more"},
		{"{* limit 1.5}", 10, "a whole number"},
		{"{* limit 99999999999999999999}", 10, "a whole number"},
		{"{* where a, b}", 13, `at "b"`},
		{"{omitnull}", 10, "a value should be here"},
		{"{[a}", 4, `"]" should be here`},
		{"(a, b)", 1, "a query in parentheses has exactly one value: use [...] for several"},
		{"()", 1, "a query in parentheses has exactly one value"},
		{"(*)", 1, "exactly one value"},
		{"{'k' : nofunc(a)}", 8, `unknown function "nofunc"`},
		{"{'k' : Upper(a)}", 8, "did you mean upper? Names of functions are case-sensitive"},
		{"{'k' : upper()}", 8, "upper takes 1 argument, and here are 0"},
		{"{'k' : trim(a, b, c)}", 8, "trim takes 1 to 2 arguments, and here are 3"},
		{"{'k' : if(a, b)}", 8, "if takes 3 arguments, and here are 2"},
		{"{'k' : sum(*)}", 8, "sum takes one value"},
		{"{'k' : count(a, b)}", 8, "count takes 1 argument, and here are 2"},
		{"{* where count(a) = 1}", 10, "count has no meaning here: it is computed over rows"},
		{"{* where a = 1e999}", 14, "beyond the range of a double"},
		{"{* where a.}", 12, "should follow the dot"},
	}
	for _, tt := range tests {
		_, err := Parse(tt.text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: error %v, want a *SyntaxError", tt.text, err)
			continue
		}
		if syntax.Line != 1 || syntax.Col != tt.col || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %q, want column %d and %q", tt.text, err, tt.col, tt.want)
		}
	}
}

func TestPlacesCountLinesAndCharacters(t *testing.T) {
	_, err := Parse("{ # é\n  'ä€' : nofunc(1)\n}")
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Line != 2 || syntax.Col != 10 {
		t.Errorf("error %v, want line 2, column 10", err)
	}
}

func TestDeepAndLongQueriesAreRefusedCheaply(t *testing.T) {
	for name, text := range map[string]string{
		"parentheses": "{* where " + strings.Repeat("(", 100_000),
		"not":         "{* where " + strings.Repeat("not ", 50_000) + "a}",
		"maybe":       "{* where " + strings.Repeat("maybe ", 40_000) + "a}",
		"signs":       "{* where " + strings.Repeat("- ", 100_000) + "a}",
		"calls":       "{* where " + strings.Repeat("upper(", 40_000),
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "nested more than 100 deep") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	_, err := Parse("{* where a = '" + strings.Repeat("x", 256<<10) + "'}")
	if err == nil || !strings.Contains(err.Error(), "pass long values as bind variables") {
		t.Errorf("a long query: error %v", err)
	}
	long := strings.Repeat("x", 200_000)
	for _, text := range []string{"{a '" + long + "'}", "{'k' : " + long + "()}", long} {
		if _, err := Parse(text); err == nil || len(err.Error()) > 300 {
			t.Errorf("%.20s...: the error has %d bytes", text, len(err.Error()))
		}
	}
	// Long without being deep is fine.
	if _, err := Parse("{* where a" + strings.Repeat(" and a", 10_000) + "}"); err != nil {
		t.Errorf("many conditions: %v", err)
	}
}

// FuzzParse proves that no text breaks the parser, and that what it accepts can
// be run.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"{*}", "{id, a, 'k' : [maybe b] where a = 1 and not c order by a desc, id limit 3 offset 1 depth 2}",
		"[count(*), sum(a) where b in (1, :v, @x)]", "('x')", "{a, 'n' : count(b) group by a}",
		`{<p q> : upper('\x41') + -1.5e3 mergeall} // end`, "{?x a where b < 2 and c >= maybe d or e}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Col < 1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if _, err := q.Run(t.Context(), emptySource{}, Bindings{"v": 1}, Limits{}); err != nil {
			if _, ok := errors.AsType[*EvaluationError](err); !ok {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
