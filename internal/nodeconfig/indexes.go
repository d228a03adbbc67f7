package nodeconfig

import (
	"fmt"

	"vesperdb.io/vesper/internal/statement"
)

// Index declares that the values of a property are kept in order, so that
// queries for a range of them, or for the first of them, need not read them all.
type Index struct {
	// Property (property) is the property's full name, as the store has it.
	Property string
}

// The bounds of declared indexes.
const (
	// MaxIndexes is the most indexes of one node: each costs every write of its
	// property.
	MaxIndexes = 32
	// MaxPropertyBytes is how long the name of a property can be.
	MaxPropertyBytes = statement.MaxPredicateBytes
)

// indexKeys are the keys of an item of indexes.
var indexKeys = []key[Index]{
	{name: "property", always: true, value: func(i *Index) any { return &i.Property }},
}

// indexPath is how problems call an index, counted from 1 as a person does.
func indexPath(i int) string { return fmt.Sprintf("indexes[%d]", i+1) }

// IndexedProperties returns the properties that are declared; not nil.
func (c Config) IndexedProperties() []string {
	out := make([]string, len(c.Indexes))
	for i, index := range c.Indexes {
		out[i] = index.Property
	}
	return out
}

func (c Config) checkIndexes(p *problems) {
	if len(c.Indexes) > MaxIndexes {
		p.add(0, "indexes", "%d indexes: a node has at most %d", len(c.Indexes), MaxIndexes)
	}
	first := map[string]int{}
	for i, index := range c.Indexes {
		key := indexPath(i) + ".property"
		switch at, twice := first[index.Property]; {
		case index.Property == "":
			p.add(0, key, "missing: name the property, such as year")
		case len(index.Property) > MaxPropertyBytes:
			p.add(0, key, "has %d bytes: names of properties have at most %d", len(index.Property), MaxPropertyBytes)
		case twice:
			p.add(0, key, "index %d is of %s too: remove one", at+1, statement.Excerpt(index.Property))
		default:
			first[index.Property] = i
		}
	}
}
