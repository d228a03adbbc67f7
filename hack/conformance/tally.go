package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/statement/conformance"
)

// goals are how many recordings of a group must hold; the rest must be named
// deviations. Groups of the same whole ("queries, ...") have one goal together.
var goals = []struct {
	group string
	holds int
}{
	{"queries", 188},
	{"documentation", 30},
	{"tutorial", 2},
	{"pjson parse", 59},
	{"pjson serialize", 56},
	{"pjson assert", 54},
	{"store operations", 0},
	{"http exchanges", 0},
}

// free is the group of what the original skips itself: it is shown, and has no goal.
const free = "skipped by the original"

// line is one line of the table.
type line struct {
	group                     string
	holds, of, deviate, fails int
}

type result struct {
	lines []line
	// wrong are the recordings that fail and are no named deviation.
	wrong []string
	// stale are the named deviations that are none, or of no recording.
	stale []string
}

// read returns the outcomes of a report; none when there is no report.
func read(path string) ([]conformance.Outcome, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []conformance.Outcome
	for one := range bytes.Lines(text) {
		var o conformance.Outcome
		if err := json.Unmarshal(one, &o); err != nil {
			return nil, fmt.Errorf("report line %q: %w", one, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// deviations returns the cases in the document's table of deviations, with the
// reasons.
func deviations(text string) map[string]string {
	out := map[string]string{}
	_, section, _ := strings.Cut(text, "\n## Deviations\n")
	for row := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
		name := strings.TrimSpace(cells[0])
		if len(cells) == 2 && strings.HasPrefix(name, "`") {
			out[strings.Trim(name, "`")] = strings.TrimSpace(cells[1])
		}
	}
	return out
}

func tally(outcomes []conformance.Outcome, excused map[string]string) result {
	byGroup, holds := map[string]*line{}, map[string]bool{}
	var out result
	for _, o := range outcomes {
		l := byGroup[o.Group]
		if l == nil {
			l = &line{group: o.Group}
			byGroup[o.Group] = l
		}
		l.of++
		holds[o.Case] = o.Holds
		switch {
		case o.Holds:
			l.holds++
		case excused[o.Case] != "":
			l.deviate++
		default:
			l.fails++
			if o.Group != free {
				out.wrong = append(out.wrong, o.Case)
			}
		}
	}
	for name := range excused {
		if held, known := holds[name]; held || !known {
			out.stale = append(out.stale, name)
		}
	}
	slices.Sort(out.stale)
	for _, l := range byGroup {
		out.lines = append(out.lines, *l)
	}
	slices.SortFunc(out.lines, func(a, b line) int { return strings.Compare(a.group, b.group) })
	return out
}

// String is the table, as it stands in the document.
func (r result) String() string {
	var b strings.Builder
	b.WriteString("| group | holds | of | deviates on purpose | fails |\n|---|---|---|---|---|\n")
	for _, l := range r.lines {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", l.group, l.holds, l.of, l.deviate, l.fails)
	}
	return b.String()
}

const (
	figuresStart = "<!-- figures: make conformance-write -->\n"
	figuresEnd   = "<!-- end of figures -->"
)

// figures returns the place of the figures in the document.
func figures(text string) (from, to int, err error) {
	from, to = strings.Index(text, figuresStart), strings.Index(text, figuresEnd)
	if from < 0 || to < from {
		return 0, 0, fmt.Errorf("%s has no lines %q and %q", document, strings.TrimSpace(figuresStart), figuresEnd)
	}
	return from + len(figuresStart), to, nil
}

func (r result) writeInto(text []byte) ([]byte, error) {
	from, to, err := figures(string(text))
	if err != nil {
		return nil, err
	}
	return slices.Concat(text[:from], []byte(r.String()), text[to:]), nil
}

// holding is how many recordings hold in a group, or in all of one whole.
func (r result) holding(group string) int {
	sum := 0
	for _, l := range r.lines {
		if l.group == group || strings.HasPrefix(l.group, group+",") {
			sum += l.holds
		}
	}
	return sum
}

// verdict returns all that is wrong with a run, given the document.
func (r result) verdict(text string, failed error) error {
	all := []error{failed}
	for _, g := range goals {
		if holds := r.holding(g.group); holds < g.holds {
			all = append(all, fmt.Errorf("%s: %d hold, and %d must", g.group, holds, g.holds))
		}
	}
	for _, name := range r.wrong {
		all = append(all, fmt.Errorf("%s fails and is no deviation that %s names", name, document))
	}
	for _, name := range r.stale {
		all = append(all, fmt.Errorf("%s names the deviation %s, which holds or is no recording", document, name))
	}
	from, to, err := figures(text)
	if err != nil {
		return errors.Join(append(all, err)...)
	}
	if text[from:to] != r.String() {
		all = append(all, fmt.Errorf("%s has other figures than this run: make conformance-write", document))
	}
	return errors.Join(all...)
}
