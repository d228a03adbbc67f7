package broker

import (
	"fmt"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// refusalError becomes an ERROR frame. Returned by a command it keeps the connection open;
// returned by the reader it is the connection's last word.
type refusalError struct {
	receipt string
	message string
}

// Error is the frame's message.
func (e *refusalError) Error() string { return e.message }

// refuse makes the refusal of a client's frame.
func refuse(f *frame.Frame, format string, args ...any) *refusalError {
	return &refusalError{receipt: f.Header.Get(frame.HeaderReceipt), message: fmt.Sprintf(format, args...)}
}

func (e *refusalError) frame() *frame.Frame {
	message := e.message
	if len(message) > 1000 {
		message = message[:1000]
	}
	f := frame.New(frame.Error, frame.HeaderMessage, message, frame.HeaderContentType, "text/plain")
	if e.receipt != "" {
		f.Header.Add(frame.HeaderReceiptID, e.receipt)
	}
	f.Body = []byte(e.message)
	return f
}
