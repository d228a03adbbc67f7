// Package nodeconfig is the configuration file of a Vesper node: one Go type,
// written by the operator (Render) and read by the node (Load), so that the two
// cannot drift. It is YAML and keeps Vesper's own names where Vesper has them.
// It never holds a secret: credentials are names of files, read at each connect.
package nodeconfig

import (
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// Flavor says how to speak to a broker.
type Flavor string

// The flavors. Auto recognizes the broker by the server header of its CONNECTED frame.
const (
	FlavorAuto     Flavor = "auto"
	FlavorActiveMQ Flavor = "activemq"
	FlavorArtemis  Flavor = "artemis"
	FlavorRabbitMQ Flavor = "rabbitmq"
	FlavorCoilMQ   Flavor = "coilmq"
	FlavorMorbidQ  Flavor = "morbidq"
	FlavorGeneric  Flavor = "generic"
)

// Wire is the form of changesets on a channel; all its nodes use the same.
type Wire string

// The wires. WireVesper is that of channels which original nodes share.
const (
	WirePacked Wire = "packed"
	WireVesper Wire = "vesper"
)

// ConflictPolicy says which of several values written at the same time is read.
type ConflictPolicy string

// The policies. ConflictKeepBoth reads all values.
const (
	ConflictLatest   ConflictPolicy = "latest"
	ConflictEarliest ConflictPolicy = "earliest"
	ConflictKeepBoth ConflictPolicy = "keepBoth"
)

// VolumeIdentity says how a store notices that its file was copied.
type VolumeIdentity string

// The identities. VolumeInode goes by the file's inode, VolumeNone by nothing.
const (
	VolumeInode VolumeIdentity = "inode"
	VolumeNone  VolumeIdentity = "none"
)

// Retention is how long changesets stay in the log at least.
type Retention time.Duration

// Forever keeps every changeset.
const Forever Retention = 0

const forever = "forever"

// String returns forever or the duration.
func (r Retention) String() string {
	if r == Forever {
		return forever
	}
	return time.Duration(r).String()
}

// Config is what one node needs to know. Load returns it checked; a Config made
// in a program starts from Default and is checked with Validate.
type Config struct {
	// BranchID (branchId) is the node's own id, unique for ever. Required.
	BranchID branch.ID
	// TrunkID (trunkId) is the lowest id of the system, of the same width.
	// Load fills in the first id of BranchID's width.
	TrunkID branch.ID
	// SaveHistory (saveHistory) must be true: a node always keeps its history.
	SaveHistory bool
	// StoragePath (storage_path) is the directory of the store. Required.
	StoragePath string
	// Listen (listen) is the address of the HTTP API, "[host]:port". Port 0
	// takes a free one.
	Listen string
	// ReplicationHosts (replication_hosts) are the broker's addresses
	// "host:port", tried in turn. Empty: the node stands alone.
	ReplicationHosts []string
	// ReplicationChannel (replication_channel) is the name of the topic all
	// nodes of the system share. Required with ReplicationHosts.
	ReplicationChannel string
	// SendSTOMPAck (send_stomp_ack) is false for brokers that know no ACK.
	SendSTOMPAck bool
	// Wire (wire) is the form of changesets on the channel.
	Wire Wire
	// ModelURI (model_uri) is part of every message on a channel of wire vesper;
	// its nodes should share one.
	ModelURI string
	// Broker (broker) says how to speak to the broker.
	Broker Broker
	// Links (links) are the node's links when it has several, in place of
	// ReplicationHosts, ReplicationChannel, SendSTOMPAck, Wire and Broker.
	// AllLinks gives them whichever way they were written.
	Links []Link
	// ConflictPolicy (conflictPolicy) says which of several values written at the
	// same time is read; the same on all nodes of the system.
	ConflictPolicy ConflictPolicy
	// Retention (retention) is how long changesets stay in the log when every
	// member has them.
	Retention Retention
	// MembersFile (membersFile) names a file with the branch ids of all members,
	// one a line, read again every minute. Without it nothing leaves the log.
	MembersFile string
	// VolumeIdentity (volumeIdentity) says how the store notices that its file
	// was copied or restored.
	VolumeIdentity VolumeIdentity
	// Compaction (compaction) says when the store's file is rewritten.
	Compaction Compaction
	// Indexes (indexes) are the properties whose values are kept in order. They
	// are the node's own affair: nodes of one system may have different ones.
	Indexes []Index
	// Beacon (beacon) paces what a node says of itself to its peers.
	Beacon Beacon
	// Limits (limits) bound what one request may ask for.
	Limits Limits
	// Access (access) says who may do what.
	Access Access
	// TLS (tls) is nil for plain HTTP.
	TLS *ServerTLS
	// Audit (audit) says where it is kept who wrote what.
	Audit Audit
	// ShutdownGrace (shutdownGrace) is how long a stopping node tries to publish
	// what is left in its outbox and to finish requests.
	ShutdownGrace time.Duration
	// Log (log) says what is logged and how.
	Log Log
}

// Broker is how to speak to the broker.
type Broker struct {
	// Flavor (broker.flavor) is auto or the kind of broker.
	Flavor Flavor
	// UsernameFile and PasswordFile (broker.usernameFile, broker.passwordFile)
	// name the files that hold the credentials; both or none.
	UsernameFile string
	PasswordFile string
	// HeartBeat (broker.heartBeat) is the interval asked for; 0 turns it off.
	HeartBeat time.Duration
	// MaxMessage (broker.maxMessage) is the largest message body that the broker
	// takes, in bytes; 0: what its flavor takes by default.
	MaxMessage int64
	// VirtualHost (broker.virtualHost) is that of a broker that has several; "":
	// the one that its flavor usually has.
	VirtualHost string
	// TLS (broker.tls) is nil for a plain connection.
	TLS *TLS
}

// Link is one channel of one broker.
type Link struct {
	// Name (name) is unique in the node and stays: the store keeps under it what
	// was published.
	Name string
	// Hosts, Channel, SendSTOMPAck and Wire (hosts, channel, send_stomp_ack,
	// wire) are what the keys of a node with one link say.
	Hosts        []string
	Channel      string
	SendSTOMPAck bool
	Wire         Wire
	// Relay (relay) passes on to this link what comes over the others.
	Relay bool
	// Broker holds flavor, usernameFile, passwordFile, heartBeat, maxMessage, virtualHost
	// and tls.
	Broker Broker
}

// Compaction says when the store's file is rewritten without its free pages.
type Compaction struct {
	// Threshold (compaction.threshold) is the part of the file that must be free,
	// above 0 and below 1; 0 turns compaction off.
	Threshold float64
	// MinFree (compaction.minFree) is how much must be free at least, in bytes.
	MinFree int64
	// Rate (compaction.rate) bounds the bytes copied a second.
	Rate int64
}

// TLS turns on TLS to the broker, even when all its fields are empty.
type TLS struct {
	// CAFile (broker.tls.caFile) holds the PEM certificates to trust; empty: the system's.
	CAFile string
	// CertFile and KeyFile (broker.tls.certFile, broker.tls.keyFile) are the
	// node's own certificate and key in PEM; both or none.
	CertFile string
	KeyFile  string
	// ServerName (broker.tls.serverName) is the name to verify; empty: the host's.
	ServerName string
}

// Beacon paces beacons.
type Beacon struct {
	// Interval (beacon.interval) is the time between two beacons, before jitter.
	Interval time.Duration
	// Window (beacon.window) is how long a node that has just subscribed listens
	// for its peers before it takes itself for caught up, and its branch id for
	// unused. See MinBeaconWindow.
	Window time.Duration
}

// Limits bound what one request may ask for.
type Limits struct {
	// RequestBytes (limits.requestBytes) is the longest request body. The file
	// may say 16Mi for 16777216.
	RequestBytes int64
	// QueryRows (limits.queryRows) is the most rows a query may return.
	QueryRows int64
	// QueryTime (limits.queryTime) is how long a query may run.
	QueryTime time.Duration
	// Connections (limits.connections) is how many clients may be connected.
	Connections int64
}

// Log says what is logged and how.
type Log struct {
	// Level (log.level) is debug, info, warn or error.
	Level string
	// Format (log.format) is json or text.
	Format string
}

// DefaultHTTPPort is the port of the HTTP API unless listen says otherwise.
const DefaultHTTPPort = 8000

// MainLink is the name of the only link of a node that has no list of links.
const MainLink = "main"

// Default returns the configuration of a file that says nothing. It lacks what
// has no default: BranchID, TrunkID and StoragePath.
func Default() Config {
	return Config{
		SaveHistory:  true,
		Listen:       ":8000",
		SendSTOMPAck: true,
		Wire:         WirePacked,
		ModelURI:     DefaultModelURI,
		Broker:       defaultBroker(),

		ConflictPolicy: ConflictLatest,
		VolumeIdentity: VolumeInode,
		Compaction:     Compaction{Threshold: 0.5, MinFree: 64 << 20, Rate: 16 << 20},

		Beacon: Beacon{Interval: 10 * time.Second, Window: 3 * time.Second},
		Limits: Limits{
			RequestBytes: 16 << 20,
			QueryRows:    100_000,
			QueryTime:    30 * time.Second,
			Connections:  1024,
		},
		Audit:         Audit{MaxBytes: 64 << 20, Keep: 4},
		ShutdownGrace: 20 * time.Second,
		Log:           Log{Level: "info", Format: "json"},
	}
}

func defaultBroker() Broker { return Broker{Flavor: FlavorAuto, HeartBeat: 10 * time.Second} }

// DefaultLink returns an item of links that says nothing. It lacks what has no
// default: Name, Hosts and Channel.
func DefaultLink() Link {
	return Link{SendSTOMPAck: true, Wire: WirePacked, Relay: true, Broker: defaultBroker()}
}

// Replicates reports whether the node has a broker.
func (c Config) Replicates() bool { return len(c.ReplicationHosts) > 0 || len(c.Links) > 0 }

// AllLinks returns the node's links: those of its list, or the one that the keys
// at the top describe, which passes nothing on; none for a node that stands alone.
func (c Config) AllLinks() []Link {
	if len(c.Links) > 0 || !c.Replicates() {
		return c.Links
	}
	return []Link{{
		Name: MainLink, Hosts: c.ReplicationHosts, Channel: c.ReplicationChannel,
		SendSTOMPAck: c.SendSTOMPAck, Wire: c.Wire, Broker: c.Broker,
	}}
}
