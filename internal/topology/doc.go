// Package topology is the planner: from what a cluster should be and all that
// exists of it, to the nodes that should exist, each with its branch id. It
// knows no Kubernetes client and no clock: the same State always gives the same
// Plan, and a Plan that was carried out gives one that asks for nothing.
//
// The rules that keep promise 2 (no two writers ever share a branch id):
//
//   - Ids are given out in strictly ascending order, above everything that was
//     ever recorded or is seen in use, and are never given out twice.
//   - An id is in Plan.Ledger, which the caller records first, before any node
//     that could use it is made.
//   - A node that exists may write only once the ledger says that its id has
//     started, so an id that was recorded and whose node never came to be is free.
//   - The ledger, the nodes and the volumes each carry the ids. What one or two
//     of them have lost is restored from the rest.
//   - An id whose node has once existed stands and falls with the node's volume:
//     without it, or with another or a copy in its place, the id is retired and
//     the replacement gets a fresh one. Only the last node that has data is left
//     to a person.
//   - A node that is not wanted any more first drains, and its id is retired when it
//     has: until then the decision can be taken back.
//   - A volume never changes its storage class: a node on another class than is
//     asked for has a successor with a fresh id, and leaves when that one is well.
//
// And those of how the groups hang together:
//
//   - All nodes of a group share one channel. The relays of a group that has a
//     parent join the parent's channel too: they are its oldest nodes.
//   - Every group is reached from every other, and no relay has two links to one
//     channel. A spec that says otherwise changes nothing that runs.
//   - All channels that changesets can come to from one another are one system:
//     no id may be used twice in it, whoever gives it out.
package topology

