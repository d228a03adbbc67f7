package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// The budgets of M8 and M9: what they were last time. They may only fall; who
// makes one fall writes the new figure here.
const budgetFile = "budget.json"

// slack is by how much a figure may miss its budget, in parts: allocations of
// bbolt and of maps vary a little with the keys, and bytes with how far bbolt
// came in reading its pages.
var slack = map[string]float64{"M8-allocs": 0.02, "M8-bytes": 0.2, "M9": 0.05}

func budgets() (map[string]float64, error) {
	text, err := os.ReadFile(budgetFile)
	if err != nil {
		return nil, err
	}
	b := map[string]float64{}
	return b, json.Unmarshal(text, &b)
}

// budgetOf is a measure's goal; 0, which nothing meets, when it cannot be read:
// TestCostsStayWithinTheirBudget tells why.
func budgetOf(name string) float64 {
	b, err := budgets()
	if err != nil {
		return 0
	}
	return b[name] * (1 + slack[name])
}

// measureApply is M8: what one changeset of a 1 KiB object costs the node that
// receives it, decoding, indexing and the commit included, 500 in a message.
func measureApply(w *world) error {
	list, err := w.objectsAsChangesets(3_000)
	if err != nil {
		return err
	}
	dir, free, err := w.fresh("apply")
	if err != nil {
		return err
	}
	defer free()
	s, err := w.openStore(dir, "0B")
	if err != nil {
		return err
	}
	const warm = 1000
	err = w.applyAll(s, list[:warm])
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = errors.Join(err, w.applyAll(s, list[warm:]))
	runtime.ReadMemStats(&after)
	n := float64(len(list) - warm)
	w.figures.Add("M8-allocs", float64(after.Mallocs-before.Mallocs)/n)
	w.figures.Add("M8-bytes", float64(after.TotalAlloc-before.TotalAlloc)/n)
	return errors.Join(err, s.Close())
}

func (w *world) applyAll(s *store.Store, list []changeset.Envelope) error {
	for len(list) > 0 {
		n := min(len(list), 500)
		a, err := s.Apply(w.ctx, list[:n])
		if err != nil {
			return err
		}
		if a.Applied != n {
			return fmt.Errorf("%d of %d changesets were applied", a.Applied, n)
		}
		list = list[n:]
	}
	return nil
}

func (w *world) objectsAsChangesets(n int) (out []changeset.Envelope, err error) {
	dir, free, err := w.fresh("source")
	if err != nil {
		return nil, err
	}
	defer free()
	s, err := w.openStore(dir, "0A")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := w.fill(s, n, objectBytes); err != nil {
		return nil, err
	}
	return s.Range(w.ctx, "0A", 1, uint64(n), 1<<30)
}

// batchOf is how many objects M9 writes in one transaction.
const batchOf = 50

// measureAmplification is M9: all that this process has the disk write for
// batches of objects, into a store that has some already.
func measureAmplification(w *world) error {
	dir, free, err := w.fresh("bytes")
	if err != nil {
		return err
	}
	defer free()
	s, err := w.openStore(dir, "0A")
	if err != nil {
		return err
	}
	err = w.batches(s, 50)
	before, err1 := written()
	const n = 50
	err2 := w.batches(s, n)
	after, err3 := written()
	if err := errors.Join(err, err1, err2, err3, s.Close()); err != nil {
		return err
	}
	w.figures.Add("M9", (after-before)/(n*batchOf*objectBytes))
	return nil
}

// batches writes transactions of new objects.
func (w *world) batches(s *store.Store, n int) error {
	bodies := documents(256, objectBytes)
	for i := range n {
		var objects []pjson.Object
		for j := range batchOf {
			doc, err := pjson.Parse(bodies[(i+j)%len(bodies)], pjson.Options{IDs: fixedID(newID())})
			if err != nil {
				return err
			}
			objects = append(objects, doc.Objects...)
		}
		if _, err := s.Update(w.ctx, store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(objects) }); err != nil {
			return err
		}
	}
	return nil
}

// written is what this process has handed to the kernel to write so far. bbolt
// writes by pwrite only, and nothing else of ours writes meanwhile. (write_bytes
// beside it counts the whole of a large folio for each page that is made dirty.)
func written() (float64, error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "wchar: "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("/proc/self/io does not tell what was written")
}

// TestCostsStayWithinTheirBudget fails when a changeset costs more than the
// budget in the tree, and when it costs so much less that the budget should fall.
func TestCostsStayWithinTheirBudget(t *testing.T) {
	if raceEnabled {
		// The race detector allocates too: the same test without it.
		out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run", "^"+t.Name()+"$", ".").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	limits, err := budgets()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: t.Context(), dir: t.TempDir(), scale: 1, figures: NewFigures()}
	if err := errors.Join(measureApply(w), measureAmplification(w)); err != nil {
		t.Fatal(err)
	}
	for name, limit := range limits {
		got := w.figures.Median(name)
		t.Logf("%s: %s, budget %s", name, Number(got), Number(limit))
		switch part := slack[name]; {
		case !(got <= limit*(1+part)):
			t.Errorf("%s is %s, which is beyond its budget %s: make it cheaper", name, Number(got), Number(limit))
		case got < limit*(1-2*part):
			t.Errorf("%s is %s, its budget %s: write the new figure into %s, so that it stays so", name, Number(got), Number(limit), budgetFile)
		}
	}
}
