package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

const (
	language = "docs/jsonql.md"
	syntaxOf = "internal/jsonql/syntax"
)

// example is a query of the reference. The blocks of the page are, by their
// info strings:
//
//	json data               the objects that the queries after it are about
//	json history            the same, as a list of what was written one after the other
//	json bindvars           the bind variables of the query after it
//	text query [forUpdate]  a query
//	json                    its rows
//	json plan               how it was answered
//	text error              why it is refused, or what was skipped in it
//	text grammar            the grammar, in EBNF
type example struct {
	query fence
	data  string
	// history says that the data is a history.
	history  bool
	bindvars string
	// answers are the indexes of the blocks after the query that say what comes of it.
	answers []int
}

// examplesOf returns the examples in the blocks of a page.
func examplesOf(all []fence) ([]example, error) {
	var out []example
	var data, bindvars string
	history := false
	for i, f := range all {
		switch info := f.kind + " " + f.name; info {
		case "json data", "json history":
			data, history = f.body, f.name == "history"
		case "json bindvars":
			bindvars = f.body
		case "text query", "text query forUpdate":
			out = append(out, example{query: f, data: data, history: history, bindvars: bindvars})
			bindvars = ""
		case "json ", "json plan", "text error":
			if len(out) == 0 {
				return nil, fmt.Errorf("%s: an answer before the first query", f.place())
			}
			last := &out[len(out)-1]
			last.answers = append(last.answers, i)
		case "text grammar":
		default:
			return nil, fmt.Errorf("%s: a block of the reference is none of %q", f.place(), info)
		}
	}
	for _, e := range out {
		if len(e.answers) == 0 || e.data == "" {
			return nil, fmt.Errorf("%s: a query without data, or without an answer", e.query.place())
		}
	}
	return out, nil
}

func (e example) source(t *testing.T) (jsonql.Source, error) {
	t.Helper()
	if e.history {
		return sourceWithHistory(t, e.data)
	}
	return sourceOf(e.data)
}

func sourceOf(data string) (jsonql.Source, error) {
	doc, err := pjson.Parse([]byte(data), pjson.Options{IDs: pjson.Counter()})
	if err != nil {
		return nil, err
	}
	var list []statement.Statement
	for _, o := range doc.Objects {
		list = append(list, o.Statements...)
	}
	return jsonqltest.Indexed{Source: jsonqltest.New(list)}, nil
}

// ask runs a query, and returns what it answers by the info string of a block.
func (e example) ask(t *testing.T) (map[string]string, error) {
	t.Helper()
	src, err := e.source(t)
	if err != nil {
		return nil, fmt.Errorf("%s: the data of the example: %w", e.query.place(), err)
	}
	var bound jsonql.Bindings
	if e.bindvars != "" {
		if err := json.Unmarshal([]byte(e.bindvars), &bound); err != nil {
			return nil, fmt.Errorf("%s: %w", e.query.place(), err)
		}
	}
	return answersOf(e.run(t, src, bound)), nil
}

func answersOf(got jsonql.Result, refused error) map[string]string {
	if refused != nil {
		return map[string]string{"text error": refused.Error()}
	}
	plan, err := json.Marshal(got.Plan)
	if err != nil {
		return map[string]string{"text error": err.Error()}
	}
	out := map[string]string{"json ": string(pjson.AppendJSON(nil, got.Rows)), "json plan": string(plan)}
	if len(got.Errors) > 0 {
		out["text error"] = strings.Join(got.Errors, "\n")
	}
	return out
}

func (e example) run(t *testing.T, src jsonql.Source, bound jsonql.Bindings) (jsonql.Result, error) {
	t.Helper()
	q, err := jsonql.Parse(strings.TrimSuffix(e.query.body, "\n"))
	if err != nil {
		return jsonql.Result{}, err
	}
	q.ForUpdate = e.query.name == "query forUpdate"
	return q.Run(t.Context(), src, bound, jsonql.Limits{})
}

// compare returns how a block differs from what was answered.
func (e example) compare(shown fence, got map[string]string) error {
	answer, ok := got[shown.kind+" "+shown.name]
	if !ok {
		return fmt.Errorf("%s: the answer is of another kind: %q", shown.place(), got)
	}
	match := matchText
	if shown.kind == "json" {
		match = matchJSON
	}
	if err := match(shown.body, answer); err != nil {
		return fmt.Errorf("%s: %w\nof %sanswered was %s", shown.place(), err, e.query.body, answer)
	}
	return nil
}

