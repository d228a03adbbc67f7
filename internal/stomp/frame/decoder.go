package frame

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// bodyStep is how much memory a body's announced length may reserve before any of it came.
const bodyStep = 64 << 10

// readPastTimes bounds a body that is read past, in limits of a body.
const readPastTimes = 16

// Decoder reads frames from a stream. It is not safe for concurrent use.
type Decoder struct {
	r       *bufio.Reader
	limits  Limits
	version Version
	lenient bool
	whole   bool // the last line was read to its end
}

// NewDecoder reads from r within limits. It starts with the rules of version 1.2, which read
// the handshake of every version, since CONNECT and CONNECTED are never escaped.
func NewDecoder(r io.Reader, limits Limits) *Decoder {
	limits = limits.OrDefault()
	// A line that does not fit the buffer is over the limit: +2 for its CR LF.
	size := max(limits.HeaderLine+2, 4096)
	return &Decoder{r: bufio.NewReaderSize(r, size), limits: limits, version: V12}
}

// SetVersion sets the escape rules for the frames that follow.
func (d *Decoder) SetVersion(v Version) { d.version = v }

// SetBodyLimit changes the limit on bodies for the frames that follow.
func (d *Decoder) SetBodyLimit(n int) { d.limits.Body = n }

// ReadPast makes the decoder read past what is wrong with a frame, as long as it can tell where the
// frame ends, and return the frame without it, with Frame.Problem set. A receiver can then refuse
// that frame and no more: closing the connection would only bring it again.
func (d *Decoder) ReadPast() { d.lenient = true }

// Buffered says how many octets were read from the stream and not yet decoded.
func (d *Decoder) Buffered() int { return d.r.Buffered() }

// Decode returns the next frame and skips the line ends (heart-beats) before it. At a clean
// end of the stream the error is io.EOF, within a frame it wraps io.ErrUnexpectedEOF; the
// others are *SyntaxError, *LimitError and the stream's own. After an error the stream is done.
func (d *Decoder) Decode() (*Frame, error) {
	command, err := d.command()
	if err != nil {
		return nil, err
	}
	f := &Frame{Command: command}
	if err = d.header(f); err != nil {
		return nil, fmt.Errorf("reading the header of a %s frame: %w", command, err)
	}
	if err = d.body(f); err != nil {
		return nil, fmt.Errorf("reading the body of a %s frame: %w", command, err)
	}
	return f, nil
}

// pass notes what is wrong with f and reports whether the decoder may read on.
func (d *Decoder) pass(f *Frame, err error) bool {
	if !d.lenient || err == nil {
		return false
	}
	if f.Problem == nil {
		f.Problem = err
	}
	return true
}

// command skips heart-beats and returns the next frame's first line.
func (d *Decoder) command() (string, error) {
	for {
		if _, err := d.r.Peek(1); err != nil {
			return "", err // nothing of a frame was read: a clean end stays io.EOF
		}
		line, err := d.line()
		if err != nil {
			return "", fmt.Errorf("reading a command: %w", err)
		}
		if len(line) == 0 {
			continue
		}
		for _, c := range line {
			if c < 'A' || c > 'Z' {
				return "", syntaxErrorf("%.40q is no command", line)
			}
		}
		return known(line), nil
	}
}

// known returns a constant for the commands of the protocol, so that none is allocated.
func known(line []byte) string {
	switch string(line) {
	case Message:
		return Message
	case Receipt:
		return Receipt
	case Send:
		return Send
	case Ack:
		return Ack
	}
	return string(line)
}

// line returns the next line without its end. It is valid until the next read.
func (d *Decoder) line() ([]byte, error) {
	b, err := d.r.ReadSlice('\n')
	d.whole = err == nil
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, &LimitError{What: "header line", Limit: d.limits.HeaderLine}
	}
	if err != nil {
		return nil, unexpected(err)
	}
	b = b[:len(b)-1]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	if len(b) > d.limits.HeaderLine {
		return nil, &LimitError{What: "header line", Limit: d.limits.HeaderLine}
	}
	return b, nil
}

