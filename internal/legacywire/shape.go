package legacywire

import (
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// Shape gives a transaction the form in which it can travel as a message:
// Convert(Emit(c)) == c. seen and past are as for Emit. Doubles are cut to
// twelve digits, the clock to microseconds; what was written of each object
// stays, but how it is told may change: see the package's description. The
// result has no objects when nothing is left to tell. The message is that of the
// result, on the base 0: see WithBase. An error names what the original has no
// form for.
func (k Codec) Shape(c changeset.Changeset, before Predecessor, past Past) (changeset.Changeset, Message, error) {
	out, m, err := k.shape(c, before, past)
	if err != nil {
		return c, m, fmt.Errorf("writing for a channel that nodes of the original Vesper share: %w", err)
	}
	return out, m, nil
}

func (k Codec) shape(c changeset.Changeset, before Predecessor, past Past) (changeset.Changeset, Message, error) {
	if row, ok := reserved(c); ok {
		return c, Message{}, fmt.Errorf("statement %s is one of those by which the original keeps the order of lists: write the list itself", row.text())
	}
	c.Clock = Align(c.Clock)
	c.Objects = slices.Clone(c.Objects)
	for i := range c.Objects {
		c.Objects[i] = shortDoubles(c.Objects[i])
	}
	once, m, err := k.travel(c, before, past)
	if err != nil || len(once.Objects) == 0 {
		return once, m, err
	}
	m, err = k.Message(once, before, past)
	return once, m, err
}

// Message returns the message of a changeset, on the base 0, and an error unless
// the changeset comes back the same from it, as every reader of the channel
// will see it.
func (k Codec) Message(c changeset.Changeset, before Predecessor, past Past) (Message, error) {
	back, m, err := k.travel(c, before, past)
	if err != nil {
		return m, err
	}
	want, err := changeset.Encode(c)
	if err != nil {
		return m, err
	}
	got, err := changeset.Encode(back)
	if err != nil {
		return m, err
	}
	if got.Hash != want.Hash {
		return m, fmt.Errorf("changeset %s is not the same after it was written in the original's form and read again", c.Dot())
	}
	return m, nil
}

// travel sends a changeset through a message.
func (k Codec) travel(c changeset.Changeset, before Predecessor, past Past) (changeset.Changeset, Message, error) {
	m, err := k.Emit(c, seenBy(c, before), "0", past)
	if err != nil {
		return c, m, err
	}
	m, err = Parse(m.Encode())
	if err != nil {
		return c, m, err
	}
	back, skipped, err := convert(m, before, past)
	if err != nil {
		return c, m, err
	}
	return back, m, reason(skipped)
}

// seenBy returns what the author of a changeset had applied of other branches.
func seenBy(c changeset.Changeset, before Predecessor) branch.Revision {
	return before.Seen.Merge(c.Base)
}

func shortDoubles(o changeset.ObjectChange) changeset.ObjectChange {
	o.Props = slices.Clone(o.Props)
	for i, p := range o.Props {
		places := map[fact]map[int]bool{}
		for _, v := range p.Added {
			v.Term = shortDouble(v.Term)
			f := factOf(v)
			if places[f] == nil {
				places[f] = map[int]bool{}
			}
			for _, at := range v.Positions {
				places[f][at] = true
			}
		}
		o.Props[i].Added = valuesOf(places)
	}
	return o
}
