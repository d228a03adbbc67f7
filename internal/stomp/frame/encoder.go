package frame

import (
	"bytes"
	"strconv"
)

// Append appends f to dst in the wire form of version v. A frame with a body, and every SEND
// and MESSAGE, gets a content-length line of its own making; content-length lines of f.Header
// are left out; only Text frames have none. A header that the version cannot express, or a body on a frame that has none,
// is a *SyntaxError, and a part over limits is a *LimitError; then dst is returned unchanged.
func Append(dst []byte, f *Frame, v Version, limits Limits) ([]byte, error) {
	if err := check(f, limits); err != nil {
		return dst, err
	}
	out := append(dst, f.Command...)
	out = append(out, '\n')
	var err error
	for _, x := range f.Header {
		if x.Key == HeaderContentLength {
			continue
		}
		if out, err = appendField(out, x, v, unescaped(f.Command), limits); err != nil {
			return dst, err
		}
	}
	if carriesBody(f.Command) && !f.Text {
		out = append(out, HeaderContentLength...)
		out = append(out, ':')
		out = strconv.AppendInt(out, int64(len(f.Body)), 10)
		out = append(out, '\n')
	}
	out = append(out, '\n')
	out = append(out, f.Body...)
	return append(out, 0, '\n'), nil
}

func check(f *Frame, limits Limits) error {
	limits = limits.OrDefault()
	if f.Command == "" {
		return syntaxErrorf("no command")
	}
	for i := range len(f.Command) {
		if c := f.Command[i]; c < 'A' || c > 'Z' {
			return syntaxErrorf("%.40q is no command", f.Command)
		}
	}
	if len(f.Body) > 0 && !carriesBody(f.Command) {
		return syntaxErrorf("a %s frame has no body", f.Command)
	}
	if f.Text && bytes.IndexByte(f.Body, 0) >= 0 {
		return syntaxErrorf("a text with NUL needs its length")
	}
	if len(f.Body) > limits.Body {
		return &LimitError{What: "body", Limit: limits.Body}
	}
	if len(f.Header) >= limits.Headers { // one more for content-length
		return &LimitError{What: "header lines", Limit: limits.Headers}
	}
	return nil
}

func appendField(dst []byte, x Field, v Version, raw bool, limits Limits) ([]byte, error) {
	start := len(dst)
	dst, err := appendEscaped(dst, x.Key, v, raw, true)
	if err != nil {
		return nil, err
	}
	dst = append(dst, ':')
	if dst, err = appendEscaped(dst, x.Value, v, raw, false); err != nil {
		return nil, err
	}
	if limits = limits.OrDefault(); len(dst)-start > limits.HeaderLine {
		return nil, &LimitError{What: "header line", Limit: limits.HeaderLine}
	}
	return append(dst, '\n'), nil
}
