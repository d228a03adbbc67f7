package nodeconfig

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	// Line counts from 1; 0 when the problem is not of one line.
	Line int
	// Key is the path of the key, "broker.tls.caFile"; empty when the file as
	// a whole is meant.
	Key string
	// Message says what is wrong and what to do. It never holds a secret.
	Message string
}

// String writes "line 3: broker.flavor: message", leaving out what is unknown.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Error is everything wrong with one configuration, in the order of its lines.
type Error struct {
	// File is the path read; empty for a Config made in a program.
	File     string
	Problems []Problem
}

// Error lists all problems, one a line.
func (e *Error) Error() string {
	name := e.File
	if name == "" {
		name = "configuration"
	}
	if len(e.Problems) == 1 {
		return name + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d problems", name, len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// problems collects. Its zero value is ready.
type problems struct {
	found []Problem
}

func (p *problems) add(line int, key, format string, args ...any) {
	p.found = append(p.found, Problem{Line: line, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (p *problems) err(file string) error {
	if len(p.found) == 0 {
		return nil
	}
	slices.SortStableFunc(p.found, func(a, b Problem) int { return a.Line - b.Line })
	return &Error{File: file, Problems: p.found}
}
