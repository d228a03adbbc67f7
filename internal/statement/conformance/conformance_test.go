package conformance

import (
	"os"
	"path/filepath"
	"testing"

	"vesperdb.io/vesper/internal/statement"
)

func TestRecordingsAreReadFromTheNamedFolder(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "x.jsonl"), []byte("{\"a\":1}\n{\"a\":2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Variable, folder)
	got := Lines(t, "x.jsonl")
	if len(got) != 2 || string(got[1]) != "{\"a\":2}\n" {
		t.Errorf("Lines = %q", got)
	}
}

func TestWithoutAFolderTheOneBesideTheCheckoutIsMeant(t *testing.T) {
	folder := beside(t)
	if filepath.Base(folder) != "conformance" || filepath.Base(filepath.Dir(folder)) != "shared" {
		t.Errorf("the folder is %s", folder)
	}
	checkout, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(filepath.Dir(folder)) != filepath.Dir(checkout) {
		t.Errorf("%s is not beside %s", folder, checkout)
	}
}

func TestOutcomesAreAddedToTheReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	t.Setenv(ReportVariable, path)
	Report(t, "g", "one", true)
	Report(t, "g", "two", false)
	text, err := os.ReadFile(path)
	want := `{"group":"g","case":"one","holds":true}` + "\n" + `{"group":"g","case":"two","holds":false}` + "\n"
	if err != nil || string(text) != want {
		t.Errorf("the report is %q, %v", text, err)
	}
}

func TestRowsBecomeStatements(t *testing.T) {
	got, err := Statements([][]any{{"s", "p", "o", "L", "c", []any{0.0}}})
	want := statement.Statement{Subject: "s", Predicate: "p", Term: statement.Literal("o"), Scope: "c"}
	if err != nil || len(got) != 1 || !statement.Equal(got[0], want) {
		t.Errorf("Statements = %v, %v", got, err)
	}
	if _, err := Statements([][]any{{"s", "p"}}); err == nil {
		t.Error("a row of two columns was accepted")
	}
}