func reference(t *testing.T) ([]fence, []example) {
	t.Helper()
	all := fencesOf(t, language)
	list, err := examplesOf(all)
	if err != nil {
		t.Fatal(err)
	}
	return all, list
}

func TestJSONQLExamplesAnswerWhatTheReferenceShows(t *testing.T) {
	all, list := reference(t)
	answers := map[int]string{}
	for _, e := range list {
		got, err := e.ask(t)
		if err != nil {
			t.Fatal(err)
		}
		if got["text error"] != "" && !slices.ContainsFunc(e.answers, func(i int) bool { return all[i].name == "error" }) {
			t.Errorf("%s: %q is not shown", e.query.place(), got["text error"])
		}
		for _, i := range e.answers {
			if err := e.compare(all[i], got); err != nil && *update {
				answers[i] = got[all[i].kind+" "+all[i].name]
			} else if err != nil {
				t.Error(err)
			}
		}
	}
	if *update {
		rewrite(t, language, all, answers)
	}
	if len(list) < 90 {
		t.Errorf("the reference has %d examples, expected at least 90", len(list))
	}
}

func TestAJSONQLExampleWithAnotherAnswerIsFound(t *testing.T) {
	page := "```json data\n[{\"id\": \"a\", \"x\": 1}]\n```\n```text query\n{id, x}\n```\n```%s\n%s\n```\n"
	for _, shown := range [][2]string{
		{"json", `[{"id": "@a", "x": 2}]`}, {"json", `[]`}, {"json", `[{"id": "@a", "x": 1}, {}]`}, {"text error", "no"},
	} {
		all, err := fences("x.md", fmt.Sprintf(page, shown[0], shown[1]))
		if err != nil {
			t.Fatal(err)
		}
		list, err := examplesOf(all)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d examples, %v", len(list), err)
		}
		got, err := list[0].ask(t)
		if err != nil {
			t.Fatal(err)
		}
		if list[0].compare(all[2], got) == nil {
			t.Errorf("%s passed, and answered was %s", shown, got)
		}
	}
}

func TestAJSONQLExampleMustHaveDataAndAnAnswer(t *testing.T) {
	for page, want := range map[string]string{
		"```text query\n{*}\n```\n```json\n[]\n```\n":      "without data",
		"```json data\n[]\n```\n```text query\n{*}\n```\n": "without an answer",
		"```json\n[]\n```\n":                               "before the first query",
		"```text\n{*}\n```\n":                              "none of",
	} {
		all, err := fences("x.md", page)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := examplesOf(all); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", page, err, want)
		}
	}
}

// words returns the texts in a variable of the package that reads queries:
// the keys of a map, or the members of a list.
func words(t *testing.T, file, variable string) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, syntaxOf, file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != variable {
			return true
		}
		out = append(out, texts(t, spec)...)
		return false
	})
	if len(out) == 0 {
		t.Fatalf("%s has no %s", file, variable)
	}
	slices.Sort(out)
	return out
}

func texts(t *testing.T, spec *ast.ValueSpec) (out []string) {
	t.Helper()
	literal, ok := spec.Values[0].(*ast.CompositeLit)
	if !ok {
		t.Fatalf("%s is no literal", spec.Names[0].Name)
	}
	for _, e := range literal.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok {
			e = pair.Key
		}
		if text, ok := e.(*ast.BasicLit); ok {
			word, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, word)
		}
	}
	return out
}

