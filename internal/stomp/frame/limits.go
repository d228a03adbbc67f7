package frame

import "fmt"

// Limits bound what a decoder accepts. A zero field means its default.
type Limits struct {
	// Body is the greatest number of octets in a body. Default 16 MiB.
	Body int
	// HeaderLine is the greatest number of octets in the command line and in one header
	// line, before unescaping and without the line end. Default 10 KiB, which is where
	// ActiveMQ Classic closes the connection.
	HeaderLine int
	// Headers is the greatest number of header lines. Default 1000, as ActiveMQ Classic has.
	Headers int
}

// Default limits.
const (
	DefaultBody       = 16 << 20
	DefaultHeaderLine = 10 << 10
	DefaultHeaders    = 1000
)

// OrDefault returns l with defaults in place of zero and negative fields.
func (l Limits) OrDefault() Limits {
	if l.Body <= 0 {
		l.Body = DefaultBody
	}
	if l.HeaderLine <= 0 {
		l.HeaderLine = DefaultHeaderLine
	}
	if l.Headers <= 0 {
		l.Headers = DefaultHeaders
	}
	return l
}

// LimitError says that a frame was larger than allowed. After one from a decoder the stream
// is in the middle of that frame and cannot be read on.
type LimitError struct {
	What  string // "body", "header line" or "header lines"
	Limit int    // octets, or lines
}

// Error names the limit that was passed.
func (e *LimitError) Error() string {
	return fmt.Sprintf("frame is over the limit: %s of more than %d", e.What, e.Limit)
}

// SyntaxError says that octets do not make a frame, or that a frame cannot be written in a
// protocol version.
type SyntaxError struct {
	Reason string
}

// Error gives the reason.
func (e *SyntaxError) Error() string { return "not a stomp frame: " + e.Reason }

func syntaxErrorf(format string, args ...any) error {
	return &SyntaxError{Reason: fmt.Sprintf(format, args...)}
}
