package statement

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Ref is the Go value of a reference: the id it refers to.
type Ref string

// Typed is the Go value of a term that no JSON scalar can stand for: a text
// with a datatype or language.
type Typed struct {
	// Datatype is the type as pJSON writes it: a URI, a name, or "lang:xx".
	Datatype string
	// Text is the value, always as text.
	Text string
}

// languagePrefix marks a language tag in a pJSON datatype.
const languagePrefix = "lang:"

// inferred is the datatype name that tells pJSON to type a value by its JSON
// kind, so it can never stand for a type.
const inferred = "json"

// FromValue returns the term of a Go value: nil, string, bool, any integer,
// *big.Int, float64, float32, json.Number, Ref, Typed or Term. It refuses NaN
// and infinities, which JSON does not have, and every other type.
func FromValue(v any) (Term, error) {
	switch v := v.(type) {
	case nil:
		return Null(), nil
	case string:
		return Literal(v), nil
	case bool:
		return Term{Text: strconv.FormatBool(v), Type: XSDBoolean}, nil
	case json.Number:
		return FromNumber(string(v))
	case Ref:
		return Reference(string(v)), nil
	case Typed:
		return FromTyped(v.Datatype, v.Text)
	case Term:
		return v, nil
	default:
		return fromGoNumber(v)
	}
}

func fromGoNumber(v any) (Term, error) {
	switch v := v.(type) {
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return Term{Text: fmt.Sprint(v), Type: XSDInteger}, nil
	case *big.Int:
		return Term{Text: v.String(), Type: XSDInteger}, nil
	case float64:
		return fromDouble(v)
	case float32:
		return fromDouble(float64(v))
	default:
		return Term{}, fmt.Errorf("a value of Go type %T cannot be stored: use a string, number, bool, nil or Ref", v)
	}
}

func fromDouble(f float64) (Term, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Term{}, fmt.Errorf("number %v cannot be stored: JSON has no such number", f)
	}
	return Term{Text: FormatDouble(f), Type: XSDDouble}, nil
}

// FromNumber returns the term of a JSON number: an integer of any size keeps
// its decimal text, a number with fraction or exponent becomes the nearest
// double. It refuses text that is not a JSON number and doubles out of range.
func FromNumber(text string) (Term, error) {
	if len(text) > MaxNumberBytes {
		return Term{}, fmt.Errorf("number %s is too long: %d bytes, and the limit is %d; write it as a string",
			Excerpt(text), len(text), MaxNumberBytes)
	}
	if !isJSONNumber(text) {
		return Term{}, fmt.Errorf("%s is not a JSON number", Excerpt(text))
	}
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			text = "0"
		}
		return Term{Text: text, Type: XSDInteger}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return Term{}, fmt.Errorf("number %s is beyond the range of a double (about 1.8e308): "+
			"write it as a string, or as an integer without exponent", Excerpt(text))
	}
	return fromDouble(f)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isJSONNumber reports whether a text is a number by the grammar of JSON, and
// nothing besides.
func isJSONNumber(text string) bool {
	rest := strings.TrimPrefix(text, "-")
	whole := leadingDigits(rest)
	if whole == 0 || whole > 1 && rest[0] == '0' {
		return false
	}
	rest = rest[whole:]
	if rest != "" && rest[0] == '.' {
		fraction := leadingDigits(rest[1:])
		if fraction == 0 {
			return false
		}
		rest = rest[1+fraction:]
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		if rest = rest[1:]; rest != "" && (rest[0] == '+' || rest[0] == '-') {
			rest = rest[1:]
		}
		return rest != "" && leadingDigits(rest) == len(rest)
	}
	return rest == ""
}

func leadingDigits(text string) int {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}

// IsInteger reports whether the term is an integer in the text that FromNumber
// gives it.
func (t Term) IsInteger() bool {
	if t.Type != XSDInteger || len(t.Text) > MaxNumberBytes || t.Text == "-0" {
		return false
	}
	digits := strings.TrimPrefix(t.Text, "-")
	return digits != "" && (len(digits) == 1 || digits[0] != '0') && leadingDigits(digits) == len(digits)
}

// FormatDouble returns the shortest text that reads back as f, in the
// original's layout: with a fraction always ("1.0"), and with an exponent from
// 1e11 on and below 1e-4. The original keeps 12 digits only, so the two texts
// are equal for every number with at most 12 significant digits.
func FormatDouble(f float64) string {
	magnitude := math.Abs(f)
	if magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e11) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// FromTyped returns the term of a pJSON datatype and its text: "lang:xx" gives
// the language tag xx, a name without colon gets TypePrefix, a URI stays.
func FromTyped(datatype, text string) (Term, error) {
	if tag, ok := strings.CutPrefix(datatype, languagePrefix); ok {
		if tag == "" || tag == TypeRef || tag == TypeLiteral || strings.Contains(tag, ":") {
			return Term{}, fmt.Errorf("datatype %s does not name a language: write for example %q",
				Excerpt(datatype), "lang:en")
		}
		return Term{Text: text, Type: tag}, nil
	}
	if datatype == "" || datatype == inferred {
		return Term{}, fmt.Errorf("datatype %q does not name a type: give a name or a URI", datatype)
	}
	if !strings.Contains(datatype, ":") {
		datatype = TypePrefix + datatype
	}
	return Term{Text: text, Type: datatype}, nil
}

// Value returns the Go value of the term: string, json.Number, bool, nil, Ref
// or Typed. A number, boolean or null whose text is not the one that this
// package writes comes back as Typed, so that FromValue(t.Value()) == t for
// every term that Check accepts.
func (t Term) Value() any {
	switch t.Type {
	case TypeRef:
		return Ref(t.Text)
	case TypeLiteral:
		return t.Text
	case TypeNull:
		if t == Null() {
			return nil
		}
	case XSDBoolean:
		if t.Text == "true" || t.Text == "false" {
			return t.Text == "true"
		}
	case XSDInteger, XSDDouble:
		if t.IsInteger() {
			return json.Number(t.Text)
		}
		if back, err := FromNumber(t.Text); err == nil && back == t {
			return json.Number(t.Text)
		}
	}
	return Typed{Datatype: t.datatype(), Text: t.Text}
}

// datatype is the inverse of FromTyped.
func (t Term) datatype() string {
	if !strings.Contains(t.Type, ":") {
		return languagePrefix + t.Type
	}
	name, ok := strings.CutPrefix(t.Type, TypePrefix)
	if ok && name != "" && name != inferred && !strings.Contains(name, ":") {
		return name
	}
	return t.Type
}
