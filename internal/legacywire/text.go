package legacywire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

const (
	hexDigits       = "0123456789abcdef"
	clockCounter    = 16
	microsInSecond  = 1_000_000
	microsInMilli   = 1000
	farFuture       = 64_000_000_000 // seconds: about the year 3998
	timestampDigits = 64
)

// appendQuoted appends a JSON string as Python writes it: everything that is
// not printable ASCII is escaped.
func appendQuoted(out []byte, s string) []byte {
	out = append(out, '"')
	for len(s) > 0 {
		if half, ok := surrogate(s); ok {
			out, s = appendUnit(out, half), s[3:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case strings.ContainsRune("\n\r\t\f\b", r):
			out = append(out, '\\', "btn.fr"[r-'\b'])
		case r >= ' ' && r <= '~':
			out = append(out, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = appendUnit(appendUnit(out, high), low)
		default:
			out = appendUnit(out, r)
		}
	}
	return append(out, '"')
}

func appendUnit(out []byte, r rune) []byte {
	return append(out, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// surrogate returns the half of a surrogate pair that s starts with, in the
// three bytes that unquote gives it.
func surrogate(s string) (rune, bool) {
	if len(s) < 3 || s[0] != 0xed || s[1] < 0xa0 || s[1] > 0xbf || s[2]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// unquote reads a valid JSON string. Half a surrogate pair becomes three bytes
// that are not UTF-8, so that it cannot be taken for anything else.
func unquote(raw []byte) (string, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", fmt.Errorf("%s is not a string", statement.Excerpt(string(raw[:min(len(raw), 200)])))
	}
	text := string(raw[1 : len(raw)-1])
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var b strings.Builder
	for {
		plain, rest, escaped := strings.Cut(text, `\`)
		b.WriteString(plain)
		if !escaped {
			return b.String(), nil
		}
		if rest[0] != 'u' {
			b.WriteByte(escape(rest[0]))
			text = rest[1:]
			continue
		}
		r := unit(rest[1:])
		text = rest[5:]
		if pair := utf16.DecodeRune(r, next(text)); pair != utf8.RuneError {
			r, text = pair, text[6:]
		}
		if utf16.IsSurrogate(r) {
			b.Write([]byte{0xed, 0x80 | byte(r>>6&0x3f), 0x80 | byte(r&0x3f)})
			continue
		}
		b.WriteRune(r)
	}
}

// escape returns what a letter after a backslash stands for.
func escape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// unit reads four hexadecimal digits.
func unit(text string) rune {
	n, err := strconv.ParseUint(text[:4], 16, 16)
	if err != nil {
		return utf8.RuneError // no valid JSON has this
	}
	return rune(n)
}

// next returns the unit that text starts with, and 0 if it does not.
func next(text string) rune {
	if !strings.HasPrefix(text, `\u`) {
		return 0
	}
	return unit(text[2:])
}

// ClockOf returns the clock of a timestamp: seconds since 1970 as a JSON
// number, of which six decimals count. A time that cannot be (before 1970, or
// beyond the year 3998) gives the least clock: the order of the changesets then
// comes from what each had seen.
func ClockOf(timestamp string) (changeset.Clock, error) {
	if _, err := statement.FromNumber(timestamp); err != nil || len(timestamp) > timestampDigits {
		return 0, fmt.Errorf("%s is not a number of seconds", statement.Excerpt(timestamp))
	}
	seconds, err := strconv.ParseFloat(timestamp, 64)
	if err != nil || seconds <= 0 || seconds >= farFuture {
		return 1, nil //nolint:nilerr // out of range: a time that cannot be
	}
	micros := int64(math.Round(seconds * microsInSecond))
	if whole, decimals, _ := strings.Cut(timestamp, "."); !strings.ContainsAny(timestamp, "eE") {
		// The text is exact where a double is not.
		micros = digits(whole)*microsInSecond + digits((decimals + "000000")[:6])
	}
	milli, rest := micros/microsInMilli, micros%microsInMilli
	return max(changeset.Clock(milli)<<clockCounter|changeset.Clock(rest), 1), nil
}

func digits(text string) (n int64) {
	for _, c := range []byte(text) {
		n = n*10 + int64(c-'0')
	}
	return n
}

// Align returns the least clock from c up that a timestamp can say.
func Align(c changeset.Clock) changeset.Clock {
	if c&(1<<clockCounter-1) < microsInMilli {
		return c
	}
	return (c>>clockCounter + 1) << clockCounter
}

// Timestamp returns the timestamp of an aligned clock, as Python writes the
// number: ClockOf(Timestamp(c)) == c.
func Timestamp(c changeset.Clock) string {
	micros := int64(c>>clockCounter)*microsInMilli + int64(c&(1<<clockCounter-1))
	text := fmt.Sprintf("%d.%06d", micros/microsInSecond, micros%microsInSecond)
	text = strings.TrimRight(text, "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return text
}

// twelve returns the text that the original gives a double: with twelve digits.
func twelve(f float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 11, 64), 64)
	if err != nil {
		return statement.FormatDouble(f)
	}
	return statement.FormatDouble(rounded)
}

// shortDouble returns the term as the original would have stored it.
func shortDouble(t statement.Term) statement.Term {
	if t.Type != statement.XSDDouble {
		return t
	}
	f, err := strconv.ParseFloat(t.Text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || statement.FormatDouble(f) != t.Text {
		return t
	}
	t.Text = twelve(f)
	return t
}
