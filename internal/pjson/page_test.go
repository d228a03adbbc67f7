package pjson

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/statement"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "pjson.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// examples are what the documents on the page say, in the page's order.
var examples = [][]string{
	{"ada knows bob R"},
	{"http://example.com/1 http://www.w3.org/1999/02/22-rdf-syntax-ns#type http://www.w3.org/1999/02/22-rdf-syntax-ns#List R",
		"http://example.com/1 plain plain R"},
	{"page body A text of \"many\" lines,\nas it is. L"},
}

func TestTheDocumentsOnThePageMeanWhatItSays(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```(?:json|text)\n(.*?)```").FindAllStringSubmatch(page(t), -1)
	if len(blocks) != len(examples) {
		t.Fatalf("the page has %d documents, want %d", len(blocks), len(examples))
	}
	for i, b := range blocks {
		got := linesOf(statementsOf(t, b[1]))
		slices.Sort(got)
		if diff := cmp.Diff(examples[i], got); diff != "" {
			t.Errorf("%s(-want +got):\n%s", b[1], diff)
		}
	}
}

func TestTheValuesOnThePageCanBeRead(t *testing.T) {
	_, table, _ := strings.Cut(page(t), "## Values")
	table, _, _ = strings.Cut(table, "\n`1`")
	read := 0
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " |")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			if m[1] == "id" {
				continue // the name of a key
			}
			value := strings.ReplaceAll(strings.ReplaceAll(m[1], "{...}", `{"p":1}`), "[...]", "[1]")
			if _, err := Parse([]byte(`{"id":"a","p":`+value+`}`), Options{}); err != nil {
				t.Errorf("%s: %v", value, err)
			}
			read++
		}
	}
	if read < 12 {
		t.Errorf("only %d values were found on the page", read)
	}
}

func TestTheBoundsOnThePageAreThoseThatHold(t *testing.T) {
	text := strings.Join(strings.Fields(page(t)), " ")
	spaced := func(n int) string { return regexp.MustCompile(`(\d)(\d{3})$`).ReplaceAllString(fmt.Sprint(n), "$1 $2") }
	for what, want := range map[string]string{
		"pattern":   "at most " + spaced(maxPatternBytes) + " bytes and " + spaced(maxSteps) + " steps",
		"document":  fmt.Sprintf("%d patterns, %s steps and %s different namemaps", maxPatterns, spaced(maxDocumentSteps), spaced(maxNamemaps)),
		"match":     "more than " + spaced(maxMatchBytes) + " bytes matches no pattern",
		"depth":     fmt.Sprintf("nested more than %d deep", maxDepth),
		"number":    "a number of more than " + spaced(statement.MaxNumberBytes) + " bytes",
		"string":    fmt.Sprintf("a string of more than %d MiB", statement.MaxTextBytes>>20),
		"names":     "an id, name or context of more than " + spaced(statement.MaxIDBytes) + " bytes",
		"listItems": "more than 1 048 576 items",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: the page does not say %q", what, want)
		}
	}
	if statement.MaxListItems != 1048576 || statement.MaxPredicateBytes != statement.MaxIDBytes || statement.MaxScopeBytes != statement.MaxIDBytes {
		t.Error("the page gives one bound for several that differ")
	}
}
