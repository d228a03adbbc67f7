package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/statement/conformance"
)

var outcomes = []conformance.Outcome{
	{Group: "queries, tier 1", Case: "q1", Holds: true},
	{Group: "queries, tier 2", Case: "q2", Holds: true},
	{Group: "queries, tier 2", Case: "q3"},
	{Group: "queries, tier 2", Case: "q4"},
	{Group: free, Case: "s1"},
}

const page = `# A
` + figuresStart + `old
` + figuresEnd + `
## Deviations

| recording | why |
|---|---|
| ` + "`q3`" + ` | a fault there |
`

func TestOutcomesAreCountedByGroupWithNamedDeviationsApart(t *testing.T) {
	got := tally(outcomes, deviations(page))
	want := []line{{"queries, tier 1", 1, 1, 0, 0}, {"queries, tier 2", 1, 3, 1, 1}, {free, 0, 1, 0, 1}}
	if !slices.Equal(got.lines, want) {
		t.Errorf("lines %+v, want %+v", got.lines, want)
	}
	if !slices.Equal(got.wrong, []string{"q4"}) || len(got.stale) != 0 {
		t.Errorf("wrong %q, stale %q; want q4 alone, and what the original skips itself to be free", got.wrong, got.stale)
	}
	if got.holding("queries") != 2 {
		t.Errorf("%d queries hold, want 2 of both tiers", got.holding("queries"))
	}
}

func TestADeviationThatHoldsOrIsOfNothingIsStale(t *testing.T) {
	got := tally(outcomes, map[string]string{"q1": "no longer", "q9": "never", "q3": "yes"})
	if !slices.Equal(got.stale, []string{"q1", "q9"}) {
		t.Errorf("stale %q", got.stale)
	}
}

func TestTheVerdictNamesAllThatIsWrong(t *testing.T) {
	r := tally(outcomes, map[string]string{"q1": "no longer"})
	err := r.verdict(page, os.ErrDeadlineExceeded)
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{
		"queries: 2 hold, and 188 must", "tutorial: 0 hold, and 2 must", "q3 fails", "q4 fails",
		"names the deviation q1", "has other figures", os.ErrDeadlineExceeded.Error(),
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the verdict does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s1") {
		t.Errorf("the verdict blames what has no goal:\n%v", err)
	}
}

func TestAllThatMustHoldGivesNoError(t *testing.T) {
	var r result
	for _, g := range goals {
		r.lines = append(r.lines, line{group: g.group, holds: g.holds, of: g.holds})
	}
	text, err := r.writeInto([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.verdict(string(text), nil); err != nil {
		t.Error(err)
	}
}

func TestFiguresAreWrittenBetweenTheirMarks(t *testing.T) {
	r := tally(outcomes, nil)
	text, err := r.writeInto([]byte(page))
	if err != nil || strings.Contains(string(text), "old\n") || !strings.Contains(string(text), figuresStart+r.String()+figuresEnd) ||
		!strings.HasPrefix(string(text), "# A\n") || !strings.Contains(string(text), "a fault there") {
		t.Errorf("%v:\n%s", err, text)
	}
	if _, err := r.writeInto([]byte("# no marks")); err == nil {
		t.Error("a page without marks was written to")
	}
}

func TestAReportIsReadAndAnAbsentOneIsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	if got, err := read(path); got != nil || err != nil {
		t.Errorf("an absent report: %v, %v", got, err)
	}
	t.Setenv(conformance.ReportVariable, path)
	for _, o := range outcomes {
		conformance.Report(t, o.Group, o.Case, o.Holds)
	}
	if got, err := read(path); err != nil || !slices.Equal(got, outcomes) {
		t.Errorf("read %v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(path); err == nil {
		t.Error("a broken report was read")
	}
}

// TestThePageHasNoMoreThanARun holds docs/conformance.md to a run: no group
// may claim more than holds, and every named deviation must be one.
func TestThePageHasNoMoreThanARun(t *testing.T) {
	if os.Getenv(conformance.ReportVariable) != "" {
		t.Skip("This is the run")
	}
	conformance.Lines(t, "http-examples.jsonl") // skips, with the reason, where there are none
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(document)))
	if err != nil {
		t.Fatal(err)
	}
	all, failed := replay(t.Context(), filepath.Join("..", ".."))
	if failed != nil {
		t.Error(failed)
	}
	r := tally(all, deviations(string(text)))
	if len(r.stale) > 0 {
		t.Errorf("these deviations hold, or are of no recording: %q", r.stale)
	}
	from, to, err := figures(string(text))
	if err != nil {
		t.Fatal(err)
	}
	claimed := map[string]int{}
	for row := range strings.Lines(string(text[from:to])) {
		cells := strings.Split(row, " | ")
		if len(cells) < 2 {
			continue
		}
		if n, err := strconv.Atoi(cells[1]); err == nil {
			claimed[strings.TrimPrefix(cells[0], "| ")] = n
		}
	}
	for _, l := range r.lines {
		if holds, named := claimed[l.group]; !named || holds > l.holds {
			t.Errorf("%s: the page says %d (named: %v), and %d hold", l.group, holds, named, l.holds)
		}
		delete(claimed, l.group)
	}
	for group := range claimed {
		t.Errorf("the page has the group %q, and the run has not", group)
	}
}
