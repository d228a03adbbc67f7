package pjson

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"

	"vesperdb.io/vesper/internal/statement"
)

// IDSource makes ids for objects and lists that have none. Every call returns
// an id never returned before.
type IDSource interface {
	// Anonymous returns an id for an object that is not embedded.
	Anonymous() string
	// Embedded returns an id for an object embedded in owner.
	Embedded(owner string) string
	// List returns an id for a list inside a list of owner.
	List(owner string) string
}

type numbered struct {
	prefix string
	unique string
	last   int
}

// Random returns a source of ids that are unique everywhere: 128 random bits
// followed by a running number. It is not safe for use by several goroutines.
func Random() IDSource {
	var bits [16]byte
	// Read never fails: the runtime ends the program rather than give
	// predictable bits.
	_, _ = rand.Read(bits[:])
	return &numbered{prefix: statement.AnonymousPrefix, unique: "x" + hex.EncodeToString(bits[:])}
}

// Counter returns a source of ids that are unique in one document only:
// "_:j:e:object:owner:1" and so on. It makes tests predictable.
func Counter() IDSource {
	return &numbered{prefix: statement.ShortAnonymousPrefix}
}

func (n *numbered) next() string {
	n.last++
	return n.unique + strconv.Itoa(n.last)
}

// Anonymous is part of IDSource.
func (n *numbered) Anonymous() string {
	return n.prefix + statement.TopMark + n.next()
}

// Embedded is part of IDSource.
func (n *numbered) Embedded(owner string) string {
	return n.prefix + statement.EmbeddedObjectMark + owner + ":" + n.next()
}

// List is part of IDSource.
func (n *numbered) List(owner string) string {
	return n.prefix + statement.EmbeddedListMark + owner + ":" + n.next()
}