func (d *Decoder) header(f *Frame) error {
	f.Header = make(Header, 0, 12)
	for {
		line, err := d.line()
		var long *LimitError
		if errors.As(err, &long) && d.pass(f, err) {
			if err := d.skipLine(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if err := d.addField(f, line); err != nil && !d.pass(f, err) {
			return err
		}
	}
}

func (d *Decoder) addField(f *Frame, line []byte) error {
	x, err := d.field(line, unescaped(f.Command))
	if err != nil {
		return err
	}
	if len(f.Header) >= d.limits.Headers {
		err = &LimitError{What: "header lines", Limit: d.limits.Headers}
		// Without its length the end of a body is not known.
		if _, known := f.Header.Lookup(HeaderContentLength); known || x.Key != HeaderContentLength {
			return err
		}
	}
	f.Header = append(f.Header, x)
	return err
}

// skipLine reads to the end of a line whose beginning filled the buffer. A line over the limit that
// fits the buffer was read whole.
func (d *Decoder) skipLine() error {
	if d.whole {
		return nil
	}
	for {
		_, err := d.r.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return unexpected(err)
		}
	}
}

func (d *Decoder) field(line []byte, raw bool) (Field, error) {
	if bytes.IndexByte(line, 0) >= 0 {
		return Field{}, syntaxErrorf("NUL in a header line: %.40q", line)
	}
	key, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return Field{}, syntaxErrorf("header line without a colon: %.40q", line)
	}
	k, err := unescape(key, d.version, raw)
	if err != nil {
		return Field{}, err
	}
	v, err := unescape(value, d.version, raw)
	return Field{Key: k, Value: v}, err
}

func (d *Decoder) body(f *Frame) error {
	text, ok := f.Header.Lookup(HeaderContentLength)
	if !ok {
		return d.bodyToNUL(f)
	}
	n, err := d.length(f, text)
	if err != nil {
		return err
	}
	if n > d.limits.Body {
		_, err = d.r.Discard(n)
		err = unexpected(err)
	} else {
		f.Body, err = d.bodyOf(n)
	}
	if err != nil {
		return err
	}
	end, err := d.r.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if end != 0 {
		return syntaxErrorf("a body of content-length %d is not followed by NUL", n)
	}
	return nil
}

// length is what a body announces. One over the limit is an error, or a problem that is read past
// when its end is in sight.
func (d *Decoder) length(f *Frame, text string) (int, error) {
	n, err := parseLength(text, d.limits.Body)
	var long *LimitError
	if !errors.As(err, &long) || !d.lenient {
		return n, err
	}
	n, far := parseLength(text, d.limits.Body*readPastTimes)
	if far != nil {
		return 0, err
	}
	d.pass(f, err)
	return n, nil
}

// parseLength reads decimal digits and stops at the limit, so that no text can overflow.
func parseLength(s string, limit int) (int, error) {
	if s == "" {
		return 0, syntaxErrorf("empty content-length")
	}
	n := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, syntaxErrorf("content-length %.40q is not a number", s)
		}
		if n = n*10 + int(c-'0'); n > limit {
			return 0, &LimitError{What: "body", Limit: limit}
		}
	}
	return n, nil
}

// bodyOf reads n octets and lets memory grow with what has come, not with what was announced.
func (d *Decoder) bodyOf(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	body := make([]byte, min(n, bodyStep))
	read := 0
	for {
		m, err := io.ReadFull(d.r, body[read:])
		if read += m; err != nil {
			return nil, unexpected(err)
		}
		if read == n {
			return body, nil
		}
		grown := make([]byte, min(n, 4*len(body)))
		copy(grown, body)
		body = grown
	}
}

// bodyToNUL reads the body of a frame without content-length.
func (d *Decoder) bodyToNUL(f *Frame) error {
	long := false
	for {
		part, err := d.r.ReadSlice(0)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return unexpected(err)
		}
		done := err == nil
		if done {
			part = part[:len(part)-1]
		}
		if !long && len(f.Body)+len(part) > d.limits.Body {
			limit := &LimitError{What: "body", Limit: d.limits.Body}
			if long, f.Body = d.pass(f, limit), nil; !long {
				return limit
			}
		}
		if !long {
			f.Body = append(f.Body, part...)
		}
		if done {
			return nil
		}
	}
}

// unexpected turns an end of the stream within a frame into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
