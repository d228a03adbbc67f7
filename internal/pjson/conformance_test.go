package pjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/statement/conformance"
	"vesperdb.io/vesper/internal/statement/original"
)

// recorded is one line of pjson-cases.jsonl.
type recorded struct {
	Kind, Function, Error string
	Input                 json.RawMessage
	Statements            [][]any
	ExpectedStatements    [][]any `json:"expected_statements"`
	Output                json.RawMessage
	Pass                  *bool
	Options               struct {
		parserOptions
		serializerOptions
		Parser     *parserOptions     `json:"parserOptions"`
		Serializer *serializerOptions `json:"serializerOptions"`
	}
}

type parserOptions struct {
	AddOrderInfo        *bool  `json:"addOrderInfo"`
	CheckForDuplicates  *bool  `json:"checkForDuplicateIds"`
	GenerateBnode       string `json:"generateBnode"`
	ToplevelBnodesUnset *bool  `json:"toplevelBnodes"`
}

type serializerOptions struct {
	NameMap           json.RawMessage `json:"nameMap"`
	SerializeIDAsRefs *bool           `json:"serializeIdAsRefs"`
	ExplicitRefs      bool            `json:"explicitRefObjects"`
	OnlyEmbedBnodes   bool            `json:"onlyEmbedBnodes"`
	AsList            bool            `json:"asList"`
}

func (r *recorded) parser() parserOptions {
	if r.Options.Parser != nil {
		return *r.Options.Parser
	}
	return r.Options.parserOptions
}

func (r *recorded) serializer() serializerOptions {
	if r.Options.Serializer != nil {
		return *r.Options.Serializer
	}
	return r.Options.serializerOptions
}

func (r *recorded) prefix() string {
	if r.Kind != "parse" || r.parser().GenerateBnode == "counter" {
		return statement.ShortAnonymousPrefix
	}
	return statement.AnonymousPrefix
}

// parse returns the statements of a document as the original would store them.
func (r *recorded) parse(text []byte) ([]statement.Statement, error) {
	o := r.parser()
	doc, err := Parse(text, Options{
		IDs: Counter(), AllowDuplicateIDs: o.CheckForDuplicates != nil && !*o.CheckForDuplicates,
	})
	if err != nil {
		return nil, err
	}
	list := doc.statements()
	if o.AddOrderInfo != nil && !*o.AddOrderInfo {
		for i := range list {
			list[i].Positions = nil
		}
	}
	return original.Expand(list, r.prefix()), nil
}

func (d Document) statements() []statement.Statement {
	var out []statement.Statement
	for _, o := range d.Objects {
		out = append(out, o.Statements...)
	}
	return out
}

func (r *recorded) format() (Format, error) {
	o := r.serializer()
	f := Format{
		BareIDs: o.SerializeIDAsRefs != nil && !*o.SerializeIDAsRefs, ExplicitRefs: o.ExplicitRefs, Nest: NestAll,
	}
	if o.OnlyEmbedBnodes {
		f.Nest = NestAnonymous
	}
	if o.NameMap != nil {
		root, err := scan(o.NameMap)
		if err != nil {
			return f, err
		}
		f.Namemap = mapOf(root).(Map)
	}
	return f, nil
}

// mapOf returns a node as AppendJSON takes it.
func mapOf(n *node) any {
	switch n.kind {
	case kindArray:
		list := []any{}
		for i := range n.items {
			list = append(list, mapOf(&n.items[i]))
		}
		return list
	case kindObject:
	default:
		return n.text
	}
	out := Map{}
	for i := range n.members {
		out.Set(n.members[i].key, mapOf(&n.members[i].value))
	}
	return out
}

func (r *recorded) serialize(list []statement.Statement) ([]byte, error) {
	f, err := r.format()
	if err != nil {
		return nil, err
	}
	w, err := NewWriter(f)
	if err != nil {
		return nil, err
	}
	if r.serializer().AsList {
		return AppendJSON(nil, w.List(original.Fold(list))), nil
	}
	return AppendJSON(nil, w.Document(original.Fold(list))), nil
}

