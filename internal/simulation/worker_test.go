//go:build replay

package simulation

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestWorker serves hack/simulate, and exists only in the program that it
// builds: a seed a line comes in, a report a line goes
// out. "twice" before the seed runs it twice and compares.
func TestWorker(t *testing.T) {
	dir := room(t)
	for seed := range uint64(20) {
		run(t, NewPlan(seed), dir) // what a process makes once is made now
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		text, twice := strings.CutPrefix(in.Text(), "twice ")
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("a seed is a number: %v", err)
		}
		r := serve(t, seed, dir)
		if twice {
			if again := run(t, NewPlan(seed), dir); fmt.Sprintf("%x", again.Trace) != r.Trace {
				r.Failed = "replay"
				r.Story += fmt.Sprintf("\nseed %d gave trace %s, and then %x", seed, r.Trace, again.Trace)
			}
		}
		if err := out.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
}
