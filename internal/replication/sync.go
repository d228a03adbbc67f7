package replication

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// SyncContentType marks requests and answers in the sync queues.
	SyncContentType = "application/vnd.vesper.sync"

	syncVersion  = 1
	maxRanges    = 16000
	maxSyncBytes = 2 << 20
	maxCredits   = 256
	// maxChunks bounds the number of a chunk, and maxParts the pieces of one
	// body: of the largest container, many times over.
	maxChunks = 1 << 32
	maxParts  = 1 << 10
	// partBytes bounds the body of one message: a changeset that is larger
	// travels in parts, so that no message outgrows what a broker takes.
	partBytes = 512 << 10
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
	// Grant adds Credits to the answer to the request ID that is under way,
	// instead of asking for anything: chunks flow on without a pause.
	Grant bool
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
	// Part and Parts are not 0 when Body is only the Part-th of Parts pieces of
	// a packed message that is too large for one; pieces have consecutive numbers.
	Part, Parts int
}

// Sync is one message of a sync queue: exactly one of its fields is not nil.
type Sync struct {
	Request         *Request
	Chunk           *Chunk
	SnapshotRequest *SnapshotRequest
	SnapshotChunk   *SnapshotChunk
	DigestRequest   *DigestRequest
	DigestAnswer    *DigestAnswer
}

type rangeWire struct {
	_      struct{} `cbor:",toarray"`
	Branch string
	From   uint64
	To     uint64
	// Verdict is 0 in requests.
	Verdict uint64
}

// syncKind tells the messages apart that are neither requests for ranges nor
// chunks of changesets.
type syncKind uint64

const (
	kindRanges syncKind = iota
	kindSnapshotRequest
	kindSnapshotChunk
	kindDigestRequest
	kindDigestAnswer
)

// syncWire holds every kind. With kindRanges it is a Request when Credits is
// not 0, else a Chunk.
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
	Kind    syncKind    `cbor:"10,keyasint,omitempty"`
	Grant   bool        `cbor:"11,keyasint,omitempty"`
	Part    uint64      `cbor:"12,keyasint,omitempty"`
	Parts   uint64      `cbor:"13,keyasint,omitempty"`
	// Snapshot is the hash that names a snapshot, Size its bytes.
	Snapshot []byte `cbor:"14,keyasint,omitempty"`
	Size     uint64 `cbor:"15,keyasint,omitempty"`
	Revision string `cbor:"16,keyasint,omitempty"`
	Verdict  uint64 `cbor:"17,keyasint,omitempty"`
	// Bucket is one more than the bucket asked for; 0 asks for the buckets' sums.
	Bucket  uint64       `cbor:"18,keyasint,omitempty"`
	After   string       `cbor:"19,keyasint,omitempty"`
	Objects []objectWire `cbor:"20,keyasint,omitempty"`
}

// EncodeRequest writes a request.
func EncodeRequest(r Request) ([]byte, error) {
	w := syncWire{Version: syncVersion, ID: r.ID, From: string(r.From), Session: r.Session, Credits: uint64(r.Credits), Grant: r.Grant}
	for _, g := range r.Ranges {
		w.Ranges = append(w.Ranges, rangeWire{Branch: string(g.Branch), From: g.From, To: g.To})
	}
	return encodeWire("request", w)
}

// EncodeChunk writes a chunk with the hash of its body.
func EncodeChunk(c Chunk) ([]byte, error) {
	hash := sha256.Sum256(c.Body)
	w := syncWire{
		Version: syncVersion, ID: c.ID, From: string(c.From), Number: uint64(c.Number), Last: c.Last,
		Hash: hash[:], Body: c.Body, Part: uint64(c.Part), Parts: uint64(c.Parts),
	}
	for _, o := range c.Outcomes {
		w.Ranges = append(w.Ranges, rangeWire{Branch: string(o.Branch), From: o.From, To: o.To, Verdict: uint64(o.Verdict)})
	}
	return encodeWire("chunk", w)
}

// DecodeSync reads and checks a message of a sync queue.
func DecodeSync(data []byte) (Sync, error) {
	var w syncWire
	if err := decodeWire("sync message", data, maxSyncBytes, &w); err != nil {
		return Sync{}, err
	}
	from, err := branch.ParseID(w.From)
	if err != nil {
		return Sync{}, fmt.Errorf("decoding sync message: %w", err)
	}
	if w.Version == 0 {
		return Sync{}, fmt.Errorf("decoding sync message from %s: no version", from)
	}
	s, err := w.sync(from)
	if err != nil {
		return Sync{}, fmt.Errorf("decoding sync message from %s: %w", from, err)
	}
	return s, nil
}

func (w *syncWire) sync(from branch.ID) (s Sync, err error) {
	switch w.Kind {
	case kindRanges:
		return w.ranges(from)
	case kindSnapshotRequest:
		s.SnapshotRequest, err = w.snapshotRequest(from)
	case kindSnapshotChunk:
		s.SnapshotChunk, err = w.snapshotChunk(from)
	case kindDigestRequest:
		s.DigestRequest, err = w.digestRequest(from)
	case kindDigestAnswer:
		s.DigestAnswer, err = w.digestAnswer(from)
	default:
		err = fmt.Errorf("its kind is %d, which this release does not know", w.Kind)
	}
	return s, err
}

func (w *syncWire) ranges(from branch.ID) (s Sync, err error) {
	outcomes, err := w.outcomes()
	if err != nil {
		return s, err
	}
	if w.Credits == 0 {
		s.Chunk, err = w.chunk(from, outcomes)
		return s, err
	}
	s.Request = &Request{ID: w.ID, From: from, Session: w.Session, Credits: int(min(w.Credits, maxCredits)), Grant: w.Grant}
	for _, o := range outcomes {
		s.Request.Ranges = append(s.Request.Ranges, o.Range)
	}
	return s, nil
}

func (w *syncWire) chunk(from branch.ID, outcomes []Outcome) (*Chunk, error) {
	if w.Number == 0 || w.Number > maxChunks {
		return nil, fmt.Errorf("chunk number %d is not within 1 to %d", w.Number, uint64(maxChunks))
	}
	if w.Parts > maxParts || w.Part > w.Parts || w.Parts > 0 && w.Part == 0 {
		return nil, fmt.Errorf("chunk %d: part %d of %d, at most %d", w.Number, w.Part, w.Parts, maxParts)
	}
	if err := w.checkBody(); err != nil {
		return nil, err
	}
	return &Chunk{
		ID: w.ID, From: from, Number: int(w.Number), Last: w.Last, Outcomes: outcomes, Body: w.Body,
		Part: int(w.Part), Parts: int(w.Parts),
	}, nil
}

func (w *syncWire) checkBody() error {
	if hash := sha256.Sum256(w.Body); !bytes.Equal(hash[:], w.Hash) {
		return fmt.Errorf("chunk %d: the body of %d bytes does not have the hash sent with it", w.Number, len(w.Body))
	}
	return nil
}

func (w *syncWire) outcomes() ([]Outcome, error) {
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
