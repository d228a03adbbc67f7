package store

import (
	"maps"
	"slices"
	"strings"
)

// orderedCheck checks the declared indexes against the objects.
type orderedCheck struct {
	declaration
	// entries counts those that the objects should have, by property.
	entries map[string]int
}

// beginOrdered reads what is declared, and checks that it is of this state.
func (c *checker) beginOrdered() *orderedCheck {
	d, stale, err := haveDeclared(c.tx)
	switch {
	case err != nil:
		c.faults = append(c.faults, err)
	case stale:
		c.fault("the declared indexes", "they are of another state than the objects")
	}
	return &orderedCheck{declaration: d, entries: map[string]int{}}
}

// object checks that an object can be found in the indexes that have come to it.
func (o *orderedCheck) object(c *checker, seen view) {
	for i := range o.Indexes {
		d := &o.Indexes[i]
		if !d.covers(seen.root) {
			continue
		}
		for _, key := range orderedKeys(seen.root, seen.under(d.Property)) {
			o.entries[d.Property]++
			if !c.image.has(bucketOrdered, key) {
				c.fault("the index of "+d.Property, "that of %s is missing or has another value", seen.root)
			}
		}
	}
}

// end checks that the indexes hold nothing else.
func (o *orderedCheck) end(c *checker) {
	have := map[string]int{}
	for k := range keysFrom(c.image, bucketOrdered, nil, nil) {
		property, _, _ := strings.Cut(string(k), "\x00")
		have[property]++
	}
	for _, d := range o.Indexes {
		if n := have[d.Property]; n != o.entries[d.Property] && d.State != indexLeaving {
			c.fault("the index of "+d.Property, "it has %d entries, the objects have %d", n, o.entries[d.Property])
		}
		delete(have, d.Property)
	}
	for _, property := range slices.Sorted(maps.Keys(have)) {
		c.fault("the declared indexes", "there are %d entries of %q, which is not declared", have[property], property)
	}
}
