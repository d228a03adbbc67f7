package syntax

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says why a query cannot be run, and where.
type Error struct {
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
func (e *Error) Error() string {
	text := fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Message)
	if e.Near != "" {
		text += fmt.Sprintf(" at %q", e.Near)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// NewError returns an error about the byte offset at of a query.
func NewError(text string, at int, hint, format string, args ...any) *Error {
	line, col := Position(text, at)
	return &Error{Line: line, Col: col, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Position returns the line and column, from 1 and in characters, of a byte
// offset in a query.
func Position(text string, at int) (line, col int) {
	before := text[:min(max(at, 0), len(text))]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
}
