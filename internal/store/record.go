package store

import (
	"cmp"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// A record is everything that is kept of one object. It is a pure function of
// the SET of changesets applied to the object: whatever the order in which they
// come, as long as each comes after all that its base names, the record and its
// encoding are the same. With the words
//
//   - a write w is a changeset that changes properties of the object, a deletion
//     δ one that deletes it; x is seen by y when y's base covers x, and two are
//     concurrent when neither is seen by the other;
//   - stamps order all changesets (clock, branch, sequence);
//
// it holds, over the set:
//
//   - floor: the greatest floor that any write names. Everything older is gone.
//   - groups: per property and write, the values it brought that no later write
//     that had seen it replaced or removed, unless older than the floor.
//   - touches: the writes that no other write has seen. They stand for those they
//     have seen, since the store sees to it that a stamp is greater than those of
//     all that its changeset has seen.
//   - markers: the deletions above the floor that are in effect: no concurrent
//     write has a greater stamp. So the later of the two wins, for the whole
//     object. A marker hides every group older than itself.
//
// That the floor decides for good is what keeps records bounded: the author of
// a write that re-creates a deleted object names the deletion as floor, and from
// then on neither it nor what it hid has to be kept.
type record struct {
	floor   changeset.Stamp
	markers []changeset.Stamp // sorted by stamp
	touches []changeset.Stamp // sorted by dot
	regs    []register        // sorted by subject and predicate
}

// register is one property of one subject.
type register struct {
	subject, predicate string  // subject "" is the root
	groups             []group // sorted by dot
}

// group is what one write brought to a register, as far as it lives.
type group struct {
	stamp  changeset.Stamp
	assign bool
	values []changeset.Value
}

// write is one changeset as its objects' records need it.
type write struct {
	stamp changeset.Stamp
	// seen is what the author had seen of other branches. Of its own it had
	// seen everything before.
	seen branch.Revision
}

func (w write) covers(d branch.Dot) bool {
	if d.Branch == w.stamp.Dot.Branch {
		return d.Seq < w.stamp.Dot.Seq
	}
	return w.seen.Covers(d)
}

// apply makes the record what it is with one more changeset. The caller sees to
// it that all of the base has been applied, and this changeset has not.
func (r *record) apply(c changeset.ObjectChange, w write) {
	r.raiseFloor(c.Floor)
	if c.Delete {
		r.mark(w)
		return
	}
	r.touch(w)
	if len(r.regs) == 0 {
		r.regs = make([]register, 0, len(c.Props))
	}
	for _, p := range c.Props {
		r.setProp(p, w)
	}
}

func (r *record) raiseFloor(floor changeset.Stamp) {
	if floor.Compare(r.floor) <= 0 {
		return
	}
	r.floor = floor
	r.markers = slices.DeleteFunc(r.markers, func(m changeset.Stamp) bool { return m.Compare(floor) <= 0 })
	for i := range r.regs {
		reg := &r.regs[i]
		reg.groups = slices.DeleteFunc(reg.groups, func(g group) bool { return g.stamp.Compare(floor) < 0 })
	}
	r.dropEmpty()
}

func (r *record) dropEmpty() {
	r.regs = slices.DeleteFunc(r.regs, func(reg register) bool { return len(reg.groups) == 0 })
}

// mark records a deletion unless a concurrent write is later. One older than the
// floor never gets past that: the write that set the floor is such a write.
func (r *record) mark(w write) {
	for _, t := range r.touches {
		if !w.covers(t.Dot) && t.Compare(w.stamp) > 0 {
			return
		}
	}
	if mutant.On("deleted-returns") && len(r.touches) > 1 {
		return
	}
	at, _ := slices.BinarySearchFunc(r.markers, w.stamp, changeset.Stamp.Compare)
	r.markers = slices.Insert(r.markers, at, w.stamp)
}

// touch records a write and voids the concurrent deletions that are earlier.
func (r *record) touch(w write) {
	r.touches = slices.DeleteFunc(r.touches, func(t changeset.Stamp) bool { return w.covers(t.Dot) })
	at, _ := slices.BinarySearchFunc(r.touches, w.stamp, compareByDot)
	r.touches = slices.Insert(r.touches, at, w.stamp)
	r.markers = slices.DeleteFunc(r.markers, func(m changeset.Stamp) bool {
		return !w.covers(m.Dot) && w.stamp.Compare(m) > 0
	})
}

func (r *record) setProp(p changeset.PropChange, w write) {
	at, found := r.find(p.Subject, p.Predicate)
	if !found {
		r.regs = slices.Insert(r.regs, at, register{subject: p.Subject, predicate: p.Predicate})
	}
	reg := &r.regs[at]
	if p.Mode == changeset.Assign {
		reg.groups = slices.DeleteFunc(reg.groups, func(g group) bool { return w.covers(g.stamp.Dot) })
	} else {
		reg.kill(p, w)
	}
	if len(p.Added) > 0 && w.stamp.Compare(r.floor) > 0 {
		reg.insert(group{stamp: w.stamp, assign: p.Mode == changeset.Assign, values: p.Added})
	}
	if len(reg.groups) == 0 {
		r.regs = slices.Delete(r.regs, at, at+1)
	}
}

// find returns the place of a register, or where it would be.
func (r *record) find(subject, predicate string) (int, bool) {
	return slices.BinarySearchFunc(r.regs, register{subject: subject, predicate: predicate}, compareRegisters)
}

func compareRegisters(a, b register) int {
	return cmp.Or(strings.Compare(a.subject, b.subject), strings.Compare(a.predicate, b.predicate))
}

// kill takes away the values that a patch names, from the groups its author had
// seen. A value that it adds anew goes too, so that it lives once.
func (reg *register) kill(p changeset.PropChange, w write) {
	for i := range reg.groups {
		g := &reg.groups[i]
		if !w.covers(g.stamp.Dot) {
			continue
		}
		named := func(v changeset.Value) bool { return holds(p.Removed, v) || holds(p.Added, v) }
		if slices.ContainsFunc(g.values, named) {
			g.values = slices.DeleteFunc(slices.Clone(g.values), named)
		}
	}
	reg.groups = slices.DeleteFunc(reg.groups, func(g group) bool { return len(g.values) == 0 })
}

func holds(values []changeset.Value, v changeset.Value) bool {
	return slices.ContainsFunc(values, v.Same)
}

func (reg *register) insert(g group) {
	if mutant.On("conflict-by-arrival-order") {
		reg.groups = append(reg.groups, g)
		return
	}
	at, _ := slices.BinarySearchFunc(reg.groups, g, func(a, b group) int { return a.stamp.Dot.Compare(b.stamp.Dot) })
	reg.groups = slices.Insert(reg.groups, at, g)
}

// hidden returns the stamp below which nothing is seen.
func (r *record) hidden() changeset.Stamp {
	if n := len(r.markers); n > 0 {
		return r.markers[n-1]
	}
	return changeset.Stamp{}
}

// last returns the greatest stamp that has to do with the object.
func (r *record) last() changeset.Stamp {
	last := r.hidden()
	for _, t := range r.touches {
		if t.Compare(last) > 0 {
			last = t
		}
	}
	return last
}

// revision returns the writes that no other write has seen.
func (r *record) revision() branch.Revision {
	var rev branch.Revision
	for _, t := range r.touches {
		rev = rev.With(t.Dot)
	}
	return rev
}