func (r *recorded) check() error {
	switch {
	case r.Kind == "parse":
		return r.checkParse()
	case r.Kind == "serialize":
		return r.checkSerialize()
	case r.Function == "assert_stmts_and_back_match":
		return r.checkStatementsAndBack()
	default:
		return r.checkJSONAndBack()
	}
}

func (r *recorded) text() []byte {
	var inner string
	if json.Unmarshal(r.Input, &inner) == nil {
		return []byte(inner)
	}
	return r.Input
}

func (r *recorded) checkParse() error {
	got, err := r.parse(r.text())
	if r.Error != "" {
		return wantError(err)
	}
	if err != nil {
		return err
	}
	return sameStatements(got, r.Statements)
}

func wantError(err error) error {
	if err == nil {
		return fmt.Errorf("accepted what must be refused")
	}
	return nil
}

func (r *recorded) checkSerialize() error {
	list, err := conformance.Statements(r.Statements)
	if err != nil {
		return err
	}
	got, err := r.serialize(list)
	if err != nil {
		return err
	}
	return sameJSON(got, r.Output)
}

func (r *recorded) checkStatementsAndBack() error {
	var rows [][]any
	if err := json.Unmarshal(r.Input, &rows); err != nil {
		return err
	}
	list, err := conformance.Statements(rows)
	if err != nil {
		return err
	}
	return r.thereAndBack(list, rows)
}

func (r *recorded) thereAndBack(list []statement.Statement, want [][]any) error {
	text, err := r.serialize(list)
	if err != nil {
		return err
	}
	back, err := r.parse(text)
	if err != nil {
		return fmt.Errorf("parse %s: %w", text, err)
	}
	return sameStatements(back, want)
}

func (r *recorded) checkJSONAndBack() error {
	first, err := r.parse(r.text())
	if r.Error != "" {
		return wantError(err)
	}
	if err != nil {
		return err
	}
	if r.ExpectedStatements != nil {
		if err := sameStatements(first, r.ExpectedStatements); err != nil {
			return err
		}
	}
	return r.thereAndBack(first, rowsOf(first))
}

func rowsOf(list []statement.Statement) [][]any {
	var out [][]any
	for _, s := range list {
		out = append(out, []any{s.Subject, s.Predicate, s.Text, s.Type, s.Scope})
	}
	return out
}

func sameStatements(got []statement.Statement, want [][]any) error {
	list, err := conformance.Statements(want)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(statement.Set(list), got); diff != "" {
		return fmt.Errorf("statements differ (-want +got):\n%s", diff)
	}
	return nil
}

func sameJSON(got, want []byte) error {
	a, err := inAnyOrder(got)
	if err != nil {
		return fmt.Errorf("%s: %w", got, err)
	}
	b, err := inAnyOrder(want)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(b, a); diff != "" {
		return fmt.Errorf("JSON differs (-want +got):\n%s", diff)
	}
	return nil
}

// inAnyOrder decodes a document with its objects in the order of their text:
// the original gives no order to them.
func inAnyOrder(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	list, isList := v.([]any)
	if m, ok := v.(map[string]any); ok {
		list, isList = m[keyData].([]any)
	}
	if isList {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return v, nil
}

func TestRecordedBehaviorOfTheOriginalHolds(t *testing.T) {
	passed, total := map[string]int{}, map[string]int{}
	for i, line := range conformance.Lines(t, "pjson-cases.jsonl") {
		var r recorded
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		total[r.Kind]++
		err := r.check()
		conformance.Report(t, "pjson "+r.Kind, fmt.Sprintf("pjson-cases %d", i+1), err == nil)
		if err == nil {
			passed[r.Kind]++
		}
		if err != nil {
			t.Errorf("line %d (%s): %v\n%s", i+1, r.Kind, err, line)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%s: %d of %d recordings hold", kind, passed[kind], total[kind])
	}
}
