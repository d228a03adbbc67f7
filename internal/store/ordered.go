package store

import (
	"iter"
	"math"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// NumberRange bounds numbers, both ends included; infinities for no bound.
type NumberRange struct{ Min, Max float64 }

// AllNumbers has no bounds.
func AllNumbers() NumberRange { return NumberRange{Min: math.Inf(-1), Max: math.Inf(1)} }

func (n NumberRange) holds(f float64) bool { return n.Min <= f && f <= n.Max }

// ScanNumbers yields the numbers (integers and doubles) under a predicate that
// may lie in a range, in no order, from the index alone. Numbers are rounded to
// 64 bits before they are compared, which keeps their order: so every number of
// the range comes, and some beyond its ends that round to them may come too.
func (r *Reader) ScanNumbers(predicate string, within NumberRange) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		for _, typ := range []string{statement.XSDDouble, statement.XSDInteger} {
			for p, err := range r.scanType(predicate, typ, "", nil) {
				if err == nil && !p.Cut && !within.holds(asFloat(p.Term.Text)) {
					continue
				}
				if !yield(p, err) || err != nil {
					return
				}
			}
		}
	}
}

// asFloat rounds a number to 64 bits; one too large becomes infinite.
func asFloat(text string) float64 {
	f, _ := strconv.ParseFloat(text, 64) //nolint:errcheck // out of range is infinite, which keeps the order
	return f
}

// TextRange bounds strings by code point, both ends included; see ScanTexts.
type TextRange struct {
	// Min is the least string.
	Min string
	// Max is the greatest string; nil for no bound.
	Max *string
}

// PrefixRange is the range of the strings that start with prefix.
func PrefixRange(prefix string) TextRange {
	last := prefix + "\U0010ffff"
	return TextRange{Min: prefix, Max: &last}
}

// ScanTexts yields the plain strings under a predicate that may lie in a range,
// in order of their text by code point (those too long for the index: of their
// beginning), then of root and subject; in a transaction what it has written
// comes first. It reads the part of the index that the range asks for and
// nothing else. A string that is Cut may lie outside the range.
func (r *Reader) ScanTexts(predicate string, within TextRange) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		for p, err := range r.scanType(predicate, statement.TypeLiteral, cutText(within.Min), within.past) {
			if err == nil && !within.mayHold(p) {
				continue
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// cutText shortens a text to what the index keeps of long ones.
func cutText(text string) string {
	return text[:min(len(text), keyTextPrefix)]
}

// past says that a posting and all after it are beyond the range.
func (t TextRange) past(p Posting) bool {
	return t.Max != nil && cutText(p.Term.Text) > *t.Max
}

func (t TextRange) mayHold(p Posting) bool {
	if p.Cut {
		return cutText(p.Term.Text) >= cutText(t.Min) && !t.past(p)
	}
	return p.Term.Text >= t.Min && (t.Max == nil || p.Term.Text <= *t.Max || isPrefixRange(t, p.Term.Text))
}

// isPrefixRange: a prefix followed by the greatest code point and more is in
// the range of that prefix, though it is greater than its end.
func isPrefixRange(t TextRange, text string) bool {
	return *t.Max == t.Min+"\U0010ffff" && strings.HasPrefix(text, t.Min)
}

// scanType yields the values of one type under a predicate, from a text on.
func (r *Reader) scanType(predicate, typ, text string, stop func(Posting) bool) iter.Seq2[Posting, error] {
	prefix := textKey(predicate, typ)
	from := append(textKey(predicate, typ), text...)
	all := r.scan(predicate, from, prefix, stop)
	return func(yield func(Posting, error) bool) {
		for p, err := range all {
			if (err != nil || p.Term.Type == typ) && !yield(p, err) {
				return
			}
		}
	}
}
