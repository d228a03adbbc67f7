// Package conformance finds and reads the recorded behavior of the original
// Vesper for tests. The recordings are no part of the project: a test that
// needs them is skipped, with the reason, where they are not there.
package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/statement"
)

// Variable is the environment variable that names the folder of recordings.
const Variable = "VESPER_CONFORMANCE"

// ReportVariable is the environment variable that names the file to which tests
// add what came of each recording, for the table of `make conformance`.
const ReportVariable = "VESPER_CONFORMANCE_REPORT"

// Outcome is what came of one recording.
type Outcome struct {
	// Group is the line of the table that it counts in.
	Group string `json:"group"`
	// Case names the recording within its group.
	Case string `json:"case"`
	// Holds says that the project does what was recorded. A test that knows
	// that it does something else, and checks what, says false and passes.
	Holds bool `json:"holds"`
}

// Report adds an outcome to the report, if one is asked for.
func Report(t testing.TB, group, name string, holds bool) {
	t.Helper()
	path := os.Getenv(ReportVariable)
	if path == "" {
		return
	}
	line, err := json.Marshal(Outcome{Group: group, Case: name, Holds: holds})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("add to the report: %v", err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Errorf("add to the report: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("add to the report: %v", err)
	}
}

// Lines returns the lines of a recording. It skips the test when there are no
// recordings here, and fails it when Variable names a folder without this one.
func Lines(t testing.TB, name string) []json.RawMessage {
	t.Helper()
	folder := os.Getenv(Variable)
	if folder == "" {
		folder = beside(t)
	}
	text, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, os.ErrNotExist) && os.Getenv(Variable) == "" {
		t.Skipf("No recordings of the original here; name their folder in %s", Variable)
	}
	if err != nil {
		t.Fatalf("read recording: %v", err)
	}
	var out []json.RawMessage
	for line := range strings.Lines(string(text)) {
		out = append(out, json.RawMessage(line))
	}
	return out
}

// beside returns the folder that stands beside the checkout of this module.
func beside(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatalf("find the working folder: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Join(folder, "..", "shared", "conformance")
		}
		if filepath.Dir(folder) == folder {
			t.Fatal("find go.mod above the working folder: there is none")
		}
		folder = filepath.Dir(folder)
	}
}

// Statements returns recorded rows [subject, predicate, object, type, scope]
// as statements; a sixth column, list positions, says nothing new.
func Statements(rows [][]any) ([]statement.Statement, error) {
	var out []statement.Statement
	for _, row := range rows {
		if len(row) < 5 {
			return nil, fmt.Errorf("row %v has %d columns, and 5 are needed", row, len(row))
		}
		column := func(i int) string { return fmt.Sprint(row[i]) }
		out = append(out, statement.Statement{
			Subject: column(0), Predicate: column(1), Scope: column(4),
			Term: statement.Term{Text: column(2), Type: column(3)},
		})
	}
	return out, nil
}
