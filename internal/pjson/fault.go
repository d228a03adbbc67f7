package pjson

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/statement"
)

// fault is an error at a byte offset; Parse turns it into a *SyntaxError.
type fault struct {
	at              int
	message, remedy string
}

// Error says what is wrong, without the place.
func (f *fault) Error() string { return f.message }

func faultf(at int, remedy, format string, args ...any) error {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = statement.Shorten(text)
		}
	}
	return &fault{at: at, message: fmt.Sprintf(format, args...), remedy: remedy}
}

// locator turns byte offsets into lines and columns. Offsets asked for in
// ascending order cost one pass over the text in all.
type locator struct {
	text []byte
	at   int
	here Position
}

func newLocator(text []byte) *locator {
	return &locator{text: text, here: Position{Line: 1, Column: 1}}
}

// located makes a fault a *SyntaxError.
func (l *locator) located(err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	return &SyntaxError{Position: l.position(f.at), Message: f.message, Remedy: f.remedy}
}

func (l *locator) position(at int) Position {
	if at < l.at {
		l.at, l.here = 0, Position{Line: 1, Column: 1}
	}
	for l.at < at && l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == '\n':
			l.here.Line++
			l.here.Column = 1
		case utf8.RuneStart(c):
			l.here.Column++
		}
		l.at++
	}
	return l.here
}
