package store

import (
	"errors"
	"fmt"
	"syscall"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// ExistsError says that an object could not be created because there is one.
type ExistsError struct{ ID string }

// Error has the original Vesper's words.
func (e *ExistsError) Error() string { return fmt.Sprintf("id %s already exists", e.ID) }

// PreconditionError says that an object is not what the writer expected.
type PreconditionError struct {
	ID string
	// Exists says whether the object exists, Revision what its revision is.
	Exists   bool
	Revision branch.Revision
	// Wanted is the condition in words.
	Wanted string
}

// Error names the object, what it is and what it should have been.
func (e *PreconditionError) Error() string {
	is := "does not exist"
	if e.Exists {
		is = "is at revision " + e.Revision.String()
	}
	return fmt.Sprintf("object %s %s, and the write demands %s: read it again and repeat the write",
		statement.Excerpt(e.ID), is, e.Wanted)
}

// RefusedError says that the store takes no writes now.
type RefusedError struct{ Reason string }

// Error gives the reason.
func (e *RefusedError) Error() string { return "writes are refused: " + e.Reason }

// LimitError says that a transaction is larger than any node takes.
type LimitError struct{ Err error }

// Error says what is too large and how to go on.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the transaction is too large: %v: split it", e.Err)
}

// Unwrap returns the cause.
func (e *LimitError) Unwrap() error { return e.Err }

// InvalidError says that a write can never be stored as it is.
type InvalidError struct{ Err error }

// Error gives the cause.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

// ForkError says that a branch has two changesets of one name: two writers have
// had its id. Nothing more of the branch is applied from the one that differs.
type ForkError struct {
	Dot branch.Dot
	// Have and Got are the hashes of the changeset the store holds and of the
	// one that came.
	Have, Got [32]byte
}

// Error names the branch, the dot and both hashes.
func (e *ForkError) Error() string {
	return fmt.Sprintf("branch %s is forked at %s: the store holds a changeset with hash %x, and another came with hash %x; "+
		"two nodes have written under this id: stop one of them and give it a new branch id", e.Dot.Branch, e.Dot, e.Have[:8], e.Got[:8])
}

// BranchError says that a file belongs to another branch than configured.
type BranchError struct {
	Path       string
	File, Want branch.ID
}

// Error names both ids and the remedy.
func (e *BranchError) Error() string {
	return fmt.Sprintf("%s belongs to branch %s, but the configuration says %s: set branchId to %s, "+
		"or give the node %s an empty directory", e.Path, e.File, e.Want, e.File, e.Want)
}

// FormatError says that a file was written by a program that this one does not
// understand, or is no store at all.
type FormatError struct {
	Path   string
	Detail string
}

// Error names the file and the remedy.
func (e *FormatError) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Detail) }

// CorruptError says that the file contradicts itself.
type CorruptError struct {
	// What is the part that is damaged.
	What string
	Err  error
}

// Error names the part.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("the store is damaged: %s: %v", e.What, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// StorageError says that the disk did not take a write. What was acknowledged
// before is safe, reads go on, and writes are tried again when they come.
type StorageError struct {
	// Op is what was attempted, Path the file.
	Op, Path string
	Err      error
}

// Error says what failed, and for a full disk what to do.
func (e *StorageError) Error() string {
	if e.DiskFull() {
		return fmt.Sprintf("%s: the disk of %s is full (%v): free some space or enlarge the volume; no restart is needed", e.Op, e.Path, e.Err)
	}
	return fmt.Sprintf("%s: writing %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *StorageError) Unwrap() error { return e.Err }

// DiskFull reports whether the cause is a full disk or quota.
func (e *StorageError) DiskFull() bool {
	return errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT)
}

// ClosedError says that the store was closed before the call.
type ClosedError struct{}

// Error says so.
func (e *ClosedError) Error() string { return "the store is closed" }
