package replication

import (
	"errors"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// Wire is the form of changesets on a link's data topic. It is called by one
// sender and one receiver at the same time.
//
// Beacons and the sync queues are between nodes of this program alone and have
// a form of their own, whatever the wire.
type Wire interface {
	// Pack makes the messages that carry the changesets, in order. The sender
	// fills in what a message leaves empty: From with the own branch; every
	// message is persistent and asks for a confirmation. An error that holds an
	// *UnsendableError says that a changeset can never be sent in this form: when
	// it is packed alone, it is set aside and the rest goes on. Any other error is
	// passing, and everything is tried again.
	Pack(list []changeset.Envelope) ([]Message, error)
	// Unpack returns the changesets of a message, maybe none. A message with an
	// error is quarantined and acknowledged, unless the error holds a
	// *store.StorageError: then it is not acknowledged, and tried again.
	Unpack(m Message) ([]changeset.Envelope, error)
}

// UnsendableError says that a changeset can never travel over a link: the wire
// has no form for it, or it is larger than the broker takes.
type UnsendableError struct {
	Dot branch.Dot
	Err error
}

// Error names the changeset and the cause.
func (e *UnsendableError) Error() string {
	return fmt.Sprintf("changeset %s cannot be sent: %v", e.Dot, e.Err)
}

// Unwrap returns the cause.
func (e *UnsendableError) Unwrap() error { return e.Err }

// PackedWire puts many changesets into one compressed message: the form between
// nodes of this program.
type PackedWire struct{}

// Pack makes one message of all the changesets.
func (PackedWire) Pack(list []changeset.Envelope) ([]Message, error) {
	body, err := changeset.Pack(list)
	if tooLarge, ok := errors.AsType[*changeset.LimitError](err); ok && len(list) > 0 {
		return nil, &UnsendableError{Dot: list[0].Dot, Err: tooLarge}
	}
	if err != nil {
		return nil, err
	}
	return []Message{{ContentType: changeset.ContentType, Body: body}}, nil
}

// Unpack takes a message apart whose content type says that it is packed.
func (PackedWire) Unpack(m Message) ([]changeset.Envelope, error) {
	if m.ContentType != changeset.ContentType {
		return nil, &foreignError{m.ContentType, changeset.ContentType}
	}
	return changeset.Unpack(m.Body, changeset.DefaultLimits())
}
