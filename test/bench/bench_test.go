package bench

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
)

const rounds = 5

// rows are the measures of the contract.
var rows = []Row{
	{"M1", "durable HTTP writes/s, 64 clients ÷ bare bbolt with the same group commit and bytes", Goal{AtLeast: true, Bound: 0.5}, ""},
	{"M2", "HTTP writes/s at 64 clients ÷ at 1", Goal{AtLeast: true, Bound: 4}, ""},
	{"M3", "commits ÷ acknowledged writes at 64 clients", Goal{Bound: 0.05}, ""},
	{"M4", "changes/s A→B through ActiveMQ ÷ the same envelopes sent raw over STOMP", Goal{AtLeast: true, Bound: 0.6}, ""},
	{"M5", "changes/s with packing ÷ one change a message", Goal{AtLeast: true, Bound: 10}, ""},
	{"M6", "catch-up of 100 000 missed changesets ÷ local HTTP write speed", Goal{AtLeast: true, Bound: 3}, ""},
	{"M7", "bootstrap by snapshot ÷ cp + sha256sum of the same file", Goal{Bound: 3}, ""},
	{"M8-allocs", "allocations a changeset applied", Goal{Bound: budgetOf("M8-allocs")}, ""},
	{"M8-bytes", "bytes allocated a changeset applied", Goal{Bound: budgetOf("M8-bytes")}, " B"},
	{"M9", "bytes written ÷ payload bytes, 1 KiB objects, 50 in a batch", Goal{Bound: budgetOf("M9")}, ""},
	{"M10", "p99 (visible on B − acknowledged on A) ÷ (2 × bbolt commit p50 + one broker round trip)", Goal{Bound: 5}, ""},
	{"M11-cpu", "an idle node among ten: share of a core", Goal{Bound: 1}, " %"},
	{"M11-bytes", "an idle node among ten: bytes/s to and from the broker", Goal{Bound: 2048}, " B/s"},
}

// group measures one or more quantities, once a round.
type group struct {
	measures []string
	run      func(*world) error
}

// groups in the order of a round; each name is also accepted by BENCH_ONLY.
var groups = []group{
	{[]string{"M1", "M2", "M3"}, measureWrites},
	{[]string{"M4", "M5"}, measureReplication},
	{[]string{"M6"}, measureCatchUp},
	{[]string{"M7"}, measureBootstrap},
	{[]string{"M8"}, measureApply},
	{[]string{"M9"}, measureAmplification},
	{[]string{"M10"}, measureDelay},
	{[]string{"M11"}, measureIdle},
	{[]string{"others"}, measureOthers},
}

// world is what the measures of a run share.
type world struct {
	t       testing.TB
	ctx     context.Context
	dir     string
	program string
	scale   float64
	round   int
	figures *Figures
	broker  *activemqtest.Broker
	donor   *donor
	others  *others
}

// size scales a number of things to do.
func (w *world) size(n int) int { return max(int(float64(n)*w.scale), 20) }

// span scales how long a load lasts.
func (w *world) span(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)*w.scale), 200*time.Millisecond)
}

