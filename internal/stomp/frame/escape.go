package frame

import "slices"

import "strings"

// appendEscaped appends s as it must stand in a header line of version v. Versions differ in
// what they can say at all: 1.0 escapes nothing, 1.1 cannot say a carriage return, and the
// frames of the handshake are never escaped. What cannot be said is an error, since a peer
// would read something else.
func appendEscaped(dst []byte, s string, v Version, raw, isKey bool) ([]byte, error) {
	if raw || v == V10 {
		return appendRaw(dst, s, isKey)
	}
	if !strings.ContainsAny(s, "\r\n:\\\x00") {
		return append(dst, s...), nil
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			dst = append(dst, `\\`...)
		case '\n':
			dst = append(dst, `\n`...)
		case ':':
			dst = append(dst, `\c`...)
		case '\r':
			if v == V11 {
				return nil, syntaxErrorf("a carriage return cannot be written in a 1.1 header: %.40q", s)
			}
			dst = append(dst, `\r`...)
		case 0:
			return nil, syntaxErrorf("a NUL cannot be written in a header: %.40q", s)
		default:
			dst = append(dst, c)
		}
	}
	return dst, nil
}

func appendRaw(dst []byte, s string, isKey bool) ([]byte, error) {
	forbidden := "\r\n\x00"
	if isKey {
		forbidden += ":"
	}
	if i := strings.IndexAny(s, forbidden); i >= 0 {
		return nil, syntaxErrorf("%q cannot be written unescaped in a header: %.40q", s[i], s)
	}
	return append(dst, s...), nil
}

// unescape undoes appendEscaped. Unknown escapes are fatal, as the specification demands.
func unescape(b []byte, v Version, raw bool) (string, error) {
	if raw || v == V10 || !hasEscape(b) {
		return string(b), nil
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		i++
		if i == len(b) {
			return "", syntaxErrorf("a header ends inside an escape: %.40q", b)
		}
		c, ok := unescaped1(b[i], v)
		if !ok {
			return "", syntaxErrorf(`unknown escape \%c in a header: %.40q`, b[i], b)
		}
		out = append(out, c)
	}
	return string(out), nil
}

func unescaped1(c byte, v Version) (byte, bool) {
	switch c {
	case '\\':
		return '\\', true
	case 'n':
		return '\n', true
	case 'c':
		return ':', true
	case 'r':
		return '\r', v == V12
	}
	return 0, false
}

func hasEscape(b []byte) bool {
	return slices.Contains(b, '\\')
}
