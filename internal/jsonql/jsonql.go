// Package jsonql answers queries in jsonQL: the text of a query is a template
// of the JSON that is wanted, with a where clause. A query is parsed once
// (Parse) and run against any Source (Query.Run). The package does no I/O.
//
// On purpose it differs from the original, which these are faults of: "<" after
// an operand always compares, and "-" subtracts; rows come in a defined order;
// "limit 0" gives no row; a list inside a list is never a row of its own; a
// constant condition gives no made-up row; the values of single objects beside
// aggregates are given once; sum does not start anew when it reaches 0, and does
// not depend on the order of what it adds.
package jsonql

import (
	"bytes"
	"encoding/json"
	"fmt"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/plan"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// What a query is asked of; see package source.
type (
	// Object is one object of a source, with everything embedded in it.
	Object = source.Object
	// Source is a consistent set of objects to query.
	Source = source.Source
	// Posting is a value under a property as an index has it.
	Posting = source.Posting
	// PostingSource is what a Source may offer to try conditions on an index.
	PostingSource = source.PostingSource
	// Estimator is what a Source may offer to count what indexes have.
	Estimator = source.Estimator
	// Part is what an object has under some predicates.
	Part = source.Part
	// PartSource is what a Source may offer to read no more than is looked at.
	PartSource = source.PartSource
	// Plan is a step of the way in which a query is answered, with the steps
	// that it takes its input from.
	Plan = plan.Node
	// EvaluationError says what went wrong while a query ran: a division by zero,
	// a bind variable without value, a result that is too large.
	EvaluationError = eval.Error
	// SyntaxError says why a query cannot be run, and where.
	SyntaxError = syntax.Error
)

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

func (l Limits) withDefaults() eval.Limits {
	return eval.Limits{
		MaxRows:    orDefault(l.MaxRows, defaultMaxRows),
		MaxValues:  orDefault(l.MaxValues, defaultMaxValues),
		MaxObjects: orDefault(l.MaxObjects, defaultMaxObjects),
		MaxBytes:   orDefault(l.MaxBytes, defaultMaxBytes),
		MaxSteps:   orDefault(l.MaxSteps, defaultMaxSteps),
	}
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
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
