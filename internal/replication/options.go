package replication

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vesperdb.io/vesper/internal/replication/snapshotfile"
)

// LinkConfig describes one link: a channel of a broker.
type LinkConfig struct {
	// Name is unique in the node and stable over restarts: the durable cursor
	// is kept under it.
	Name string
	// Channel is the topic's name: letters, digits, '_', '.' and '-'.
	Channel string
	// Hosts is what Status shows as the failover list.
	Hosts []string
	// Relay passes on the changesets of all branches, not only the own ones.
	Relay bool
	// Transport carries the link.
	Transport Transport
	// Wire is the form of changesets on the data topic. Default PackedWire.
	Wire Wire
	// MaxMessage says how large a message body the broker takes, in bytes, by what
	// the broker calls itself, "" while that is not known yet; 0 means that only
	// the changesets' own limits count, and so does nil.
	MaxMessage func(server string) int
}

// Options tune a Replicator. Zero fields are defaults.
type Options struct {
	// BeaconInterval is how often the node tells what it has, ± a fifth; it
	// grows with more than beaconCrowd peers. Default 10 s.
	BeaconInterval time.Duration
	// DiscoveryWindow is how long beacons are collected after subscribing
	// before the node judges what it lacks. Default 3 s.
	DiscoveryWindow time.Duration
	// StartPatience is how long after the start a store that was in use before
	// waits for a broker that cannot be reached before it takes writes without
	// having asked its peers. Default 10 s.
	StartPatience time.Duration
	// Grace is how long a gap must stand still before a peer is asked, once
	// caught up. Before, nothing is waited for. Default 2 s.
	Grace time.Duration
	// LagPatience is how long a gap may stand before a link that was caught up
	// counts as catching up again. Default 30 s.
	LagPatience time.Duration
	// RequestTimeout is how long a peer may take for each chunk. Default 10 s.
	RequestTimeout time.Duration
	// ConfirmTimeout is how long the broker may take to confirm a message
	// before it is sent again. Default 2 min.
	ConfirmTimeout time.Duration
	// Window is how many messages may be unconfirmed. Default 32.
	Window int
	// FlushBytes and FlushDelay bound how much and how long is packed into one
	// message while others are unconfirmed. Default 128 KiB and 3 ms.
	FlushBytes int
	FlushDelay time.Duration
	// ChunkBytes bounds the changesets in one chunk of an answer (one changeset
	// may be larger), Credits the chunks of an answer. Default 256 KiB and 16.
	ChunkBytes, Credits int
	// CursorInterval is how often at most the cursor is made durable: what a
	// crash makes us send again. Each time is a commit, which the writes of that
	// moment wait for. Default 1 s.
	CursorInterval time.Duration
	// BackoffMin and BackoffMax space out attempts after errors. Default
	// 100 ms and 10 s.
	BackoffMin, BackoffMax time.Duration
	// QuarantineSize is how many refused messages are kept as evidence. Default 64.
	QuarantineSize int
	// Logger gets what a human should know. Default slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics; nil means that nobody does.
	Registerer prometheus.Registerer
	// Seed makes jitter, the choice of peers and the names of processes and
	// requests repeatable; 0 means random. Two processes of one branch that start
	// in the same instant need different ones.
	Seed uint64
	// Policy is how the store chooses between concurrent values, told to the
	// peers; "" tells nothing.
	Policy string
	// SnapshotDir is where snapshots for peers and from them are kept while they
	// travel; "" neither gives nor takes any.
	SnapshotDir string
	// SnapshotDisk says how much room there is. The zero value asks the system.
	SnapshotDisk snapshotfile.Disk
	// SnapshotIdle is how long a snapshot is kept after a peer last asked for
	// it. Default 10 min.
	SnapshotIdle time.Duration
	// SnapshotLag is how many changesets an empty store must lack for a snapshot
	// to be fetched though peers have them all in their logs. Default 50 000.
	SnapshotLag int
	// Retention is how old a changeset must be to leave the log, once every
	// member has it; 0 keeps all for ever.
	Retention time.Duration
	// Members are all the nodes that must have a changeset before it may leave
	// the log. Nil, with links, means that nobody knows, and nothing leaves it.
	Members Members
}

func (o Options) withDefaults() Options {
	setDefault(&o.BeaconInterval, 10*time.Second)
	setDefault(&o.DiscoveryWindow, 3*time.Second)
	setDefault(&o.StartPatience, 10*time.Second)
	setDefault(&o.Grace, 2*time.Second)
	setDefault(&o.LagPatience, 30*time.Second)
	setDefault(&o.RequestTimeout, 10*time.Second)
	setDefault(&o.ConfirmTimeout, 2*time.Minute)
	setDefault(&o.Window, 32)
	setDefault(&o.FlushBytes, 128<<10)
	setDefault(&o.FlushDelay, 3*time.Millisecond)
	setDefault(&o.ChunkBytes, 256<<10)
	setDefault(&o.Credits, 16)
	setDefault(&o.CursorInterval, time.Second)
	setDefault(&o.BackoffMin, 100*time.Millisecond)
	setDefault(&o.BackoffMax, 10*time.Second)
	setDefault(&o.QuarantineSize, 64)
	setDefault(&o.Seed, rand.Uint64())
	setDefault(&o.SnapshotIdle, 10*time.Minute)
	setDefault(&o.SnapshotLag, 50_000)
	o.Credits = min(o.Credits, maxCredits)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// setDefault replaces a value that is not positive.
func setDefault[T int | uint64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

var channelPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func checkLinks(links []LinkConfig) error {
	seen := map[string]bool{}
	for _, l := range links {
		switch {
		case l.Name == "" || strings.HasPrefix(l.Name, "!"): // the store's names for marks
			return fmt.Errorf("link of channel %q: the name %q cannot be used", l.Channel, l.Name)
		case seen[l.Name]:
			return fmt.Errorf("two links are named %q: the durable cursor is kept by name", l.Name)
		case !channelPattern.MatchString(l.Channel):
			return fmt.Errorf("link %q: channel %q must be 1 to 64 letters, digits, '_', '.' or '-'", l.Name, l.Channel)
		case l.Transport == nil:
			return errors.New("link " + l.Name + " has no transport")
		case isOrdered(l) && len(links) > 1:
			return fmt.Errorf("link %s: a wire whose readers must know all that a changeset builds on cannot stand beside other links", l.Name)
		}
		seen[l.Name] = true
	}
	return nil
}
