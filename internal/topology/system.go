package topology

import (
	"maps"
	"slices"
)

// Brokers tells which names stand for one broker: it maps each name to the one
// that stands for all. A name that it lacks stands for itself.
type Brokers map[string]string

// SameBrokers finds out which brokers are one: those that have an address in
// common. addresses are by name.
func SameBrokers(addresses map[string][]string) Brokers {
	same, owner := Brokers{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(addresses)) {
		same[name] = name
		for _, address := range addresses[name] {
			if first, taken := owner[address]; taken {
				same.unite(first, name)
			} else {
				owner[address] = name
			}
		}
	}
	return same
}

// unite makes all that stand for either stand for the first by name.
func (b Brokers) unite(x, y string) {
	first, second := min(b[x], b[y]), max(b[x], b[y])
	for name, stands := range b {
		if stands == second {
			b[name] = first
		}
	}
}

// Real is the channel with the name that stands for its broker.
func (b Brokers) Real(c Channel) Channel {
	if name, known := b[c.Broker]; known {
		c.Broker = name
	}
	return c
}

// Reach returns all channels, by their real names, that changesets written on
// some come to. writers are the channels of each of those who carry between theirs.
func (b Brokers) Reach(from []Channel, writers [][]Channel) map[Channel]bool {
	reached := map[Channel]bool{}
	for _, c := range from {
		reached[b.Real(c)] = true
	}
	for grown := true; grown; {
		before := len(reached)
		for _, channels := range writers {
			if b.Meets(reached, channels) {
				for _, c := range channels {
					reached[b.Real(c)] = true
				}
			}
		}
		grown = len(reached) > before
	}
	return reached
}

// Meets reports whether one of the channels was reached.
func (b Brokers) Meets(reached map[Channel]bool, channels []Channel) bool {
	return slices.ContainsFunc(channels, func(c Channel) bool { return reached[b.Real(c)] })
}

// Party is where somebody writes.
type Party struct {
	// Now are the channels that its nodes are on, Wanted those that they are to be
	// on by what its spec says now.
	Now, Wanted []Channel
}

// all are the channels of now and later.
func (p Party) all() []Channel { return append(slices.Clone(p.Now), p.Wanted...) }

// Surroundings are all others who write anywhere near.
type Surroundings struct {
	Neighbors []Neighbor
	// Carriers are the channels of each node that exists: between those of a relay
	// it carries everything.
	Carriers [][]Channel
	// Brokers tells which names stand for one broker.
	Brokers Brokers
}

// Meeting is how two parties come to write in one system.
type Meeting struct {
	// Together is false when they never do. Remote: only relays are between them.
	Together, Remote bool
	// Linked means that their nodes are in one system already.
	Linked bool
	// There means that the other has nodes where I go, Here that I have where it goes.
	There, Here bool
}

// meeting says how me and another come together.
func (s Surroundings) meeting(me, other Party) Meeting {
	mine, theirs := s.Brokers.Reach(me.all(), s.Carriers), s.Brokers.Reach(other.all(), s.Carriers)
	direct := s.Brokers.Reach(me.all(), nil)
	return Meeting{
		Together: s.Brokers.Meets(mine, other.all()),
		Remote:   !s.Brokers.Meets(direct, other.all()),
		Linked:   s.linked(me, other),
		There:    s.Brokers.Meets(mine, other.Now),
		Here:     s.Brokers.Meets(theirs, me.Now),
	}
}

func (s Surroundings) linked(me, other Party) bool {
	return s.Brokers.Meets(s.Brokers.Reach(me.Now, s.Carriers), other.Now)
}

// near returns the neighbors that me writes in one system with, now or by what
// the specs say.
func (s Surroundings) near(me Party) (out []Neighbor) {
	for _, n := range s.Neighbors {
		if s.meeting(me, n.Party).Together {
			out = append(out, n)
		}
	}
	return out
}
