package jsonql

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/reference"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/statement"
)

// Parse reads a query. It returns a *SyntaxError for text that is not jsonQL.
// A query that the engine of this package does not answer is left to package
// reference, which answers all.
func Parse(query string) (*Query, error) {
	q, err := parseOne(query)
	if err == nil {
		return q, nil
	}
	full, other := parseFull(query)
	if other == nil {
		return full, nil
	}
	if refused, ok := errors.AsType[*SyntaxError](err); ok && strings.HasPrefix(refused.Message, unsupportedYet) {
		return nil, other
	}
	return nil, err
}

func parseFull(query string) (*Query, error) {
	parsed, err := syntax.Parse(query)
	if err == nil {
		var full *resolve.Query
		if full, err = resolve.Resolve(parsed); err == nil {
			return &Query{text: query, full: full, skipped: parsed.Skipped}, nil
		}
	}
	if fault, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, (*SyntaxError)(fault)
	}
	return nil, err
}

// startFull prepares the answer to a query that package reference answers.
func (q *Query) startFull(ctx context.Context, src Source, b Bindings, l Limits) *Answer {
	l = l.withDefaults()
	limits := reference.Limits{
		MaxRows: l.MaxRows, MaxValues: l.MaxValues, MaxObjects: l.MaxObjects, MaxSteps: l.MaxSteps, MaxBytes: l.MaxBytes, ForUpdate: q.ForUpdate,
	}
	return &Answer{
		Plan: &Plan{Op: "join", Detail: "nested loops"}, Errors: slices.Clone(q.skipped),
		full: func() ([]any, error) {
			rows, err := reference.Run(ctx, q.full, fullSource{src}, b, limits)
			if fault, ok := errors.AsType[*reference.Error](err); ok {
				return nil, (*EvaluationError)(fault)
			}
			return rows, err
		},
	}
}

// giveFull yields the rows of a query that package reference answers.
func (a *Answer) giveFull(emit func(any) bool) error {
	rows, err := a.full()
	for _, row := range rows {
		if !emit(row) {
			break
		}
	}
	return err
}

// fullSource is a Source as package reference reads it.
type fullSource struct{ Source }

// Object returns the statements of an object, none if it does not exist.
func (s fullSource) Object(id string) ([]statement.Statement, error) {
	found, _, err := s.Source.Object(id)
	if err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	return found.Statements, nil
}

// Objects yields all objects in order of their ids.
func (s fullSource) Objects() iter.Seq2[reference.Object, error] {
	return func(yield func(reference.Object, error) bool) {
		for o, err := range s.Source.Objects() {
			if !yield(reference.Object(o), err) {
				return
			}
		}
	}
}