// fresh makes an empty directory; free removes it.
func (w *world) fresh(name string) (dir string, free func(), err error) {
	dir, err = os.MkdirTemp(w.dir, name+"-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// mq returns the run's broker.
func (w *world) mq() *activemqtest.Broker {
	if w.broker == nil {
		w.broker = activemqtest.Start(w.t, activemqtest.Options{})
	}
	return w.broker
}

// BenchmarkMeasures measures, once: no test, since it takes minutes and wants
// the machine for itself.
func BenchmarkMeasures(b *testing.B) {
	w := newWorld(b)
	chosen := choose(b)
	start := time.Now()
	for w.round = range rounds {
		for _, g := range chosen {
			began := time.Now()
			if err := g.run(w); err != nil {
				b.Errorf("round %d: measuring %s: %v", w.round+1, strings.Join(g.measures, ", "), err)
				for _, m := range g.measures {
					w.figures.Skip(m, "failed")
				}
			}
			fmt.Printf("round %d of %d: %s in %.1f s\n", w.round+1, rounds, strings.Join(g.measures, ", "), time.Since(began).Seconds())
		}
	}
	fmt.Printf("measured in %.0f s\n\n", time.Since(start).Seconds())
	if err := w.publish(chosen); err != nil {
		b.Error(err)
	}
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, ctx: t.Context(), figures: NewFigures(), scale: 1}
	// As a node does: a small heap is not collected for every few megabytes.
	debug.SetGCPercent(400)
	if text := os.Getenv("BENCH_SCALE"); text != "" {
		var err error
		if w.scale, err = strconv.ParseFloat(text, 64); err != nil || w.scale <= 0 {
			t.Fatalf("BENCH_SCALE=%s: it must be a number above 0", text)
		}
	}
	dir, err := os.MkdirTemp("", "vesper-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// The servers of others run as users of their own.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.dir, w.program = dir, filepath.Join(dir, "vesper-node")
	if out, err := exec.CommandContext(w.ctx, "go", "build", "-trimpath", "-o", w.program, "vesperdb.io/vesper/cmd/node").CombinedOutput(); err != nil {
		t.Fatalf("building the node: %v: %s", err, out)
	}
	return w
}

// choose returns the groups that BENCH_ONLY names, all without it. What is
// measured against local writes brings these along.
func choose(t testing.TB) []group {
	only := os.Getenv("BENCH_ONLY")
	if only == "" {
		return groups
	}
	names := strings.Split(only, ",")
	if slices.Contains(names, "M6") {
		names = append(names, "M1")
	}
	var out []group
	for _, g := range groups {
		if slices.ContainsFunc(g.measures, func(m string) bool { return slices.Contains(names, m) }) {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		t.Fatalf("BENCH_ONLY=%s names no measure", only)
	}
	return out
}

// publish prints the tables and writes bench.json and bench.md.
func (w *world) publish(chosen []group) error {
	var measured []Row
	for _, r := range rows {
		name, _, _ := strings.Cut(r.Name, "-")
		if slices.ContainsFunc(chosen, func(g group) bool { return slices.Contains(g.measures, name) }) {
			measured = append(measured, r)
		}
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, "Median of %d interleaved rounds on %s, %d processors, %s; scale %s. Floor: fdatasync of one page takes %s µs (%s .. %s).\n\n",
		rounds, processor(), runtime.NumCPU(), kernel(), Number(w.scale), Number(w.figures.Median(floorName)), first(w.figures.Range(floorName)), second(w.figures.Range(floorName)))
	if err := MeasureTable(measured, w.figures).Markdown(&page); err != nil {
		return err
	}
	page.WriteString("\nWhat these are made of:\n\n")
	if err := w.partsTable().Markdown(&page); err != nil {
		return err
	}
	if w.others != nil {
		page.WriteString("\nThe same work elsewhere:\n\n")
		if err := w.others.table(w.figures).Markdown(&page); err != nil {
			return err
		}
	}
	if err := publishQueries(&page, w.figures); err != nil {
		return err
	}
	_, _ = os.Stdout.Write(page.Bytes())
	return w.save(measured, page.Bytes())
}

func (w *world) save(measured []Row, page []byte) error {
	text, err := JSON(measured, w.figures)
	if err != nil {
		return err
	}
	build := filepath.Join("..", "..", "build")
	if err := os.MkdirAll(build, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(build, "bench.json"), text, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(build, "bench.md"), page, 0o644)
}

// part is a quantity that a measure is made of.
type part struct{ name, unit string }

var parts []part

// note records a part of a measure.
func (w *world) note(name, unit string, value float64) {
	if !slices.Contains(parts, part{name, unit}) {
		parts = append(parts, part{name, unit})
	}
	w.figures.Add(name, value)
}

func (w *world) partsTable() Table {
	t := Table{{"quantity", "median", "spread"}}
	for _, p := range parts {
		low, high := w.figures.Range(p.name)
		t = append(t, []string{p.name, Number(w.figures.Median(p.name)) + " " + p.unit, Number(low) + " .. " + Number(high)})
	}
	return t
}

func first(a, _ float64) string  { return Number(a) }
func second(_, b float64) string { return Number(b) }

// processor names the model, as the kernel does.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(text))
}

const floorName = "fdatasync of one page"

// floor is what the disk takes to make one page durable: no durable write can be faster.
func (w *world) floor() error {
	dir, free, err := w.fresh("floor")
	if err != nil {
		return err
	}
	defer free()
	f, err := os.Create(filepath.Join(dir, "pages"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	if _, err := f.Write(bytes.Repeat(page, 64)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	times := make([]float64, 200)
	for i := range times {
		page[0] = byte(i)
		start := time.Now()
		if _, err := f.WriteAt(page, int64(i%64)*4096); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		times[i] = float64(time.Since(start).Microseconds())
	}
	w.note(floorName, "µs", Quantile(times, 0.5))
	return nil
}

func TestScaleHasALeast(t *testing.T) {
	w := &world{scale: 1e-9}
	if w.size(100_000) < 1 || w.span(time.Second) <= 0 || math.IsNaN(w.scale) {
		t.Error("a small scale leaves nothing to measure")
	}
}
