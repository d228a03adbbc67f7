package legacywire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/statement/conformance"
)

// example is the first message of the specification's example.
const example = `{"origin": "AA", "timestamp": 1795396783.327817, "statements": [` +
	`["context:txn:test:;AA00001", "http://rx4rdf.sf.net/ns/archive#baseRevision", "0", "L", "context:txn:test:;AA00001"], ` +
	`["context:txn:test:;AA00001", "http://rx4rdf.sf.net/ns/archive#hasRevision", "AA00001", "L", "context:txn:test:;AA00001"], ` +
	`["context:txn:test:;AA00001", "http://rx4rdf.sf.net/ns/archive#createdOn", "1795396783.33", "http://www.w3.org/2001/XMLSchema#double", "context:txn:test:;AA00001"], ` +
	`["context:txn:test:;AA00001", "http://rx4rdf.sf.net/ns/archive#includes", "context:add:context:txn:test:;AA00001;;", "R", "context:txn:test:;AA00001"], ` +
	`["context:add:context:txn:test:;AA00001;;", "http://rx4rdf.sf.net/ns/archive#applies-to", "", "R", "context:txn:test:;AA00001"], ` +
	`["context:txn:test:;AA00001", "http://www.w3.org/1999/02/22-rdf-syntax-ns#type", "http://rx4rdf.sf.net/ns/archive#TransactionContext", "R", "context:txn:test:;AA00001"], ` +
	`["123", "foo", "caf\u00e9 \ud83d\ude00", "L", "context:add:context:txn:test:;AA00001;;"]], "baserevision": "0", "revision": "AA00001"}`

func recordedMessages(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, line := range conformance.Lines(t, "changesets.jsonl") {
		var r struct{ Wire any }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if list, ok := r.Wire.([]any); ok {
			for _, w := range list {
				out = append(out, fmt.Sprint(w))
			}
		}
	}
	return out
}

func TestEveryRecordedMessageIsReadAndWrittenByteForByte(t *testing.T) {
	list := recordedMessages(t)
	if len(list) < 60 {
		t.Fatalf("only %d messages are recorded", len(list))
	}
	for _, text := range list {
		m, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%v in %s", err, text)
			continue
		}
		if got := string(m.Encode()); got != text {
			t.Errorf("read and written again:\n%s\nrecorded:\n%s", got, text)
		}
	}
}

func TestTheExampleOfTheSpecificationIsReadAndWrittenByteForByte(t *testing.T) {
	m, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Encode()); got != example {
		t.Errorf("written again it is\n%s", got)
	}
	if m.Dot().String() != "AA00001" || len(m.Seen()) != 0 {
		t.Errorf("it is %s and has seen %s", m.Dot(), m.Seen())
	}
}

