package pjson

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Member is one property of a Map.
type Member struct {
	Key   string
	Value any
}

// Map is a JSON object whose properties keep their order. Its values are those
// that AppendJSON writes.
type Map []Member

// Get returns the value of a property and whether it is there.
func (m Map) Get(key string) (any, bool) {
	for i := range m {
		if m[i].Key == key {
			return m[i].Value, true
		}
	}
	return nil, false
}

// Set gives a property a value, in its old place if it is there, else at the end.
func (m *Map) Set(key string, value any) {
	for i := range *m {
		if (*m)[i].Key == key {
			(*m)[i].Value = value
			return
		}
	}
	*m = append(*m, Member{Key: key, Value: value})
}

// MarshalJSON returns the object as JSON, properties in order.
func (m Map) MarshalJSON() ([]byte, error) { return AppendJSON(nil, m), nil }

// AppendJSON appends a value as compact JSON to dst: nil, bool, string,
// json.Number, int, []any or Map. Strings are written as they are, with only
// the escapes that JSON demands. A value of any other type is written as a
// string that says so, since results are made by this project alone.
func AppendJSON(dst []byte, value any) []byte {
	dst, _ = AppendJSONWithin(dst, value, math.MaxInt)
	return dst
}

// AppendJSONWithin is AppendJSON for a value that may be of any length: it gives
// up, and returns false, soon after dst has become longer than limit.
func AppendJSONWithin(dst []byte, value any, limit int) ([]byte, bool) {
	dst = appendWithin(dst, value, limit)
	return dst, len(dst) <= limit
}

func appendWithin(dst []byte, value any, limit int) []byte {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case json.Number:
		return append(dst, v...)
	case string:
		return appendString(dst, v)
	case []any:
		return appendList(dst, v, limit)
	case Map:
		return appendMap(dst, v, limit)
	default:
		return appendString(dst, fmt.Sprintf("unexpected value of type %T", value))
	}
}

func appendList(dst []byte, list []any, limit int) []byte {
	dst = append(dst, '[')
	for i, item := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst = appendWithin(dst, item, limit); len(dst) > limit {
			return dst
		}
	}
	return append(dst, ']')
}

func appendMap(dst []byte, m Map, limit int) []byte {
	dst = append(dst, '{')
	for i := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, m[i].Key)
		dst = append(dst, ':')
		if dst = appendWithin(dst, m[i].Value, limit); len(dst) > limit {
			return dst
		}
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

var shortEscapes = map[byte]string{
	'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`,
}

// AppendString appends a string as AppendJSON does.
func AppendString(dst []byte, text string) []byte { return appendString(dst, text) }

func appendString(dst []byte, text string) []byte {
	return append(appendText(append(dst, '"'), text), '"')
}

// isPlainASCII reports whether a text has nothing to escape and nothing to check.
func isPlainASCII(text string) bool {
	for i := range len(text) {
		if c := text[i]; c-0x20 >= 0x60 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendText appends what stands between the quotes of a string.
func appendText(dst []byte, text string) []byte {
	if isPlainASCII(text) {
		return append(dst, text...)
	}
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // never stored, but never broken JSON either
	}
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		if short, ok := shortEscapes[c]; ok {
			dst = append(dst, short...)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		from = i + 1
	}
	return append(dst, text[from:]...)
}
