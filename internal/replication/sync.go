package replication

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// SyncContentType marks requests and answers in the sync queues.
	SyncContentType = "application/vnd.vesper.sync"

	syncVersion  = 1
	maxRanges    = 40000
	maxSyncBytes = 64 << 20
	maxCredits   = 256
)

// Range names changesets of one branch, From to To inclusive.
type Range struct {
	Branch   branch.ID
	From, To uint64
}

// Verdict is what a peer says of a range it was asked for. Nothing is never an
// empty success: each requested range comes back under one or more verdicts.
type Verdict uint64

const (
	// Have means that the range was sent in this answer.
	Have Verdict = iota + 1
	// More means that the peer has the range, and that the credits were used up.
	More
	// Unknown means that the peer does not have the range.
	Unknown
	// BelowFloor means that the range has left the peer's log: only a snapshot has it.
	BelowFloor
)

// String names the verdict as the documentation does.
func (v Verdict) String() string {
	switch v {
	case Have:
		return "have"
	case More:
		return "more"
	case Unknown:
		return "unknown"
	case BelowFloor:
		return "below-floor"
	}
	return fmt.Sprintf("verdict %d", uint64(v))
}

// Outcome is the verdict on a range.
type Outcome struct {
	Range
	Verdict Verdict
}

// Request asks one peer for ranges. Credits bounds the number of chunks sent
// in answer. Session names the process asked, so that a request which waited
// in a queue while its addressee was away is not answered for nothing.
type Request struct {
	ID      uint64
	From    branch.ID
	Session string
	Ranges  []Range
	Credits int
}

// Chunk is one numbered piece of an answer; numbers start at 1. The last one
// carries the outcomes. Body is a packed message of changesets, or empty.
type Chunk struct {
	ID       uint64
	From     branch.ID
	Number   int
	Last     bool
	Outcomes []Outcome
	Body     []byte
}

type rangeWire struct {
	_      struct{} `cbor:",toarray"`
	Branch string
	From   uint64
	To     uint64
	// Verdict is 0 in requests.
	Verdict uint64
}

// syncWire is a Request when Credits is not 0, else a Chunk.
type syncWire struct {
	Version uint64      `cbor:"0,keyasint"`
	ID      uint64      `cbor:"1,keyasint"`
	From    string      `cbor:"2,keyasint"`
	Session string      `cbor:"3,keyasint,omitempty"`
	Credits uint64      `cbor:"4,keyasint,omitempty"`
	Ranges  []rangeWire `cbor:"5,keyasint,omitempty"`
	Number  uint64      `cbor:"6,keyasint,omitempty"`
	Last    bool        `cbor:"7,keyasint,omitempty"`
	Hash    []byte      `cbor:"8,keyasint,omitempty"`
	Body    []byte      `cbor:"9,keyasint,omitempty"`
}

// EncodeRequest writes a request.
func EncodeRequest(r Request) ([]byte, error) {
	w := syncWire{Version: syncVersion, ID: r.ID, From: string(r.From), Session: r.Session, Credits: uint64(r.Credits)}
	for _, g := range r.Ranges {
		w.Ranges = append(w.Ranges, rangeWire{Branch: string(g.Branch), From: g.From, To: g.To})
	}
	return encodeWire("request", w)
}

// EncodeChunk writes a chunk with the hash of its body.
func EncodeChunk(c Chunk) ([]byte, error) {
	hash := sha256.Sum256(c.Body)
	w := syncWire{
		Version: syncVersion, ID: c.ID, From: string(c.From),
		Number: uint64(c.Number), Last: c.Last, Hash: hash[:], Body: c.Body,
	}
	for _, o := range c.Outcomes {
		w.Ranges = append(w.Ranges, rangeWire{Branch: string(o.Branch), From: o.From, To: o.To, Verdict: uint64(o.Verdict)})
	}
	return encodeWire("chunk", w)
}

// DecodeSync reads and checks a message of a sync queue: exactly one of the
// results is not nil when err is nil.
func DecodeSync(data []byte) (*Request, *Chunk, error) {
	var w syncWire
	if err := decodeWire("sync message", data, maxSyncBytes, &w); err != nil {
		return nil, nil, err
	}
	from, err := branch.ParseID(w.From)
	if err != nil {
		return nil, nil, fmt.Errorf("decoding sync message: %w", err)
	}
	outcomes, err := w.outcomes()
	if err != nil {
		return nil, nil, fmt.Errorf("decoding sync message from %s: %w", from, err)
	}
	if w.Credits == 0 {
		c, err := w.chunk(from, outcomes)
		return nil, c, err
	}
	r := &Request{ID: w.ID, From: from, Session: w.Session, Credits: int(min(w.Credits, maxCredits))}
	for _, o := range outcomes {
		r.Ranges = append(r.Ranges, o.Range)
	}
	return r, nil, nil
}

func (w syncWire) chunk(from branch.ID, outcomes []Outcome) (*Chunk, error) {
	if w.Number == 0 || w.Number > maxCredits+1 {
		return nil, fmt.Errorf("decoding chunk from %s: number %d is not within 1 to %d", from, w.Number, maxCredits+1)
	}
	if hash := sha256.Sum256(w.Body); !bytes.Equal(hash[:], w.Hash) {
		return nil, fmt.Errorf("decoding chunk %d from %s: the body of %d bytes does not have the hash sent with it", w.Number, from, len(w.Body))
	}
	return &Chunk{ID: w.ID, From: from, Number: int(w.Number), Last: w.Last, Outcomes: outcomes, Body: w.Body}, nil
}

func (w syncWire) outcomes() ([]Outcome, error) {
	if w.Version == 0 {
		return nil, errors.New("no version")
	}
	out := make([]Outcome, 0, len(w.Ranges))
	for _, g := range w.Ranges {
		id, err := branch.ParseID(g.Branch)
		if err != nil {
			return nil, err
		}
		if g.From == 0 || g.To < g.From {
			return nil, fmt.Errorf("range %d to %d of branch %s is empty", g.From, g.To, id)
		}
		out = append(out, Outcome{Range{id, g.From, g.To}, Verdict(g.Verdict)})
	}
	return out, nil
}
