package statement

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a statement. They bound index keys and memory on every node, so
// they are the same everywhere and cannot be configured.
const (
	// MaxIDBytes bounds the id of an object, as subject and as reference.
	MaxIDBytes = 2048
	// MaxEmbeddedIDBytes bounds the id of an embedded object or list, which
	// contains the id of its owner.
	MaxEmbeddedIDBytes = MaxIDBytes + 128
	// MaxPredicateBytes bounds the name of a property.
	MaxPredicateBytes = 2048
	// MaxTypeBytes bounds a datatype URI or language tag.
	MaxTypeBytes = 1024
	// MaxScopeBytes bounds a scope.
	MaxScopeBytes = 2048
	// MaxTextBytes bounds the text of one value.
	MaxTextBytes = 8 << 20
	// MaxNumberBytes bounds the text of one number, so that comparing two stays cheap.
	MaxNumberBytes = 4096
	// MaxListItems bounds the number of places in one list.
	MaxListItems = 1 << 20
)

// Check returns an error unless every part of the statement can be stored: not
// empty where a name is needed, within the limits above, valid UTF-8 and free
// of NUL bytes, with a type that exists and positions that ascend. The error
// names the part, the start of its text, its size and the limit.
func (s Statement) Check() error {
	if err := CheckID(s.Subject); err != nil {
		return err
	}
	if err := CheckPredicate(s.Predicate); err != nil {
		return fmt.Errorf("object %s: %w", Excerpt(s.Subject), err)
	}
	if err := s.checkValue(); err != nil {
		return fmt.Errorf("property %s of object %s: %w", Excerpt(s.Predicate), Excerpt(s.Subject), err)
	}
	return nil
}

func (s Statement) checkValue() error {
	if err := s.Term.Check(); err != nil {
		return err
	}
	if err := checkText("context", s.Scope, MaxScopeBytes); err != nil {
		return err
	}
	return checkPositions(s.Positions)
}

// CheckID returns an error unless id can name an object: not empty, at most
// MaxIDBytes long (MaxEmbeddedIDBytes when embedded), valid UTF-8, no NUL.
func CheckID(id string) error {
	limit := MaxIDBytes
	if IsEmbedded(id) {
		limit = MaxEmbeddedIDBytes
	}
	return checkName("id", id, limit)
}

// CheckPredicate returns an error unless name can be that of a property: not
// empty, at most MaxPredicateBytes long, valid UTF-8, no NUL.
func CheckPredicate(name string) error { return checkName("property name", name, MaxPredicateBytes) }

// Check returns an error unless the term can be stored; see Statement.Check.
func (t Term) Check() error {
	if t.Type == "" {
		return fmt.Errorf("value %s has no type: use %q for a string or %q for a reference",
			Excerpt(t.Text), TypeLiteral, TypeRef)
	}
	if strings.HasPrefix(t.Type, languagePrefix) {
		return fmt.Errorf("type %s: a language tag stands alone, without %q", Excerpt(t.Type), languagePrefix)
	}
	if err := checkText("datatype", t.Type, MaxTypeBytes); err != nil {
		return err
	}
	if t.IsRef() {
		if err := CheckID(t.Text); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		return nil
	}
	return checkText("value", t.Text, MaxTextBytes)
}

func checkPositions(list []int) error {
	previous := -1
	for _, p := range list {
		if p <= previous {
			return fmt.Errorf("list position %d follows %d: positions start at 0 and ascend", p, previous)
		}
		if p >= MaxListItems {
			return fmt.Errorf("list position %d: a list holds at most %d items; split it", p, MaxListItems)
		}
		previous = p
	}
	return nil
}

func checkName(what, text string, limit int) error {
	if text == "" {
		return fmt.Errorf("%s is empty: give it at least one character", what)
	}
	return checkText(what, text, limit)
}

func checkText(what, text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%s %s is too long: %d bytes, and the limit is %d", what, Excerpt(text), len(text), limit)
	}
	if at := strings.IndexByte(text, 0); at >= 0 {
		return fmt.Errorf("%s %s contains a NUL character at byte %d: remove it, Vesper cannot store it",
			what, Excerpt(text), at)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s %s is not valid UTF-8 at byte %d: send text encoded as UTF-8",
			what, Excerpt(text), invalidAt(text))
	}
	return nil
}

func invalidAt(text string) int {
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
			return i
		}
	}
	return len(text)
}

// excerptRunes is how much of a text an error message shows.
const excerptRunes = 40

// Excerpt returns the start of a text, quoted, for an error message: never
// more than a few dozen characters, and always printable.
func Excerpt(text string) string {
	short := Shorten(text)
	if len(short) == len(text) {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q...", short)
}

// Shorten returns the start of a text, as much as an error message shows.
func Shorten(text string) string {
	count := 0
	for i := range text {
		if count == excerptRunes {
			return text[:i]
		}
		count++
	}
	return text
}
