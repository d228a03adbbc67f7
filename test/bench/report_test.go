package bench

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestQuantileIsTheNearestRankAndTheMedianTheMiddle(t *testing.T) {
	cases := []struct {
		samples []float64
		q, want float64
	}{
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{5}, 0.99, 5},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.9, 9},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.99, 10},
		{[]float64{2, 1}, 0, 1},
	}
	for _, c := range cases {
		if got := Quantile(c.samples, c.q); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.samples, got, c.want)
		}
	}
	if got := Quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the quantile of nothing is %v, want NaN", got)
	}
}

func TestGoalsHaveASide(t *testing.T) {
	for _, c := range []struct {
		g      Goal
		figure float64
		want   bool
	}{
		{Goal{AtLeast: true, Bound: 4}, 4, true},
		{Goal{AtLeast: true, Bound: 4}, 3.9, false},
		{Goal{Bound: 3}, 3, true},
		{Goal{Bound: 3}, 3.1, false},
		{Goal{Bound: 3}, math.NaN(), false},
		{Goal{AtLeast: true, Bound: 3}, math.NaN(), false},
	} {
		if got := c.g.Met(c.figure); got != c.want {
			t.Errorf("%v met by %v: %v, want %v", c.g, c.figure, got, c.want)
		}
	}
}

func TestReportHasMedianSpreadAndWhatIsMissing(t *testing.T) {
	f := NewFigures()
	for _, v := range []float64{2, 1, 4} {
		f.Add("M1", v)
	}
	f.Skip("M7", "install cp")
	rows := []Row{{"M1", "a ÷ b", Goal{AtLeast: true, Bound: 1.5}, ""}, {"M7", "c ÷ d", Goal{Bound: 3}, " %"}}
	var b strings.Builder
	if err := MeasureTable(rows, f).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| M1 | a ÷ b   | ≥ 1.50 | 2      | 1 .. 4 | yes", "not measured: install cp"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &b)
		}
	}
	text, err := JSON(rows, f)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]struct{ Figure, Goal, Spread float64 }
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if m := got["M1"]; len(got) != 1 || m.Figure != 2 || m.Goal != 1.5 || m.Spread != 1.5 {
		t.Errorf("the file is %s", text)
	}
}
