// Package jsonql answers queries in jsonQL: the text of a query is a template
// of the JSON that is wanted, with a where clause. A query is parsed once
// (Parse) and run against any Source (Query.Run). The package does no I/O.
//
// What the language has and this package does not yet (several row sets joined
// by labels, nested constructs, following references) is refused with its
// place in the text, and never answered wrongly.
//
// On purpose it differs from the original, which these are faults of: "<" after
// an operand always compares, and "-" subtracts; rows come in a defined order;
// "limit 0" gives no row; a list inside a list is never a row of its own; a
// constant condition gives no made-up row; the values of single objects beside
// aggregates are refused instead of given twice; sum does not start anew when
// it reaches 0.
package jsonql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"vesperdb.io/vesper/internal/statement"
)

// Object is one object of a source, with everything embedded in it.
type Object struct {
	// ID is the object's id; it is not that of an embedded object.
	ID string
	// Statements are those of the object and of all that is embedded in it.
	Statements []statement.Statement
}

// Source is a consistent set of objects to query. Object is called while
// iterations are going on. It may also be an Estimator and a PostingSource.
type Source interface {
	// Object returns an object that is not embedded, and whether it exists.
	Object(id string) (Object, bool, error)
	// Objects yields all objects that are not embedded, in order of their ids.
	Objects() iter.Seq2[Object, error]
	// SubjectsWith yields the subjects, embedded ones too, that have this value
	// under this predicate in any scope: each once, in
	// order of their roots, the root itself first, and then of id.
	SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error]
	// SubjectsHaving yields the subjects, embedded ones too, that have any
	// value under this predicate: each once, in
	// order of their roots, the root itself first, and then of id.
	SubjectsHaving(predicate string) iter.Seq2[string, error]
}

// Bindings are the values of a query's bind variables (":name"), by name
// without the colon: nil, bool, string, any Go number, json.Number,
// statement.Ref, or a []any of these. A string that looks like a reference
// ("@id") is one.
type Bindings map[string]any

// UnmarshalJSON reads bindings from a JSON object. Numbers stay as they were
// written, so that 1 binds an integer and 1.0 a double.
func (b *Bindings) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return fmt.Errorf("read bind variables: %w", err)
	}
	*b = m
	return nil
}

// Limits bound what a query may cost. Zero fields have the defaults named.
type Limits struct {
	// MaxRows bounds the rows of the result; the default is 100 000. A query
	// that has more is refused, unless it says a lower limit itself.
	MaxRows int
	// MaxValues bounds the JSON values in the result; the default is 5 million.
	MaxValues int
	// MaxObjects bounds the objects that a query may have to hold at once, to
	// put them in order, to group them or to compute an aggregate of them; the
	// default is 1 million.
	MaxObjects int
	// MaxBytes bounds, in about so many bytes, what a query may hold for the
	// same reasons; the default is 256 MiB.
	MaxBytes int
	// MaxSteps bounds the objects and the entries of indexes that a query may
	// look at, one by one; the default is 100 million.
	MaxSteps int
}

const (
	defaultMaxRows    = 100_000
	defaultMaxValues  = 5_000_000
	defaultMaxObjects = 1_000_000
	defaultMaxBytes   = 256 << 20
	defaultMaxSteps   = 100_000_000
)

func (l Limits) withDefaults() Limits {
	if l.MaxRows <= 0 {
		l.MaxRows = defaultMaxRows
	}
	if l.MaxValues <= 0 {
		l.MaxValues = defaultMaxValues
	}
	if l.MaxObjects <= 0 {
		l.MaxObjects = defaultMaxObjects
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = defaultMaxBytes
	}
	if l.MaxSteps <= 0 {
		l.MaxSteps = defaultMaxSteps
	}
	return l
}

// Result is what a query returns.
type Result struct {
	// Rows are the answers, as values that pjson.AppendJSON writes: in the
	// order that "order by" says, else in order of the ids of the objects they
	// are about, or that own what they are about.
	Rows []any
	// Errors are faults that did not keep the query from running, such as
	// characters that mean nothing and were skipped.
	Errors []string
	// Plan says how the query was answered, with estimates and figures.
	Plan *Plan
}

// SyntaxError says why a query cannot be run, and where.
type SyntaxError struct {
	// Line and Col are the place, counted from 1; Col counts characters.
	Line, Col int
	// Near is the start of the text that stands there, or "" at the end of the
	// query.
	Near string
	// Message says what is wrong.
	Message string
	// Hint says what to write instead; it may be empty.
	Hint string
}

// Error returns the place, what is wrong and the hint in one line.
func (e *SyntaxError) Error() string {
	text := fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Message)
	if e.Near != "" {
		text += fmt.Sprintf(" at %q", e.Near)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// EvaluationError says what went wrong while a query ran: a division by zero,
// a bind variable without value, a result that is too large.
type EvaluationError struct {
	// Line and Col are the place in the query, as in SyntaxError; zero when
	// the fault has none.
	Line, Col int
	// Message says what is wrong and what to do.
	Message string
}

// Error returns the place and the message.
func (e *EvaluationError) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Message)
}