import (
	"fmt"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// Range is the ids from From to To, both included and of one width.
type Range struct{ From, To branch.ID }

// NewRange returns the range of ids of a width; an empty from or to means the
// lowest or highest id of that width.
func NewRange(width int, from, to branch.ID) Range {
	if from == "" {
		from = branch.First(width)
	}
	if to == "" {
		to = branch.Last(width)
	}
	return Range{From: from, To: to}
}

// Contains reports whether id is in the range.
func (r Range) Contains(id branch.ID) bool { return r.From <= id && id <= r.To }

// Meets reports whether some id is in both ranges. Ids of different widths
// cannot be used together at all: such ranges always meet.
func (r Range) Meets(s Range) bool {
	return r.From.Width() != s.From.Width() || r.From <= s.To && s.From <= r.To
}

// String writes the range for people: "0A to ZZ", or one id.
func (r Range) String() string {
	if r.From == r.To {
		return string(r.From)
	}
	return fmt.Sprintf("%s to %s", r.From, r.To)
}

// Ledger is the record of the ids of one cluster.
type Ledger struct {
	// Trunk is the lowest id of the system.
	Trunk branch.ID
	// First and Last are the lowest and the highest id that was ever given out or
	// seen in use.
	First, Last branch.ID
	// Retired counts the ids that were given out and are not in use any more.
	Retired int64
	// Assigned are the ids in use, ascending.
	Assigned []Assignment
}

// Assignment is one id in use. Started is true once its node or volume was seen;
// the node has no volume and no process before that is recorded.
// VolumeUID is that of the volume that holds its data, once there is one.
// Replaces is the id whose node leaves when this one is well; "" for none.
type Assignment struct {
	ID        branch.ID
	Group     string
	Started   bool
	VolumeUID string
	Replaces  branch.ID
}

// Identity orders objects by age, the same for every observer.
type Identity struct {
	// Kind and Name are for messages.
	Kind, Name string
	Created    time.Time
	UID        string
}

// Before reports whether i is older than j: by time of creation, then UID.
func (i Identity) Before(j Identity) bool {
	if !i.Created.Equal(j.Created) {
		return i.Created.Before(j.Created)
	}
	return i.UID < j.UID
}

// Neighbor is somebody else who writes: another cluster, or a node made by hand.
type Neighbor struct {
	Identity
	Party
	// Range is what it may give out; a node's own id alone. Given is what it ever
	// gave out, nothing when that is empty.
	Range, Given Range
	Trunk        branch.ID
	// Used are the ids it has given out, in its range or not.
	Used []branch.ID
}

// Group is a number of like nodes.
type Group struct {
	Name     string
	Replicas int
	// Remove are ids that must not be in the group: who has one leaves it.
	Remove []branch.ID
	// Channel is the one that the group's nodes share.
	Channel Channel
	// Parent is the group whose channel Relays of the nodes join too; "" for one
	// at the top. Relays 0 is the default.
	Parent string
	Relays int
	// Intermittent means that the group may be cut off for days. Suspended, that its
	// nodes are not meant to run.
	Intermittent, Suspended bool
}

// Cluster is what should be.
type Cluster struct {
	Identity
	Range  Range
	Trunk  branch.ID
	Groups []Group
}

// Node is a node of the cluster that exists. Leaving: it is being deleted.
// Drained: it takes no writes any more, and its peers have all that it has.
// Channels are those that it joins as it is now, VolumeUID its own record of the
// volume that holds its data. Draining: it is told to leave. Misplaced: its volume
// is of another storage class than is asked for; Blank: and it never had that volume,
// nor anything to hand over. Health is how it is.
type Node struct {
	Name      string
	ID        branch.ID
	Trunk     branch.ID
	Group     string
	VolumeUID string
	Channels  []Channel
	Links     []Link
	Leaving   bool
	Draining  bool
	Drained   bool
	Misplaced bool
	Blank     bool
	Health    Runner
}

// Volume is a volume claim of the cluster that exists. Retired: it is marked as
// one whose id must not write any more. Leaving: it is being deleted. Copied: it
// was made from another volume or from a snapshot of one.
type Volume struct {
	Name    string
	UID     string
	ID      branch.ID
	Trunk   branch.ID
	Group   string
	Retired bool
	Leaving bool
	Copied  bool
}

// State is all that a plan depends on.
type State struct {
	Cluster Cluster
	Ledger  Ledger
	Nodes   []Node
	Volumes []Volume
	// Spent are ids that are seen in use by nobody who is there any more.
	Spent []branch.ID
	// Rollout is how a change of the storage class goes through the nodes too: one at a
	// time, whatever its budget is.
	Rollout Rollout
	Surroundings
}

// Member is a node that should exist.
type Member struct {
	Name  string
	ID    branch.ID
	Trunk branch.ID
	Group string
	// Channel is that of its group, Links those that it joins beside it as a relay.
	Channel Channel
	Links   []Link
	// Parent and Intermittent are its group's.
	Parent       string
	Intermittent bool
	// New is true when the node does not exist yet; Moves, when it does and is to
	// join a channel that it is not on.
	New, Moves bool
	// Draining is true when the node should leave: it takes no more writes, and
	// stays until it has drained. Its id may be retired already.
	Draining bool
	// Succeeds names the node whose place this one is to take, "" for nobody's: until
	// that one leaves, it comes on top.
	Succeeds string
}

// Reason says why a plan holds something back.
type Reason string

const (
	// ChannelShared means that a neighbor's range meets the cluster's, and it was there first.
	ChannelShared Reason = "ChannelShared"
	// TrunkConflict means that something that exists has another trunk id.
	TrunkConflict Reason = "TrunkConflict"
	// Invalid means that the spec cannot be carried out.
	Invalid Reason = "SpecInvalid"
	// Exhausted means that the range has too few ids left.
	Exhausted Reason = "BranchIDsExhausted"
)

// Refusal says what is held back, why, and what a person can do.
type Refusal struct {
	Reason  Reason
	Message string
}

// Plan is what to do, in this order: record Ledger, mark the volumes of Retire,
// delete the nodes of Remove, make or correct the nodes of Members.
type Plan struct {
	Ledger Ledger
	// Members are the nodes that should exist and may be applied now, ascending by
	// id; those that drain before they go are among them.
	Members []Member
	// Remove names nodes that have drained and whose ids are retired, ascending.
	Remove []string
	// Retire names volumes whose ids are retired, ascending.
	Retire []string
	// Move is how far a change of the storage class is; zero for none.
	Move Move
	// Refusal is set when something is held back. What runs goes on.
	Refusal *Refusal
}

// NodeName is the name of the node with an id: unique for ever, as the id is.
func NodeName(cluster, group string, id branch.ID) string {
	return cluster + "-" + group + "-" + strings.ToLower(string(id))
}

// VolumeName is the name of the volume claim of a node.
func VolumeName(node string) string { return "data-" + node }
