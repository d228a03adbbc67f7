package topology

import (
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/branch"
)

// Decision is what may be done with one node.
type Decision int

const (
	// Hold means that nothing may be made. What runs goes on as it is.
	Hold Decision = iota
	// Run means that volume and process may be made, and kept as they should be.
	Run
	// Stop means that the process must not run.
	Stop
)

// Reasons that a Verdict gives beside ChannelShared and TrunkConflict.
const (
	// Recording means that the cluster has not recorded yet that the id is in use.
	Recording Reason = "Recording"
	// VolumeLost means that the volume that held the branch's data is gone or replaced.
	VolumeLost Reason = "VolumeLost"
	// BranchMismatch means that the volume's data belongs to another branch or system.
	BranchMismatch Reason = "BranchMismatch"
	// VolumeNotOwn means that the volume is a copy, or that nothing says whose data it has.
	VolumeNotOwn Reason = "VolumeNotOwn"
	// VolumeRetired means that the volume's branch id was retired.
	VolumeRetired Reason = "VolumeRetired"
	// VolumeTerminating means that the volume is on its way out.
	VolumeTerminating Reason = "VolumeTerminating"
)

// Verdict is a Decision and, unless it is Run, why, and what a person can do.
type Verdict struct {
	Decision Decision
	Reason   Reason
	Message  string
}

// Candidate is one node that would like to run.
type Candidate struct {
	Identity
	ID    branch.ID
	Trunk branch.ID
	// Cluster names the cluster that made the node, "" when a person did.
	Cluster string
	// Assigned is the cluster's record of the id, nil when it has none.
	Assigned *Assignment
	// Started is true when the node's process was set up before; Moved, when
	// that was on other channels than those it wants.
	Started, Moved bool
	// VolumeUIDs are the records of the volume that held the node's data, from
	// wherever one was kept; empty ones do not count.
	VolumeUIDs []string
	// VolumeName is where the node's volume is looked for; Volume is what is
	// there, nil for nothing.
	VolumeName string
	Volume     *Volume
	// Party is where the node writes, Surroundings who else does; only asked for a
	// node that a person made.
	Party
	Surroundings
}

// Admit decides whether a node may run. The first rule that has something to
// say decides.
func Admit(c Candidate) Verdict {
	for _, rule := range []func(Candidate) (Verdict, bool){wrongVolume, lostVolume, foundVolume, notRecorded, pinnedIDClash, retiredVolume, leavingVolume} {
		if v, decided := rule(c); decided {
			return v
		}
	}
	return Verdict{Decision: Run}
}

func wrongVolume(c Candidate) (Verdict, bool) {
	v := c.Volume
	if v == nil || (v.ID == "" || v.ID == c.ID) && (v.Trunk == "" || v.Trunk == c.Trunk) {
		return Verdict{}, false
	}
	return Verdict{Stop, BranchMismatch, fmt.Sprintf(
		"volume claim %s holds the data of branch %s (trunk %s), not of %s (trunk %s): give the claim back to its own node, or delete or rename it",
		v.Name, v.ID, v.Trunk, c.ID, c.Trunk)}, true
}

func lostVolume(c Candidate) (Verdict, bool) {
	for _, uid := range c.VolumeUIDs {
		if uid == "" || c.Volume != nil && c.Volume.UID == uid {
			continue
		}
		what := "is gone"
		if c.Volume != nil {
			what = "was replaced by another of its name"
		}
		return Verdict{Stop, VolumeLost, fmt.Sprintf(
			"volume claim %s (uid %s), which held the data of branch %s, %s: the id must not write again. %s",
			c.VolumeName, uid, c.ID, what, c.replacement())}, true
	}
	return Verdict{}, false
}

// foundVolume stops a node that finds a volume which it did not make, and which
// no record says is its own: a clone, a restored snapshot, or anything at all.
func foundVolume(c Candidate) (Verdict, bool) {
	v := c.Volume
	if v == nil || slices.Contains(c.VolumeUIDs, v.UID) || c.Started || !v.Copied && v.ID != "" {
		return Verdict{}, false
	}
	what := "was made from another volume or a snapshot"
	if !v.Copied {
		what = "was there before the node, and does not say whose data it holds"
	}
	return Verdict{Stop, VolumeNotOwn, fmt.Sprintf(
		"volume claim %s %s: branch id %s must not write on it. Delete or rename the claim, and then: %s", v.Name, what, c.ID, c.replacement())}, true
}

// replacement says how a node gets a fresh id.
func (c Candidate) replacement() string {
	if c.Cluster != "" {
		return fmt.Sprintf("Delete VesperNode %s: cluster %s then makes a new node with a fresh id, which learns all data from its peers", c.Name, c.Cluster)
	}
	return fmt.Sprintf("Delete VesperNode %s and make one with a branch id that was never used, which learns all data from its peers", c.Name)
}

func notRecorded(c Candidate) (Verdict, bool) {
	if c.Cluster == "" || c.Started || c.Assigned != nil && c.Assigned.Started {
		return Verdict{}, false
	}
	return Verdict{Hold, Recording, fmt.Sprintf("waiting until cluster %s has recorded branch id %s as in use", c.Cluster, c.ID)}, true
}

func pinnedIDClash(c Candidate) (Verdict, bool) {
	if c.Cluster != "" || c.Started && !c.Moved {
		return Verdict{}, false
	}
	me := Neighbor{Identity: c.Identity, Party: c.Party, Range: Range{c.ID, c.ID}, Trunk: c.Trunk}
	for _, n := range c.Neighbors {
		if r := c.clash(me, n); r != nil {
			return Verdict{Hold, r.Reason, r.Message}, true
		}
	}
	return Verdict{}, false
}

func retiredVolume(c Candidate) (Verdict, bool) {
	if c.Started || c.Volume == nil || !c.Volume.Retired {
		return Verdict{}, false
	}
	return Verdict{Hold, VolumeRetired, fmt.Sprintf(
		"volume claim %s is kept from a node that was removed, and branch id %s is retired for ever. %s", c.VolumeName, c.ID, c.replacement())}, true
}

func leavingVolume(c Candidate) (Verdict, bool) {
	if c.Started || c.Volume == nil || !c.Volume.Leaving {
		return Verdict{}, false
	}
	return Verdict{Hold, VolumeTerminating, fmt.Sprintf("volume claim %s is being deleted: waiting until it is gone", c.VolumeName)}, true
}
