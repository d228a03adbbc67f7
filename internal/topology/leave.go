package topology

import (
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

// Leaver is a node of Plan.Remove: its id is retired, and it goes once what it
// wrote is with its broker.
type Leaver struct {
	Name string
	ID   branch.ID
	// VolumeName is that of its volume; VolumeKept is true when the volume
	// outlives the node.
	VolumeName string
	VolumeKept bool
	// Empty is true when the node has nothing to send for certain: its process
	// never ran, or its volume is lost.
	Empty bool
	// Silent says why the node cannot be asked, "" when it has just answered.
	Silent string
	// Branch is who answered. Wrote is true when its data has changesets of its
	// own, Unsent counts those that the broker has not confirmed.
	Branch branch.ID
	Wrote  bool
	Unsent uint64
}

// Stays says why a node must not be removed yet, and what a person can do; ""
// when it may go. The first rule that has something to say decides.
func (l Leaver) Stays() string {
	switch {
	case l.Empty:
		return ""
	case l.Silent != "":
		return fmt.Sprintf("%s may have changesets to send and cannot be asked (%s): make it run, or %s", l.Name, l.Silent, l.force())
	case l.Branch != l.ID:
		return fmt.Sprintf("%s may have changesets of branch %s to send, and branch %s answers in its place: correct that, or %s", l.Name, l.ID, l.Branch, l.force())
	case l.Wrote && l.Unsent > 0:
		return fmt.Sprintf("%s has %s to send that the broker has not confirmed: bring the broker back, or %s", l.Name, l.unsent(), l.force())
	}
	return ""
}

func (l Leaver) unsent() string {
	if l.Unsent == 1 {
		return "1 changeset"
	}
	return fmt.Sprintf("%d changesets", l.Unsent)
}

// force says how to remove the node all the same, and what becomes of what it wrote.
func (l Leaver) force() string {
	fate := fmt.Sprintf("its volume claim %s is kept", l.VolumeName)
	if !l.VolumeKept {
		fate = fmt.Sprintf("they are lost with volume claim %s, as deletionPolicy says", l.VolumeName)
	}
	return fmt.Sprintf("delete VesperNode %s to remove it without them (%s)", l.Name, fate)
}
