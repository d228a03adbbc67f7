package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// Goal bounds a figure.
type Goal struct {
	// AtLeast says that the figure must reach Bound; else it must not exceed it.
	AtLeast bool
	Bound   float64
}

// Met reports whether a figure keeps to the goal; NaN never does.
func (g Goal) Met(figure float64) bool {
	if g.AtLeast {
		return figure >= g.Bound
	}
	return figure <= g.Bound
}

// String reads like "≥ 0.5".
func (g Goal) String() string {
	if g.AtLeast {
		return "≥ " + Number(g.Bound)
	}
	return "≤ " + Number(g.Bound)
}

// Row is one measure of the contract.
type Row struct {
	// Name such as "M1"; What says what is divided by what.
	Name, What string
	Goal       Goal
	// Unit stands behind the figure; "" for a ratio.
	Unit string
}

// Number writes a figure with three digits that count.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// Table is rows of cells, the first of them the heading.
type Table [][]string

// Markdown writes the table; the columns are as wide as what is in them, so
// that it reads well as plain text too.
func (t Table) Markdown(w io.Writer) error {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for n, row := range t {
		for i, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", widths[i]-len([]rune(cell))) + " ")
		}
		b.WriteString("|\n")
		for i := 0; n == 0 && i < len(widths); i++ {
			b.WriteString("|" + strings.Repeat("-", widths[i]+2))
			if i == len(widths)-1 {
				b.WriteString("|\n")
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// MeasureTable is the table of the contract's measures.
func MeasureTable(rows []Row, f *Figures) Table {
	t := Table{{"", "measure", "goal", "figure", "spread", "met"}}
	for _, r := range rows {
		figure := f.Median(r.Name)
		met := "no"
		switch {
		case math.IsNaN(figure):
			met = "not measured: " + f.why[r.Name]
		case r.Goal.Met(figure):
			met = "yes"
		}
		low, high := f.Range(r.Name)
		t = append(t, []string{r.Name, r.What, r.Goal.String() + r.Unit, Number(figure) + r.Unit, Number(low) + " .. " + Number(high), met})
	}
	return t
}

// entry is a measure in the JSON file.
type entry struct {
	Figure float64 `json:"figure"`
	Goal   float64 `json:"goal"`
	Better string  `json:"better"`
	Spread float64 `json:"spread"`
	Met    bool    `json:"met"`
}

// JSON is one object: of each measure that has a figure its median, its goal,
// which side of it is better, the spread in parts of the figure, and whether the goal is met.
func JSON(rows []Row, f *Figures) ([]byte, error) {
	out := map[string]entry{}
	for _, r := range rows {
		figure := f.Median(r.Name)
		if math.IsNaN(figure) {
			continue
		}
		better := "lower"
		if r.Goal.AtLeast {
			better = "higher"
		}
		spread := f.Spread(r.Name)
		if math.IsNaN(spread) || math.IsInf(spread, 0) {
			spread = 0
		}
		out[r.Name] = entry{figure, r.Goal.Bound, better, spread, r.Goal.Met(figure)}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the figures: %w", err)
	}
	return append(text, '\n'), nil
}
