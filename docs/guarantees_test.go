package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/mutant"
)

// testsOf returns the names of the tests of a package, given by its directory.
func testsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no tests in %s", dir)
	}
	var names []string
	for _, f := range files {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunction.FindAllSubmatch(source, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

var (
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	simulated    = regexp.MustCompile(`(?m)^func \(w \*world\) (G\d+)\(\) error`)
)

func TestEachGuaranteeNamesTestsThatExist(t *testing.T) {
	assertions, err := os.ReadFile(filepath.Join("..", "internal", "simulation", "guarantees.go"))
	if err != nil {
		t.Fatal(err)
	}
	var asserted []string
	for _, m := range simulated.FindAllSubmatch(assertions, -1) {
		asserted = append(asserted, string(m[1]))
	}
	table := rows(t, "docs/replication.md", "## The twelve guarantees")
	if len(table) != 12 {
		t.Fatalf("the table has %d guarantees, not 12", len(table))
	}
	for i, row := range table {
		if want := "G" + strconv.Itoa(i+1); row[0] != want || !slices.Contains(asserted, want) {
			t.Errorf("row %d is of %s; the simulator asserts %v", i+1, row[0], asserted)
		}
		checkTests(t, row[0], row[2])
	}
}

// checkTests looks for the tests of a cell: directories and names in backquotes,
// a directory standing for all the names that follow it.
func checkTests(t *testing.T, guarantee, cell string) {
	t.Helper()
	dir, count := "", 0
	for _, m := range codeRE.FindAllStringSubmatch(cell, -1) {
		if !strings.HasPrefix(m[1], "Test") {
			dir = m[1]
			continue
		}
		if count++; !slices.Contains(testsOf(t, dir), m[1]) {
			t.Errorf("%s names %s, which is not in %s", guarantee, m[1], dir)
		}
	}
	if count == 0 {
		t.Errorf("%s names no test", guarantee)
	}
}

func TestEachMutantIsNamedByTheGuaranteeThatItBreaks(t *testing.T) {
	named := map[string]bool{}
	for _, row := range rows(t, "docs/replication.md", "## The twelve guarantees") {
		for _, m := range codeRE.FindAllStringSubmatch(row[3], -1) {
			if named[m[1]] = true; !slices.Contains(mutant.Names, m[1]) {
				t.Errorf("%s names the mutant %s, which does not exist", row[0], m[1])
			}
		}
	}
	for _, name := range mutant.Names {
		if !named[name] {
			t.Errorf("no guarantee names the mutant %s", name)
		}
	}
}