func TestWhatTheOriginalToleratesIsRead(t *testing.T) {
	tests := map[string]string{
		"blanks and another order of members": "\n{ \"revision\" :\"AA00001\",\"baserevision\":\"0\",\n\"statements\":[ ],\"timestamp\":1,\"origin\":\"AA\" } ",
		"further members":                     `{"origin":"AA","timestamp":1.5,"statements":[],"baserevision":"0","revision":"AA00001","more":{"a":[1]}}`,
		"no base":                             `{"origin":"AA","timestamp":1.5,"statements":[],"baserevision":"","revision":"AA00001"}`,
		"null for a base":                     `{"origin":"AA","timestamp":1.5,"statements":[],"baserevision":null,"revision":"AA00001"}`,
		"any time":                            `{"origin":"AA","timestamp":-1e3,"statements":[],"baserevision":"0","revision":"AA00001"}`,
		"a revision that goes back":           `{"origin":"AA","timestamp":1,"statements":[],"baserevision":"AA00001,BB00007","revision":"AA00002,BB00003"}`,
		"six digits":                          `{"origin":"AA","timestamp":1,"statements":[],"baserevision":"AA99999","revision":"AA100000"}`,
		"text that is not ASCII":              `{"origin":"AA","timestamp":1,"statements":[["é","p","ü","L","context:add:context:txn:test:;AA00001;;"]],"baserevision":"0","revision":"AA00001"}`,
		"statements of no known scope":        `{"origin":"AA","timestamp":1,"statements":[["a","p","v","L","else"],["a","p","v","L",""]],"baserevision":"0","revision":"AA00001"}`,
	}
	for name, text := range tests {
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoMessageIsRefusedWithTheReason(t *testing.T) {
	with := func(member, value string) string {
		members := map[string]string{"origin": `"AA"`, "timestamp": "1", "statements": "[]", "baserevision": `"0"`, "revision": `"AA00001"`}
		members[member] = value
		var parts []string
		for k, v := range members {
			if v != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", k, v))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	t1 := `"context:txn:test:;AA00001"`
	tests := map[string]struct{ body, want string }{
		"nothing":              {"", "not a JSON object"},
		"no JSON":              {"hello", "not a JSON object"},
		"a list":               {"[]", "not a JSON object"},
		"cut off":              {example[:len(example)-1], "not JSON"},
		"more after it":        {example + "x", "follows"},
		"a second one":         {example + example, "follows"},
		"a member twice":       {`{"origin":"AA","origin":"AA"}`, `"origin" twice`},
		"bytes of no text":     {with("origin", "\"\xff\""), "not valid UTF-8"},
		"no origin":            {with("origin", ""), "no origin"},
		"origin a number":      {with("origin", "1"), "origin: "},
		"origin of one":        {with("origin", `"A"`), "branch id"},
		"origin in lower":      {with("origin", `"aa"`), "branch id"},
		"no timestamp":         {with("timestamp", ""), "no timestamp"},
		"timestamp a string":   {with("timestamp", `"1"`), "not a number of seconds"},
		"timestamp null":       {with("timestamp", "null"), "not a number of seconds"},
		"timestamp too large":  {with("timestamp", "1e999"), "not a number of seconds"},
		"timestamp too long":   {with("timestamp", strings.Repeat("1", 100)), "not a number of seconds"},
		"no statements":        {with("statements", ""), "no statements"},
		"statements null":      {with("statements", "null"), "not a list"},
		"statements an object": {with("statements", "{}"), "not a list"},
		"a statement of four":  {with("statements", `[["a","b","c","d"]]`), "statement 1 is not a list of 5"},
		"a number in one":      {with("statements", `[["a","b",3,"d","e"]]`), "statement 1: "},
		"statements a string":  {with("statements", `["abcde"]`), "statement 1"},
		"no base":              {with("baserevision", ""), "no baserevision"},
		"base a number":        {with("baserevision", "0"), "not a string"},
		"base of nonsense":     {with("baserevision", `"xyz"`), "revision"},
		"base not before":      {with("baserevision", `"AA00001"`), "not before"},
		"no revision":          {with("revision", ""), "no revision"},
		"revision empty":       {with("revision", `"0"`), "no number of the origin"},
		"revision of others":   {with("revision", `"BB00001"`), "no number of the origin"},
		"revision unsorted":    {with("revision", `"BB00001,AA00001"`), "not after"},
		"another revision":     {with("statements", `[[`+t1+`,"http://rx4rdf.sf.net/ns/archive#hasRevision","AA00009","L",`+t1+`]]`), "those of revision"},
		"another base":         {with("statements", `[[`+t1+`,"http://rx4rdf.sf.net/ns/archive#baseRevision","?","L",`+t1+`]]`), "revision"},
	}
	for name, tt := range tests {
		_, err := Parse([]byte(tt.body))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: the error is %v, and should say %q", name, err, tt.want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestTheCausalPastIsAllThatTheMessageNames(t *testing.T) {
	t1 := `"context:txn:u;AA00003,BB00002"`
	m, err := Parse([]byte(`{"origin":"AA","timestamp":1,"statements":[` +
		`[` + t1 + `,"http://rx4rdf.sf.net/ns/archive#baseRevision","AA00002,BB00001","L",` + t1 + `],` +
		`[` + t1 + `,"http://rx4rdf.sf.net/ns/archive#baseRevision","AA00001,BB00004,CC00001","L",` + t1 + `]],` +
		`"baserevision":"AA00002,BB00001","revision":"AA00003,BB00002"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Seen().String(); got != "BB00004,CC00001" {
		t.Errorf("its author had seen %s", got)
	}
	if got := CausalPast(m, Predecessor{}).String(); got != "AA00002,BB00004,CC00001" {
		t.Errorf("it builds on %s", got)
	}
}
