package value

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// The first byte of a key is the place of the value's kind in the order of all
// values. endOfKey, which is less than each of them, ends what has no end of its
// own: a text, the digits of a number, a list.
const (
	endOfKey = 0x00

	keyNull   = 0x01
	keyNumber = 0x02
	keyList   = 0x03
	keyString = 0x04
	keyRef    = 0x05

	// escape stands before the bytes 0 and 1 of a text, each of which is one more
	// then, so that no text holds endOfKey.
	escape = 0x01
	// keyCut follows what is left of a key that was cut.
	keyCut = 0xFF
)

// The second byte of a number's key.
const (
	belowZero = 0x7F
	isZero    = 0x80
	aboveZero = 0x81

	// exponentZero is added to exponents, which are far smaller either way.
	exponentZero = 0x8000
)

// AppendKey appends a key of the value. Keys compare byte by byte as Compare
// compares the values, and no key is the beginning of another. One that would be
// longer than limit is cut: it has limit+1 bytes then, and values with the same
// cut key may differ.
func AppendKey(dst []byte, v Value, limit int) []byte {
	start := len(dst)
	dst = appendKey(dst, v, limit)
	if len(dst)-start > limit {
		dst = append(dst[:start+limit], keyCut)
	}
	return dst
}

// appendKey appends the whole key or, if that is longer than limit, at least
// limit+1 bytes of it.
func appendKey(dst []byte, v Value, limit int) []byte {
	switch v.rank() {
	case rankNull:
		return append(dst, keyNull)
	case rankNumber:
		return appendNumber(append(dst, keyNumber), v.Term, limit)
	case rankList:
		return appendList(append(dst, keyList), v.List, limit)
	case rankRef:
		return appendText(append(dst, keyRef), v.Term.Text, limit)
	default:
		dst = appendText(append(dst, keyString), v.Term.Text, limit)
		return appendText(dst, v.Term.Type, limit)
	}
}

func appendText(dst []byte, text string, limit int) []byte {
	text = text[:min(len(text), limit+1)]
	for {
		at := strings.IndexFunc(text, func(r rune) bool { return r <= escape })
		if at < 0 {
			return append(append(dst, text...), endOfKey)
		}
		dst = append(append(dst, text[:at]...), escape, text[at]+1)
		text = text[at+1:]
	}
}

// appendNumber writes a number as 0.ddd times a power of ten: whether it is less
// than zero, the power, and the digits by pairs, each plus one. All of a number
// less than zero is turned over, so that greater comes first.
func appendNumber(dst []byte, t statement.Term, limit int) []byte {
	text := t.Text
	if !isSmall(t) {
		text, _ = numberText(t)
	}
	positive, negative := strings.CutPrefix(text, "-")
	digits, exponent := decimal(positive)
	if digits == "" {
		return append(dst, isZero)
	}
	start := len(dst)
	dst = append(dst, aboveZero, byte((exponent+exponentZero)>>8), byte(exponent+exponentZero))
	for rest := digits[:min(len(digits), 2*limit+2)]; rest != ""; {
		pair := 10 * (rest[0] - '0')
		if len(rest) > 1 {
			pair += rest[1] - '0'
		}
		dst = append(dst, pair+1)
		rest = rest[min(2, len(rest)):]
	}
	dst = append(dst, endOfKey)
	if negative {
		for i := start + 1; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
		dst[start] = belowZero
	}
	return dst
}

// decimal takes a number apart: it is 0.digits times ten to the exponent. The
// digits neither begin nor end with 0; zero has none.
func decimal(text string) (digits string, exponent int) {
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		exponent, _ = strconv.Atoi(text[at+1:]) //nolint:errcheck // numberText has parsed it
		text = text[:at]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	exponent += len(whole)
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent -= len(whole) + len(fraction) - len(digits)
	return strings.TrimRight(digits, "0"), exponent
}

// appendList writes the members in their order. Each takes a byte at least, so
// that of a long list no more than the least limit+1 need be known.
func appendList(dst []byte, list []Value, limit int) []byte {
	var least [][]byte
	var scratch []byte
	for _, m := range list {
		scratch = appendKey(scratch[:0], m, limit)
		if n := len(least); n > limit && bytes.Compare(scratch, least[n-1]) >= 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(least, scratch, bytes.Compare)
		least = slices.Insert(least, at, slices.Clone(scratch))
		least = least[:min(len(least), limit+1)]
	}
	start := len(dst)
	for _, m := range least {
		if dst = append(dst, m...); len(dst)-start > limit {
			return dst
		}
	}
	return append(dst, endOfKey)
}
