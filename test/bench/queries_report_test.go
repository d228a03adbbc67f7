package bench

import (
	"io"
	"math"
	"os"
	"path/filepath"
)

// queryTable has all questions with the times of a call.
func queryTable(f *Figures) Table {
	t := Table{{"", "question", "objects", vesperInside, sqliteInside, "÷", vesperHTTP, postgresWire, "÷"}}
	for _, s := range querySizes {
		for _, q := range questions {
			if s.systems == nil {
				continue
			}
			figure := func(of string) float64 { return f.Median(s.quantity(q, of)) }
			t = append(t, []string{
				s.name + "-" + q.key, q.what, Number(float64(s.n)),
				duration(figure(vesperInside)), duration(figure(sqliteInside)), Number(figure(vesperInside + " ÷ " + sqliteInside)),
				duration(figure(vesperHTTP)), duration(figure(postgresWire)), Number(figure(vesperHTTP + " ÷ " + postgresWire)),
			})
		}
	}
	return t
}

// duration writes seconds in the unit that suits them.
func duration(seconds float64) string {
	switch {
	case math.IsNaN(seconds):
		return "-"
	case seconds < 1e-3:
		return Number(seconds*1e6) + " µs"
	case seconds < 1:
		return Number(seconds*1e3) + " ms"
	}
	return Number(seconds) + " s"
}

// publishQueries writes the tables of what was asked, if anything was.
func publishQueries(out io.Writer, f *Figures) error {
	t := queryTable(f)
	if len(t) == 1 {
		return nil
	}
	_, _ = io.WriteString(out, "\nQueries, the time of one:\n\n")
	if err := t.Markdown(out); err != nil {
		return err
	}
	_, _ = io.WriteString(out, "\nMemory of the node meanwhile:\n\n")
	return memoryTable().Markdown(out)
}

// memoryTable says what the node took.
func memoryTable() Table {
	t := Table{{"objects", "node's own memory at most, MB", "with the pages of its file that it has mapped, MB", "file, MB"}}
	for _, s := range querySizes {
		if s.node == nil {
			continue
		}
		info, err := os.Stat(filepath.Join(s.node.data, "vesper.db"))
		if err != nil {
			continue
		}
		mb := func(n int64) string { return Number(float64(n) / 1e6) }
		t = append(t, []string{Number(float64(s.n)), mb(s.resident.Load()), mb(s.memory("VmHWM")), mb(info.Size())})
	}
	return t
}
