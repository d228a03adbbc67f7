package changeset

import "fmt"

// Limits bound what is decoded, before memory is allocated for it. They are the
// same on every node: a changeset that one node accepts, all must accept.
type Limits struct {
	// MessageBytes bounds a container, packed and unpacked.
	MessageBytes int
	// BodyBytes bounds the body of one changeset.
	BodyBytes int
	// Objects, Props and Values bound one changeset, one object's change and
	// one property's change.
	Objects, Props, Values int
	// TextBytes bounds Author and Comment each.
	TextBytes int
}

// DefaultLimits returns the limits every node uses.
func DefaultLimits() Limits {
	return Limits{
		MessageBytes: 80 << 20,
		BodyBytes:    64 << 20,
		Objects:      1 << 20,
		Props:        1 << 18,
		Values:       1 << 20,
		TextBytes:    64 << 10,
	}
}

// LimitError says which part of a changeset is too large.
type LimitError struct {
	// What is the part, in words.
	What string
	// Size and Limit are in bytes, or in items for lists.
	Size, Limit uint64
}

// Error names the part, its size and the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s is too large: %d, and the limit is %d", e.What, e.Size, e.Limit)
}

// HashError says that a changeset is not what its author hashed.
type HashError struct {
	// Size is that of the body in bytes, Want the hash that it should have.
	Size int
	Want [32]byte
}

// Error names the size and the hash.
func (e *HashError) Error() string {
	return fmt.Sprintf("the body of %d bytes has another hash than %x", e.Size, e.Want[:8])
}

func checkLimit[N int | uint64](what string, size N, limit int) error {
	if uint64(size) > uint64(limit) {
		return &LimitError{What: what, Size: uint64(size), Limit: uint64(limit)}
	}
	return nil
}
