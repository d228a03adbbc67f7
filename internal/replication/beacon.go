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
	// Floor is what has left the log: peers below it need a snapshot.
	Floor branch.Revision
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
}

// EncodeBeacon writes a beacon.
func EncodeBeacon(b Beacon) ([]byte, error) {
	w := beaconWire{
		Version: beaconVersion, Branch: string(b.Branch), Incarnation: b.Incarnation, Session: b.Session,
		Count: b.Count, Hello: b.Hello, EveryMillis: uint64(b.Every.Milliseconds()),
		Revision: b.Revision.String(), Digest: b.Digest, Pending: b.Pending, Floor: b.Floor.String(),
	}
	for i, d := range b.Missing {
		if i == maxBeaconMissing {
			break
		}
		w.Missing = append(w.Missing, d.String())
	}
	return encodeWire("beacon", w)
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
		Digest: w.Digest, Pending: w.Pending,
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
	for _, s := range w.Missing {
		d, err := branch.ParseDot(s)
		if err != nil {
			return Beacon{}, err
		}
		b.Missing = append(b.Missing, d)
	}
	return b, nil
}

func (w beaconWire) check() error {
	switch {
	case w.Version == 0:
		return fmt.Errorf("no version")
	case w.Session == "" || w.Count == 0:
		return fmt.Errorf("no session or count")
	case len(w.Incarnation) > maxBeaconText, len(w.Session) > maxBeaconText, len(w.Digest) > maxBeaconText:
		return fmt.Errorf("incarnation, session or digest is longer than %d bytes", maxBeaconText)
	case len(w.Missing) > maxBeaconMissing:
		return fmt.Errorf("%d missing dots, the limit is %d", len(w.Missing), maxBeaconMissing)
	case len(w.Revision) > maxRevisionText, len(w.Floor) > maxRevisionText:
		return fmt.Errorf("a revision is longer than %d bytes", maxRevisionText)
	}
	return nil
}
