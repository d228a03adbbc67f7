package stomp

import (
	"errors"
	"fmt"
	"strings"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// ServerError is an ERROR frame: the broker refused something and said why.
type ServerError struct {
	// Message is the frame's message header.
	Message string
	// ReceiptID names the refused frame, "" when the broker did not say which it was.
	ReceiptID string
	// Detail is at most 512 octets of the frame's body; brokers put stack traces there.
	Detail string
}

// Error gives the broker's message, or the first line of the detail when there is none.
func (e *ServerError) Error() string {
	text := e.Message
	if text == "" {
		text, _, _ = strings.Cut(e.Detail, "\n")
	}
	return "broker answered with an error: " + text
}

const maxDetail = 512

func serverError(f *frame.Frame) *ServerError {
	detail := f.Body
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	return &ServerError{
		Message:   f.Header.Get(frame.HeaderMessage),
		ReceiptID: f.Header.Get(frame.HeaderReceiptID),
		Detail:    strings.ToValidUTF8(string(detail), "?"),
	}
}

// ConnectionError says that a connection could not be made or has ended. What was waiting for
// an answer on it may or may not have been done by the broker.
type ConnectionError struct {
	// Addr is the broker's address.
	Addr string
	// Err says why; net.ErrClosed when this side closed it.
	Err error
}

// Error names the address and the cause.
func (e *ConnectionError) Error() string {
	return fmt.Sprintf("connection to broker %s: %v", e.Addr, e.Err)
}

// Unwrap returns the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// UnsupportedError says that the broker's profile or the protocol version lacks something.
type UnsupportedError struct {
	What    string
	Profile string
	Version frame.Version
}

// Error says what is lacking where.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s is not supported by broker flavor %s with stomp %s", e.What, e.Profile, e.Version)
}

// OverflowError says that a broker sent more unacknowledged messages than a subscription asked
// for. The connection is closed, and the messages come again on the next one.
type OverflowError struct {
	Destination string
	Capacity    int
}

// Error names the subscription and its bound.
func (e *OverflowError) Error() string {
	return fmt.Sprintf("subscription to %s got more than %d messages that were not taken", e.Destination, e.Capacity)
}

// IsClientIDInUse says whether err is a broker's refusal of a client id that another connection
// holds. Right after a connection was lost that is normal, for a while: the broker has not seen
// its end yet. The wording is ActiveMQ's ("Broker: b - Client: X already connected from ...")
// and Artemis' ("... client ID ... already ...").
func IsClientIDInUse(err error) bool {
	var e *ServerError
	if !errors.As(err, &e) {
		return false
	}
	text := strings.ToLower(e.Message + "\n" + e.Detail)
	return strings.Contains(text, "client") && strings.Contains(text, "already connected") ||
		strings.Contains(text, "client") && strings.Contains(text, "id") && strings.Contains(text, "already in use")
}

// IsTooLarge says whether err is a broker's refusal of a frame for its size. The wording is that of
// ActiveMQ ("The maximum frame size was exceeded", "The maximum data length was exceeded") and of
// RabbitMQ ("max_frame_size").
func IsTooLarge(err error) bool {
	e, ok := errors.AsType[*ServerError](err)
	if !ok {
		return false
	}
	text := strings.ToLower(e.Message + "\n" + e.Detail)
	return strings.Contains(text, "maximum frame size") || strings.Contains(text, "maximum data length") ||
		strings.Contains(text, "max_frame_size") || strings.Contains(text, "frame too large")
}
