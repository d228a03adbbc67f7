// Package nodestatus is what a Vesper node says of itself at GET /v1/status:
// one Go type, written by the node's server and read by the operator, so that
// the two cannot drift.
package nodestatus

import (
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// Reason says in one CamelCase word why a node is or is not ready. The operator
// copies it into the VesperNode's conditions.
type Reason string

const (
	// ReasonReady means: connected, subscribed and caught up.
	ReasonReady Reason = "Ready"
	// ReasonStandalone means: ready, and configured without a broker.
	ReasonStandalone Reason = "Standalone"
	// ReasonStarting means: the store is being opened.
	ReasonStarting Reason = "Starting"
	// ReasonBrokerUnreachable means: no host of the broker can be reached or refuses
	// the session; Message says which and why. Local writes go on.
	ReasonBrokerUnreachable Reason = "BrokerUnreachable"
	// ReasonSubscribing means: connected, and waiting for the receipt of a subscription.
	ReasonSubscribing Reason = "Subscribing"
	// ReasonCatchingUp means: subscribed, and changesets that a peer has are missing.
	ReasonCatchingUp Reason = "CatchingUp"
	// ReasonBranchAhead means: peers hold changesets of this node's own branch that
	// its store lacks (a lost or old volume). Writes are refused.
	ReasonBranchAhead Reason = "BranchAhead"
	// ReasonBranchInUse means: another live process writes under this node's branch
	// id, or has written. Writes are refused.
	ReasonBranchInUse Reason = "BranchInUse"
	// ReasonBranchForked means: two different changesets of this node's own branch
	// exist under one name: two nodes have written under its id. Writes are refused.
	ReasonBranchForked Reason = "BranchForked"
	// ReasonVolumeCopied means: the store's file is a copy, or was restored from a
	// backup, and may lack what the branch wrote since. Writes are refused.
	ReasonVolumeCopied Reason = "VolumeCopied"
	// ReasonPolicyMismatch means: a living peer of a link has another conflict
	// policy. That link stands still; local writes go on.
	ReasonPolicyMismatch Reason = "PolicyMismatch"
	// ReasonStorageFailed means: the store cannot write (a full or failing disk).
	ReasonStorageFailed Reason = "StorageFailed"
	// ReasonDraining means: asked to stop; writes are refused while the outbox empties.
	ReasonDraining Reason = "Draining"
)

// Status is the answer of GET /v1/status. Counters are since the start of the
// process unless they say otherwise; times are RFC 3339 in UTC.
type Status struct {
	// Version is the release of the program.
	Version string `json:"version"`
	// Branch is the node's own branch id, Trunk the lowest of the system.
	Branch branch.ID `json:"branch"`
	Trunk  branch.ID `json:"trunk"`
	// Incarnation is random, new at the store's first start.
	Incarnation string `json:"incarnation"`
	// Revision is what the store has applied, "0A00003,0B00002".
	Revision branch.Revision `json:"revision"`
	// Digest is the hash of the state in hexadecimal: equal revisions have
	// equal digests.
	Digest string `json:"digest"`
	// Objects counts the objects that a query can see.
	Objects int64 `json:"objects"`
	// Ready is true when the node is connected, subscribed and caught up (or
	// standalone); Reason and Message explain it either way.
	Ready   bool   `json:"ready"`
	Reason  Reason `json:"reason"`
	Message string `json:"message,omitempty"`
	// Writable is false when writes are refused; WritesRefused says why.
	Writable      bool   `json:"writable"`
	WritesRefused string `json:"writesRefused,omitempty"`
	// Draining is true when writes are refused until somebody undoes that, across
	// restarts too, and none is under way: Revision has all that the node ever wrote.
	Draining bool `json:"draining,omitempty"`
	// Started is when the process started.
	Started time.Time `json:"started"`

	Links   []Link  `json:"links,omitempty"`
	Outbox  Outbox  `json:"outbox"`
	Pending Pending `json:"pending"`
	Lag     Lag     `json:"lag"`
	Peers   []Peer  `json:"peers,omitempty"`
	// Divergence lists the peers that had this node's revision and another state,
	// and still have as far as is known. The node stays ready: see
	// docs/replication.md for what to do.
	Divergence []Divergence `json:"divergence,omitempty"`
	// Retention is absent while the whole log is kept for ever.
	Retention *Retention `json:"retention,omitempty"`
	// Forks lists the branches of which two contents of one name are known:
	// nothing more of them is applied until a human has decided.
	Forks []Fork `json:"forks,omitempty"`
	// Quarantine counts what came, cannot be applied, and is kept for a human.
	Quarantine int `json:"quarantine,omitempty"`
	// Conflicts counts the properties that hold concurrent values now.
	Conflicts int64   `json:"conflicts"`
	Storage   Storage `json:"storage"`
	// Indexes are the declared ones, in the order of their declaration.
	Indexes []Index `json:"indexes,omitempty"`
	// Access says of each token and TLS file that is not usable now what is wrong
	// with it. What was in force before stays so, and the node stays ready.
	Access []string `json:"access,omitempty"`
}

// Link is one connection to one channel of one broker.
type Link struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
	// Hosts is the failover list, Address the one connected to now.
	Hosts   []string `json:"hosts"`
	Address string   `json:"address,omitempty"`
	// Server is what the broker calls itself, "ActiveMQ/5.17.2".
	Server     string     `json:"server,omitempty"`
	Connected  bool       `json:"connected"`
	Subscribed bool       `json:"subscribed"`
	CaughtUp   bool       `json:"caughtUp"`
	Since      *time.Time `json:"since,omitempty"`
	LastError  string     `json:"lastError,omitempty"`
	Reconnects int64      `json:"reconnects"`
	// Early counts the messages of the original's form that came before what they
	// build on and are kept until it comes; Pending has what they wait for.
	Early int `json:"early,omitempty"`
}