var (
	// quotedRE finds what in a query is no word of it.
	quotedRE = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|/\*(?s:.*?)\*/|(?://|#).*|@[^\s})\],]*`)
	wordRE   = regexp.MustCompile(`[A-Za-z_$][\w$]*|==|!=|<=|>=|\S`)
)

// used returns the words in the queries that are answered, and not refused.
func used(t *testing.T) map[string]bool {
	t.Helper()
	all, list := reference(t)
	out := map[string]bool{}
	for _, e := range list {
		if !slices.ContainsFunc(e.answers, func(i int) bool { return all[i].kind == "json" }) {
			continue
		}
		for _, word := range wordRE.FindAllString(quotedRE.ReplaceAllString(e.query.body, " "), -1) {
			out[word] = true
		}
	}
	return out
}

func TestEveryJSONQLWordHasAnExample(t *testing.T) {
	seen := used(t)
	want := slices.Concat(words(t, "token.go", "keywords"), words(t, "token.go", "symbols"),
		words(t, "named.go", "arity"), words(t, "named.go", "named"), []string{"after"})
	for _, word := range want {
		if !seen[word] {
			t.Errorf("%s is in no example", word)
		}
	}
	if len(want) < 70 {
		t.Errorf("the language has %d words, expected at least 70", len(want))
	}
}

func TestTheTableOfJSONQLFunctionsIsWhatTheyAre(t *testing.T) {
	documented := map[string]bool{}
	for _, heading := range []string{"## Functions", "## Aggregates", "### The history of a value"} {
		for name := range table(t, language, heading, 1) {
			if name, _, called := strings.Cut(name, "("); called {
				documented[name] = true
			}
		}
	}
	actual := map[string]bool{}
	for _, name := range words(t, "named.go", "arity") {
		actual[name] = true
	}
	sameKeys(t, "the function", documented, actual)
}

var (
	ruleRE     = regexp.MustCompile(`(?m)^(\w+) += `)
	terminalRE = regexp.MustCompile(`"([^"]+)"`)
	proseRE    = regexp.MustCompile(`"[^"]+"|\(\*.*?\*\)`)
	namesRE    = regexp.MustCompile(`[a-z]\w*`)
)

// grammar returns the text of the grammar.
func grammar(t *testing.T) string {
	t.Helper()
	all, _ := reference(t)
	at := slices.IndexFunc(all, func(f fence) bool { return f.name == "grammar" })
	if at < 0 {
		t.Fatal("the reference has no grammar")
	}
	return all[at].body
}

func TestTheJSONQLGrammarHasEveryWordAndNoOther(t *testing.T) {
	shown := map[string]bool{}
	for _, m := range terminalRE.FindAllStringSubmatch(grammar(t), -1) {
		shown[m[1]] = true
	}
	actual := map[string]bool{"after": true}
	for _, list := range [][]string{words(t, "token.go", "keywords"), words(t, "token.go", "symbols"), words(t, "named.go", "named")} {
		for _, word := range list {
			actual[word] = true
		}
	}
	sameKeys(t, "the word", shown, actual)
}

func TestTheJSONQLGrammarDefinesWhatItNames(t *testing.T) {
	text := grammar(t)
	defined := map[string]bool{}
	for _, m := range ruleRE.FindAllStringSubmatch(text, -1) {
		defined[m[1]] = true
	}
	named := map[string]bool{"query": true}
	for line := range strings.SplitSeq(proseRE.ReplaceAllString(text, " "), "\n") {
		for _, name := range namesRE.FindAllString(ruleRE.ReplaceAllString(line, ""), -1) {
			named[name] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(named)), slices.Sorted(maps.Keys(defined)); !slices.Equal(got, want) {
		t.Errorf("named are\n%q, and defined are\n%q", got, want)
	}
}

func TestTheJSONQLLimitsOfTheTextAreWhatTheReferenceSays(t *testing.T) {
	for name, query := range map[string]string{
		"the text of a query":                             "{id}" + strings.Repeat(" ", 256<<10-4),
		"constructs and expressions inside of each other": strings.Repeat("(", 98) + "1" + strings.Repeat(")", 98),
		"illegal characters":                              "{id}" + strings.Repeat("~", 20),
	} {
		if !slices.ContainsFunc(rows(t, language, "## Limits"), func(cells []string) bool { return cells[0] == name }) {
			t.Errorf("%s is not in the table of limits", name)
		}
		if _, err := jsonql.Parse(query); err != nil {
			t.Errorf("%s: as many as the table says: %v", name, err)
		}
		more := strings.Replace(strings.Replace(query, "1", "(((1)))", 1), "{id}", "{id} ~", 1)
		fault := &jsonql.SyntaxError{}
		if _, err := jsonql.Parse(more); !errors.As(err, &fault) {
			t.Errorf("%s: one more is not refused: %v", name, err)
		}
	}
}
