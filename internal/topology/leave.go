package topology

import (
	"fmt"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/branch"
)

// Leaver is a node that should leave: it may go once it takes no writes any more
// and its peers have all that only it can give them.
type Leaver struct {
	Name string
	ID   branch.ID
	// VolumeName is that of its volume; VolumeKept is true when the volume
	// outlives the node.
	VolumeName string
	VolumeKept bool
	// Empty is true when the node has nothing to give for certain: its process
	// never ran, or its volume is lost.
	Empty bool
	// Silent says why the node cannot be asked, "" when it has just answered.
	Silent string
	// Branch is who answered.
	Branch branch.ID
	// Draining is true when it says that it takes no writes any more, and that none
	// is under way; Refused, why it does not although it was told.
	Draining bool
	Refused  string
	// Revision is what it has applied. Unsent counts its own changesets that its
	// broker has not confirmed.
	Revision branch.Revision
	Unsent   uint64
	// Peers are those who stay.
	Peers []Peer
}

// Peer is a node that stays when another one leaves.
type Peer struct {
	Name string
	ID   branch.ID
	// Excused is true when it may be away, such as one that is suspended: it is not
	// waited for, nor relied on to give others what it wrote.
	Excused bool
	// Heard is true when it is known what it has applied: Revision.
	Heard    bool
	Revision branch.Revision
}

// Departure says how far a node is on its way out.
type Departure struct {
	// Drained is true when it may go: nothing is lost with it.
	Drained bool
	// Stalled is true when that will not change until a person acts.
	Stalled bool
	// Message is what is waited for and what a person can do, or why it may go.
	Message string
}

// Departure judges how far a node is. The first rule that has something to say decides.
func (l Leaver) Departure() Departure {
	for _, rule := range []func(Leaver) (Departure, bool){nothingToGive, cannotBeAsked, takesWrites, lastOne, peersLack} {
		if d, decided := rule(l); decided {
			return d
		}
	}
	return Departure{Drained: true, Message: fmt.Sprintf("takes no writes any more, and all that it wrote is on %s", strings.Join(l.holders(), ", "))}
}

func nothingToGive(l Leaver) (Departure, bool) {
	return Departure{Drained: true, Message: "has nothing to hand over: it never ran, or its volume is lost"}, l.Empty
}

func cannotBeAsked(l Leaver) (Departure, bool) {
	switch {
	case l.Silent != "":
		return Departure{Message: fmt.Sprintf("may have changesets that its peers lack, and cannot be asked (%s): make it run, or %s", l.Silent, l.force())}, true
	case l.Branch != l.ID:
		return Departure{Message: fmt.Sprintf("may have changesets of branch %s that its peers lack, and branch %s answers in its place: correct that, or %s",
			l.ID, l.Branch, l.force())}, true
	}
	return Departure{}, false
}

func takesWrites(l Leaver) (Departure, bool) {
	switch {
	case l.Draining:
		return Departure{}, false
	case l.Refused != "":
		return Departure{Message: fmt.Sprintf("takes writes still, and cannot be told to stop that (%s): give it an image that can, or %s", l.Refused, l.force())}, true
	}
	return Departure{Message: "is being told to take no more writes"}, true
}

// lastOne decides about a node that leaves nobody behind: the broker's word that it
// has all, and the volume, are then all that there can be.
func lastOne(l Leaver) (Departure, bool) {
	if len(l.holders()) > 0 || slices.ContainsFunc(l.Peers, func(p Peer) bool { return !p.Excused }) {
		return Departure{}, false
	}
	who := "nobody else is left"
	if len(l.Peers) > 0 {
		who = "all others are suspended or may be away"
	}
	switch {
	case len(l.Revision) == 0:
		return Departure{Drained: true, Message: "has no data"}, true
	case !l.VolumeKept:
		return Departure{Stalled: true, Message: fmt.Sprintf("holds data that would be lost with it, since %s and deletionPolicy is Delete: "+
			"suspend it instead of scaling to zero, or set deletionPolicy to Retain, or %s", who, l.force())}, true
	case l.Unsent > 0:
		return Departure{Message: fmt.Sprintf("has %s to send that the broker has not confirmed, and %s: bring the broker back, or %s",
			changesets(l.Unsent), who, l.force())}, true
	}
	return Departure{Drained: true, Message: fmt.Sprintf("takes no writes any more; %s, and volume claim %s keeps the data", who, l.VolumeName)}, true
}

// maxWaited is how many peers a message names.
const maxWaited = 5

func peersLack(l Leaver) (Departure, bool) {
	var waiting []string
	for _, p := range l.Peers {
		switch lacks := l.Lacks(p); {
		case p.Excused:
		case !p.Heard:
			waiting = append(waiting, p.Name+" (not heard)")
		case lacks > 0:
			waiting = append(waiting, fmt.Sprintf("%s (lacks %s)", p.Name, changesets(lacks)))
		}
	}
	if len(waiting) == 0 {
		return Departure{}, false
	}
	if more := len(waiting) - maxWaited; more > 0 {
		waiting = append(waiting[:maxWaited], fmt.Sprintf("%d more", more))
	}
	return Departure{Message: fmt.Sprintf("takes no writes any more; until they have all that it wrote it waits for %s: bring them or the broker back, or %s",
		strings.Join(waiting, ", "), l.force())}, true
}

// Lacks is how many changesets the leaver has that a peer has not: its own, and
// those of branches whose own node is not there to give them.
func (l Leaver) Lacks(p Peer) (n uint64) {
	if !p.Heard {
		return 0
	}
	for _, d := range l.Revision {
		own := slices.ContainsFunc(l.Peers, func(peer Peer) bool {
			return peer.ID == d.Branch && !peer.Excused && peer.Heard && peer.Revision.At(d.Branch) >= d.Seq
		})
		if has := p.Revision.At(d.Branch); !own && has < d.Seq {
			n += d.Seq - has
		}
	}
	return n
}

// holders names the peers that have all.
func (l Leaver) holders() (names []string) {
	for _, p := range l.Peers {
		if p.Heard && !p.Excused && l.Lacks(p) == 0 {
			names = append(names, p.Name)
		}
	}
	return names
}

func changesets(n uint64) string {
	if n == 1 {
		return "1 changeset"
	}
	return fmt.Sprintf("%d changesets", n)
}

// force says how to remove the node all the same, and what becomes of what it wrote.
func (l Leaver) force() string {
	fate := fmt.Sprintf("its volume claim %s is kept", l.VolumeName)
	if !l.VolumeKept {
		fate = fmt.Sprintf("they are lost with volume claim %s, as deletionPolicy says", l.VolumeName)
	}
	return fmt.Sprintf("delete VesperNode %s to remove it without them (%s)", l.Name, fate)
}
