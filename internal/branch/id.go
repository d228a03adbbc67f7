// Package branch has the two words every other package is built on: the id of
// a branch (one writer, for ever) and the revision (what has been applied of
// every branch). It does no I/O and imports nothing of this project.
package branch

import (
	"fmt"
	"strings"
)

const (
	// MinWidth is the shortest branch id. The original Vesper isolates a node
	// whose id has one character without saying so.
	MinWidth = 2
	// MaxWidth bounds ids, and with them STOMP client ids and resource names.
	MaxWidth = 6

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// ID names one branch: the changesets of one writer. It is MinWidth to
// MaxWidth characters of [0-9A-Z] and ends with a letter, so that it can never
// be mistaken for a piece of the number that follows it in a revision. Within
// one system all ids have the same width, and so plain string order is the
// order of allocation.
type ID string

// First returns the lowest id of a width: "0A", "00A", ...
func First(width int) ID { return ID(strings.Repeat("0", width-1) + "A") }

// Last returns the highest id of a width: "ZZ", "ZZZ", ...
func Last(width int) ID { return ID(strings.Repeat("Z", width)) }

// ParseID checks s and returns it as an ID. The error names s and what an id
// looks like.
func ParseID(s string) (ID, error) {
	if len(s) < MinWidth || len(s) > MaxWidth {
		return "", fmt.Errorf("branch id %q has %d characters: it must have %d to %d, such as %q",
			s, len(s), MinWidth, MaxWidth, First(MinWidth))
	}
	for _, c := range s {
		if !strings.ContainsRune(alphabet, c) {
			return "", fmt.Errorf("branch id %q contains %q: only digits and the letters A to Z are allowed", s, c)
		}
	}
	if !strings.ContainsRune(letters, rune(s[len(s)-1])) {
		return "", fmt.Errorf("branch id %q ends with a digit: the last character must be a letter A to Z", s)
	}
	return ID(s), nil
}

// Next returns the id after id, of the same width. It reports false when id is
// the last of its width (or not an id), since ids are never reused.
func (id ID) Next() (ID, bool) {
	b := []byte(id)
	for i := len(b) - 1; i >= 0; i-- {
		digits := alphabet
		if i == len(b)-1 {
			digits = letters
		}
		at := strings.IndexByte(digits, b[i])
		if at < 0 {
			return "", false
		}
		if at+1 < len(digits) {
			b[i] = digits[at+1]
			return ID(b), true
		}
		b[i] = digits[0]
	}
	return "", false
}

// Width returns the number of characters of the id.
func (id ID) Width() int { return len(id) }

// Dot names one changeset for ever: the Seq-th of its branch. Sequence numbers
// are contiguous from 1 in each branch.
type Dot struct {
	Branch ID
	Seq    uint64
}

// String writes the dot as a revision of one component: "0A00003".
func (d Dot) String() string { return fmt.Sprintf("%s%05d", d.Branch, d.Seq) }

// IsZero reports whether d names nothing.
func (d Dot) IsZero() bool { return d.Branch == "" && d.Seq == 0 }

// Compare orders dots by branch, then sequence.
func (d Dot) Compare(e Dot) int {
	if c := strings.Compare(string(d.Branch), string(e.Branch)); c != 0 {
		return c
	}
	switch {
	case d.Seq < e.Seq:
		return -1
	case d.Seq > e.Seq:
		return 1
	}
	return 0
}

// ParseDot reads what Dot.String writes.
func ParseDot(s string) (Dot, error) {
	r, err := ParseRevision(s)
	if err != nil {
		return Dot{}, fmt.Errorf("parsing dot: %w", err)
	}
	if len(r) != 1 {
		return Dot{}, fmt.Errorf("parsing dot %q: want one component such as 0A00003, got %d", s, len(r))
	}
	return r[0], nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Dot) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Dot) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDot(string(b))
	return err
}
