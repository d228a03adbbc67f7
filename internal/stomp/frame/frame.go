// Package frame holds the STOMP 1.0, 1.1 and 1.2 frame: its parts, its limits, and a
// decoder and an encoder that are used by the client and by the embedded broker alike.
//
// It does no I/O of its own beyond the reader and writer it is given, and it allocates
// nothing on a peer's word: every limit is checked before memory is reserved.
package frame

import (
	"fmt"
	"slices"
	"strings"
)

// Commands of the protocol, as they stand on a frame's first line.
const (
	Connect     = "CONNECT"
	Stomp       = "STOMP"
	Connected   = "CONNECTED"
	Send        = "SEND"
	Subscribe   = "SUBSCRIBE"
	Unsubscribe = "UNSUBSCRIBE"
	Ack         = "ACK"
	Nack        = "NACK"
	Begin       = "BEGIN"
	Commit      = "COMMIT"
	Abort       = "ABORT"
	Disconnect  = "DISCONNECT"
	Message     = "MESSAGE"
	Receipt     = "RECEIPT"
	Error       = "ERROR"
)

// Header names that the protocol itself defines.
const (
	HeaderAcceptVersion = "accept-version"
	HeaderAck           = "ack"
	HeaderClientID      = "client-id"
	HeaderContentLength = "content-length"
	HeaderContentType   = "content-type"
	HeaderDestination   = "destination"
	HeaderExpires       = "expires"
	HeaderHeartBeat     = "heart-beat"
	HeaderHost          = "host"
	HeaderID            = "id"
	HeaderLogin         = "login"
	HeaderMessage       = "message"
	HeaderMessageID     = "message-id"
	HeaderPasscode      = "passcode"
	HeaderPersistent    = "persistent"
	HeaderReceipt       = "receipt"
	HeaderReceiptID     = "receipt-id"
	HeaderSelector      = "selector"
	HeaderServer        = "server"
	HeaderSession       = "session"
	HeaderSubscription  = "subscription"
	HeaderTransaction   = "transaction"
	HeaderVersion       = "version"
)

// Version is a protocol version in its wire spelling. Versions compare with < and >.
type Version string

// The versions this package speaks.
const (
	V10 Version = "1.0"
	V11 Version = "1.1"
	V12 Version = "1.2"
)

// ParseVersion accepts exactly "1.0", "1.1" and "1.2"; anything else is an error that quotes it.
func ParseVersion(s string) (Version, error) {
	switch v := Version(s); v {
	case V10, V11, V12:
		return v, nil
	}
	return "", fmt.Errorf("stomp version %q is not one of 1.0, 1.1, 1.2", s)
}

// Field is one header line, unescaped.
type Field struct {
	Key   string
	Value string
}

// Header is a frame's header lines in wire order. A key may repeat; the first one counts,
// as the specification says.
type Header []Field

// Get returns the first value of key, or "" when the header does not have it.
func (h Header) Get(key string) string {
	v, _ := h.Lookup(key)
	return v
}

// Lookup returns the first value of key and whether the header has it at all.
func (h Header) Lookup(key string) (string, bool) {
	for i := range h {
		if h[i].Key == key {
			return h[i].Value, true
		}
	}
	return "", false
}

// Add appends a line. It does not look whether the key is there already.
func (h *Header) Add(key, value string) {
	*h = append(*h, Field{Key: key, Value: value})
}

// Set replaces the first line of key and removes its repetitions, or appends a line.
func (h *Header) Set(key, value string) {
	i := slices.IndexFunc(*h, func(f Field) bool { return f.Key == key })
	if i < 0 {
		h.Add(key, value)
		return
	}
	rest := slices.DeleteFunc((*h)[i+1:], func(f Field) bool { return f.Key == key })
	(*h)[i].Value = value
	*h = (*h)[:i+1+len(rest)]
}

// Del removes every line of key.
func (h *Header) Del(key string) {
	*h = slices.DeleteFunc(*h, func(f Field) bool { return f.Key == key })
}

// Clone returns a copy that shares no memory with h.
func (h Header) Clone() Header { return slices.Clone(h) }

// Frame is one STOMP frame. Body is nil or the exact body octets; a content-length line in
// Header is what the peer sent and is replaced by the encoder.
type Frame struct {
	Command string
	Header  Header
	Body    []byte
	// Text leaves out the content-length line of a body without NUL, by which some brokers tell
	// text from octets. A decoder leaves it false.
	Text bool
	// Problem says what a decoder that reads past bad frames left out of this one: a *LimitError or
	// *SyntaxError. A body over the limit is nil; header lines that are bad are not in Header.
	Problem error
}

// New makes a frame from alternating keys and values; a last key without a value gets "".
func New(command string, kv ...string) *Frame {
	f := &Frame{Command: command, Header: make(Header, 0, len(kv)/2+2)}
	for i := 0; i < len(kv); i += 2 {
		value := ""
		if i+1 < len(kv) {
			value = kv[i+1]
		}
		f.Header.Add(kv[i], value)
	}
	return f
}

// String shows command, header and the body's length, for logs and failed tests. It never
// shows a passcode or a login, and never the body.
func (f *Frame) String() string {
	var b strings.Builder
	b.WriteString(f.Command)
	for _, x := range f.Header {
		v := x.Value
		if x.Key == HeaderPasscode || x.Key == HeaderLogin {
			v = "[redacted]"
		}
		fmt.Fprintf(&b, " %s=%q", x.Key, v)
	}
	fmt.Fprintf(&b, " body=%d", len(f.Body))
	return b.String()
}

// carriesBody says whether the protocol gives frames of this command a body.
func carriesBody(command string) bool {
	return command == Send || command == Message || command == Error
}

// unescaped says whether the frame is one of those whose header lines are never escaped, so
// that a peer that does not know the version yet can read them.
func unescaped(command string) bool {
	return command == Connect || command == Connected
}
