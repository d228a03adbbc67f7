package store

import (
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// Tx is a transaction in progress. It is not safe for use by several
// goroutines, nor after the function it was given to returned.
type Tx struct {
	*Reader
	w *writing
}

// Add inserts the statements of the objects and removes none: a second value
// makes a property multi-valued, items are put into a list at their places.
func (t *Tx) Add(objects []pjson.Object) error { return t.w.add(objects) }

// Create is Add for objects that must not exist; else it fails with an
// *ExistsError.
func (t *Tx) Create(objects []pjson.Object) error { return t.w.create(objects) }

// Update sets the named properties of each object to exactly the given values
// and leaves the others alone; an object that is missing is created. An
// embedded object that takes the place of another keeps the other's id, and the
// other's properties that it does not name.
func (t *Tx) Update(objects []pjson.Object) error { return t.w.setAll(objects, false) }

// Replace makes the properties of each object exactly those given; one with no
// properties is deleted. Embedded objects keep their ids as with Update.
func (t *Tx) Replace(objects []pjson.Object) error { return t.w.setAll(objects, true) }

// Remove takes the given property values away; a property whose value is null
// goes with all its values. What is absent is ignored. To remove whole objects
// (the references of a document), use Delete.
func (t *Tx) Remove(objects []pjson.Object) error { return t.w.remove(objects) }

// Delete removes an object with everything embedded in it and reports whether
// it existed. The id may be that of an embedded object.
func (t *Tx) Delete(id string) (bool, error) { return t.w.delete(id) }

// Changes returns the net difference in visible statements of the transaction
// so far, each in canonical order.
func (t *Tx) Changes() (added, removed []statement.Statement, err error) { return t.w.changes() }

// SetComment sets the comment of the changeset.
func (t *Tx) SetComment(comment string) { t.w.opts.Comment = comment }