// Index is an index that the node's configuration declares.
type Index struct {
	// Property is the full name of the property whose values are kept in order.
	Property string `json:"property"`
	// Built is true once queries use it. Until then they read all values.
	Built bool `json:"built"`
}

// Outbox is what this node wrote and the broker has not confirmed.
type Outbox struct {
	Changesets uint64  `json:"changesets"`
	OldestAge  float64 `json:"oldestAgeSeconds"`
}

// Pending is what was received and waits for a changeset that is missing, the
// early messages of all links included.
type Pending struct {
	Changesets int `json:"changesets"`
	// Missing lists the first dots waited for, at most 16.
	Missing []branch.Dot `json:"missing,omitempty"`
}

// Lag is how far the node is behind what its peers say they have.
type Lag struct {
	Changesets uint64  `json:"changesets"`
	Seconds    float64 `json:"seconds"`
}

// Peer is another node, as its last beacon described it.
type Peer struct {
	Branch      branch.ID       `json:"branch"`
	Incarnation string          `json:"incarnation"`
	Revision    branch.Revision `json:"revision"`
	LastSeen    time.Time       `json:"lastSeen"`
	// Diverged is true when the peer reported this node's revision with another digest.
	Diverged bool `json:"diverged,omitempty"`
}

// Fork says that two changesets of one name exist.
type Fork struct {
	Branch branch.ID `json:"branch"`
	// Dot is the first name known to stand for two changesets.
	Dot  branch.Dot `json:"dot"`
	Seen time.Time  `json:"seen"`
	// Told is the peer that told of it; empty when the other changeset came here.
	Told branch.ID `json:"told,omitempty"`
}

// Divergence says that a peer holds another state at the same revision.
type Divergence struct {
	Peer     branch.ID       `json:"peer"`
	Revision branch.Revision `json:"revision"`
	Since    time.Time       `json:"since"`
	// Objects are the ids of the objects that differ, at most 16; empty until
	// the two nodes have compared them.
	Objects []string `json:"objects,omitempty"`
}

// Retention is what may leave the log, and what holds it back.
type Retention struct {
	// Floor is what has left the log: for each branch the last sequence.
	Floor branch.Revision `json:"floor"`
	// LowWater is what every member is known to have; absent while one has not
	// been heard since the node started (NeverHeard, at most 16), and then nothing
	// leaves the log.
	LowWater   branch.Revision `json:"lowWater,omitempty"`
	NeverHeard []branch.ID     `json:"neverHeard,omitempty"`
	// HeldBackBy is the member that lacks most, HeldBack how many changesets that
	// are, HeldBackSince since when it has lacked some without a pause.
	HeldBackBy    branch.ID  `json:"heldBackBy,omitempty"`
	HeldBack      uint64     `json:"heldBack,omitempty"`
	HeldBackSince *time.Time `json:"heldBackSince,omitempty"`
	// Error says why the log cannot be trimmed.
	Error string `json:"error,omitempty"`
}

// Storage is the size of the store's file, of what is left on its volume, and of the
// volume, in bytes. Volume is 0 from nodes that do not tell it.
type Storage struct {
	Bytes  int64 `json:"bytes"`
	Free   int64 `json:"free"`
	Volume int64 `json:"volume,omitempty"`
}

// UsedPercent is how much of the volume is used, by whomever, from 0 to 100; false
// when that is not known.
func (s Storage) UsedPercent() (percent float64, known bool) {
	if s.Volume <= 0 {
		return 0, false
	}
	return min(max(100-float64(s.Free)/float64(s.Volume)*100, 0), 100), true
}
