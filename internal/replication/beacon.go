package replication

import (
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// BeaconContentType marks beacons.
	BeaconContentType = "application/vnd.vesper.beacon"

	beaconVersion    = 1
	maxBeaconBytes   = 256 << 10
	maxBeaconText    = 128
	maxRevisionText  = 128 << 10
	maxBeaconMissing = 16
	maxBeaconForks   = 16
	maxBeaconEvery   = time.Hour
)

// Beacon is what a node tells all others of itself every few seconds.
type Beacon struct {
	Branch branch.ID
	// Incarnation is the store's, Session the process's: two live sessions of
	// one branch are two writers with one id.
	Incarnation, Session string
	// Count numbers the beacons of a session from 1.
	Count uint64
	// Hello asks peers to answer soon with a beacon of their own.
	Hello bool
	// Every is how often this node sends beacons.
	Every time.Duration
	// Revision is what the node has applied, Digest the hash of its state at
	// exactly that revision; "" does not tell.
	Revision branch.Revision
	Digest   string
	// Pending counts changesets received that wait for Missing (the first few).
	Pending uint64
	Missing []branch.Dot
	// Beyond is the highest sequence of each branch that the node knows to have
	// been issued and has not applied, where there is one. The author, if it is
	// an old backup, may know less.
	Beyond branch.Revision
	// Floor is what has left the log: peers below it need a snapshot.
	Floor branch.Revision
	// Await is the sequence of Branch that a writer waits for: who has it says so
	// soon. 0 awaits nothing.
	Await uint64
	// Policy is how the node chooses between concurrent values; "" does not tell.
	Policy string
	// Forks names the branches known to be forked, by the first dot that has two
	// contents (the first few).
	Forks []branch.Dot
	// Load is how many nodes the sender has been giving a snapshot lately.
	Load uint64
	// Since, when not 0, makes the beacon brief: Revision holds only what has
	// changed since the beacon of this session with that Count, and Floor is
	// that one's.
	Since uint64
}

// beaconWire is the form on the wire: a CBOR map with small integer keys, to
// which later versions add keys that this one ignores.
type beaconWire struct {
	Version     uint64   `cbor:"0,keyasint"`
	Branch      string   `cbor:"1,keyasint"`
	Incarnation string   `cbor:"2,keyasint"`
	Session     string   `cbor:"3,keyasint"`
	Count       uint64   `cbor:"4,keyasint"`
	Hello       bool     `cbor:"5,keyasint,omitempty"`
	EveryMillis uint64   `cbor:"6,keyasint"`
	Revision    string   `cbor:"7,keyasint"`
	Digest      string   `cbor:"8,keyasint,omitempty"`
	Pending     uint64   `cbor:"9,keyasint,omitempty"`
	Missing     []string `cbor:"10,keyasint,omitempty"`
	Floor       string   `cbor:"11,keyasint,omitempty"`
	Await       uint64   `cbor:"12,keyasint,omitempty"`
	Policy      string   `cbor:"13,keyasint,omitempty"`
	Forks       []string `cbor:"14,keyasint,omitempty"`
	Load        uint64   `cbor:"15,keyasint,omitempty"`
	Since       uint64   `cbor:"16,keyasint,omitempty"`
	Beyond      string   `cbor:"17,keyasint,omitempty"`
}

// EncodeBeacon writes a beacon.
func EncodeBeacon(b Beacon) ([]byte, error) {
	w := beaconWire{
		Version: beaconVersion, Branch: string(b.Branch), Incarnation: b.Incarnation, Session: b.Session,
		Count: b.Count, Hello: b.Hello, EveryMillis: uint64(b.Every.Milliseconds()),
		Revision: b.Revision.String(), Digest: b.Digest, Pending: b.Pending,
		Missing: dotTexts(b.Missing, maxBeaconMissing), Await: b.Await, Policy: b.Policy,
		Forks: dotTexts(b.Forks, maxBeaconForks), Load: b.Load, Since: b.Since,
	}
	if len(b.Floor) > 0 {
		w.Floor = b.Floor.String()
	}
	if len(b.Beyond) > 0 {
		w.Beyond = b.Beyond.String()
	}
	return encodeWire("beacon", w)
}

// dotTexts writes the first few dots.
func dotTexts(dots []branch.Dot, most int) (out []string) {
	for _, d := range dots[:min(len(dots), most)] {
		out = append(out, d.String())
	}
	return out
}

func parseDots(texts []string) (out []branch.Dot, err error) {
	for _, s := range texts {
		d, err := branch.ParseDot(s)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// DecodeBeacon reads and checks a beacon. Versions later than this one are
// read as far as this one goes.
func DecodeBeacon(data []byte) (Beacon, error) {
	var w beaconWire
	if err := decodeWire("beacon", data, maxBeaconBytes, &w); err != nil {
		return Beacon{}, err
	}
	b, err := w.beacon()
	if err != nil {
		return Beacon{}, fmt.Errorf("decoding beacon: %w", err)
	}
	return b, nil
}

func (w beaconWire) beacon() (b Beacon, err error) {
	if err := w.check(); err != nil {
		return Beacon{}, err
	}
	b = Beacon{
		Incarnation: w.Incarnation, Session: w.Session, Count: w.Count, Hello: w.Hello,
		Every:  min(time.Duration(min(w.EveryMillis, 1<<32))*time.Millisecond, maxBeaconEvery),
		Digest: w.Digest, Pending: w.Pending, Await: w.Await, Policy: w.Policy, Load: w.Load, Since: w.Since,
	}
	if b.Branch, err = branch.ParseID(w.Branch); err != nil {
		return Beacon{}, err
	}
	if b.Revision, err = branch.ParseRevision(w.Revision); err != nil {
		return Beacon{}, err
	}
	if b.Floor, err = branch.ParseRevision(w.Floor); err != nil {
		return Beacon{}, err
	}
	if b.Beyond, err = branch.ParseRevision(w.Beyond); err != nil {
		return Beacon{}, err
	}
	if b.Missing, err = parseDots(w.Missing); err != nil {
		return Beacon{}, err
	}
	if b.Forks, err = parseDots(w.Forks); err != nil {
		return Beacon{}, err
	}
	return b, nil
}

func (w beaconWire) check() error {
	switch {
	case w.Version == 0:
		return fmt.Errorf("no version")
	case w.Session == "" || w.Count == 0:
		return fmt.Errorf("no session or count")
	case len(w.Incarnation) > maxBeaconText, len(w.Session) > maxBeaconText, len(w.Digest) > maxBeaconText, len(w.Policy) > maxBeaconText:
		return fmt.Errorf("incarnation, session, digest or policy is longer than %d bytes", maxBeaconText)
	case len(w.Missing) > maxBeaconMissing:
		return fmt.Errorf("%d missing dots, the limit is %d", len(w.Missing), maxBeaconMissing)
	case len(w.Forks) > maxBeaconForks:
		return fmt.Errorf("%d forked dots, the limit is %d", len(w.Forks), maxBeaconForks)
	case w.Since >= w.Count:
		return fmt.Errorf("beacon %d builds on beacon %d, which does not come before it", w.Count, w.Since)
	case len(w.Revision) > maxRevisionText, len(w.Floor) > maxRevisionText, len(w.Beyond) > maxRevisionText:
		return fmt.Errorf("a revision is longer than %d bytes", maxRevisionText)
	}
	return nil
}
