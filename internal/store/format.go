package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// formatVersion is the version of the file's layout. A program refuses a file
// with a higher one.
const formatVersion = 3

// The buckets of the file. Numbers in keys are big-endian, so that they sort;
// texts in keys end with a NUL byte, which no stored text contains.
var (
	// bucketMeta: the names below.
	bucketMeta = []byte("meta")
	// bucketHeads: branch → head.
	bucketHeads = []byte("heads")
	// bucketBases: branch NUL sequence → revision of the branch's author after
	// that changeset; see bases.go.
	bucketBases = []byte("bases")
	// bucketLog: position → logEntry. Positions count from 1: the order of
	// application, which is the change feed.
	bucketLog = []byte("log")
	// bucketDots: branch NUL sequence → position.
	bucketDots = []byte("dots")
	// bucketPending: branch NUL sequence → hash, body.
	bucketPending = []byte("pending")
	// bucketObjects: root → record.
	bucketObjects = []byte("objects")
	// bucketHistory: root NUL position → nothing.
	bucketHistory = []byte("history")
	// bucketValues: predicate NUL type NUL text (see keyText) NUL root NUL
	// subject (empty for the root) → nothing; of visible statements.
	bucketValues = []byte("values")
	// bucketRefs: id NUL root → nothing; of visible references.
	bucketRefs = []byte("refs")
	// bucketConflicts: root → number of its properties in conflict.
	bucketConflicts = []byte("conflicts")
	// bucketCursors: link → sealed position (see floor.go).
	bucketCursors = []byte("cursors")
	// bucketConflictLog: number → what began or settled; see conflictfeed.go.
	bucketConflictLog = []byte("conflictlog")
	// bucketForks: branch → Fork, as JSON.
	bucketForks = []byte("forks")
	// bucketEvidence: number → length of an Evidence, it as JSON, the body.
	bucketEvidence = []byte("evidence")

	// bucketFloor: branch → sealed head of the last changeset that has left the
	// log; bucketPast: root → sealed record as of then; bucketClocks: branch NUL
	// sequence → sealed clocks. See floor.go.
	bucketFloor  = []byte("floor")
	bucketPast   = []byte("past")
	bucketClocks = []byte("clocks")

	// bucketTail: number → sealed record of changes of index entries; see tail.go.
	bucketTail = []byte("tail")

	// bucketOrdered: predicate NUL key of the value NUL root NUL subject (empty
	// for the root) → nothing; of declared properties, see declared.go.
	bucketOrdered = []byte("ordered")

	allBuckets = [][]byte{
		bucketMeta, bucketHeads, bucketBases, bucketLog, bucketDots, bucketPending, bucketObjects,
		bucketHistory, bucketValues, bucketRefs, bucketConflicts, bucketCursors,
		bucketConflictLog, bucketFloor, bucketPast, bucketClocks, bucketForks, bucketEvidence, bucketTail, bucketOrdered,
	}
)

// The keys of bucketMeta.
var (
	metaFormat       = []byte("format")       // uvarint
	metaBranch       = []byte("branch")       // text
	metaIncarnation  = []byte("incarnation")  // text
	metaBootstrapped = []byte("bootstrapped") // there once caught up
	metaOpen         = []byte("open")         // there while a process writes
	metaDigest       = []byte("digest")       // DigestBuckets numbers of 8 bytes
	metaCounts       = []byte("counts")       // uvarint objects, conflicts
	metaTrimmed      = []byte("trimmed")      // sealed position of the last changeset that has left the log
	metaLinkStart    = []byte("linkstart")    // sealed position from which a new link publishes; none: from the floor
	metaPolicy       = []byte("policy")       // text: the conflict policy of the indexes; none: latest
	metaVolume       = []byte("volume")       // text: the identity of the file on its volume
	metaCopied       = []byte("copied")       // there while the file is a copy that nobody accepted
	metaEvidence     = []byte("evidence")     // number of the last evidence
	metaOrdered      = []byte("ordered")      // sealed declaration, as JSON; none: no property is declared
	metaPolicyChange = []byte("policychange") // there while the indexes change: policy NUL last root done
)

func positionKey(pos uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), pos)
}

func dotKey(d branch.Dot) []byte {
	k := make([]byte, 0, len(d.Branch)+9)
	k = append(append(k, d.Branch...), 0)
	return binary.BigEndian.AppendUint64(k, d.Seq)
}

func parseDotKey(k []byte) (branch.Dot, error) {
	at := bytes.IndexByte(k, 0)
	if at < 0 || len(k) != at+9 {
		return branch.Dot{}, fmt.Errorf("key %x is not that of a dot", k)
	}
	return branch.Dot{Branch: branch.ID(k[:at]), Seq: binary.BigEndian.Uint64(k[at+1:])}, nil
}

func historyKey(root string, pos uint64) []byte {
	k := make([]byte, 0, len(root)+9)
	k = append(append(k, root...), 0)
	return binary.BigEndian.AppendUint64(k, pos)
}

func textKey(texts ...string) []byte {
	n := 0
	for _, t := range texts {
		n += len(t) + 1
	}
	k := make([]byte, 0, n)
	for _, t := range texts {
		k = append(append(k, t...), 0)
	}
	return k
}

// Texts longer than maxKeyText stand in keys as their beginning and their hash.
// The result is longer than maxKeyText itself, so it cannot be taken for a text.
const (
	maxKeyText    = 256
	keyTextPrefix = maxKeyText - 2*sha256.Size + 1
)

func keyText(text string) string {
	if len(text) <= maxKeyText {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return text[:keyTextPrefix] + hex.EncodeToString(sum[:])
}

// valueKey is the key of a visible statement in bucketValues.
func valueKey(root string, s statement.Statement) []byte {
	subject := s.Subject
	if subject == root {
		subject = ""
	}
	return textKey(s.Predicate, s.Type, keyText(s.Text), root, subject)
}

// subjectOf returns the root and subject at the end of a key of bucketValues,
// after as many texts as skip says.
func subjectOf(key []byte, skip int) (root, subject string, err error) {
	parts := strings.Split(string(key), "\x00")
	if len(parts) != skip+3 {
		return "", "", fmt.Errorf("index key %q has %d parts", key, len(parts))
	}
	if root, subject = parts[skip], parts[skip+1]; subject == "" {
		subject = root
	}
	return root, subject, nil
}

// head is the last applied changeset of a branch. Its clock is the one that
// counts; see effectiveClock.
type head struct {
	seq   uint64
	clock changeset.Clock
	hash  [32]byte
}

func (h head) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 48), h.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(h.clock))
	return append(b, h.hash[:]...)
}

func decodeHead(b []byte) (head, error) {
	if len(b) != 48 {
		return head{}, fmt.Errorf("a head has %d bytes, not 48", len(b))
	}
	return head{
		seq: binary.BigEndian.Uint64(b), clock: changeset.Clock(binary.BigEndian.Uint64(b[8:])), hash: [32]byte(b[16:]),
	}, nil
}

// logEntry is an applied changeset.
type logEntry struct {
	clock changeset.Clock
	changeset.Envelope
}

func (e logEntry) encode() []byte {
	b := make([]byte, 0, len(e.Body)+56)
	b = append(append(b, e.Dot.Branch...), 0)
	b = binary.BigEndian.AppendUint64(b, e.Dot.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.clock))
	b = append(b, e.Hash[:]...)
	return append(b, e.Body...)
}

// decodeLogEntry returns the entry; its body is part of b.
func decodeLogEntry(b []byte) (logEntry, error) {
	at := bytes.IndexByte(b, 0)
	if at < 0 || len(b) < at+49 {
		return logEntry{}, errors.New("a log entry is cut off")
	}
	rest := b[at+1:]
	return logEntry{
		clock: changeset.Clock(binary.BigEndian.Uint64(rest[8:])),
		Envelope: changeset.Envelope{
			Dot:  branch.Dot{Branch: branch.ID(b[:at]), Seq: binary.BigEndian.Uint64(rest)},
			Hash: [32]byte(rest[16:48]),
			Body: rest[48:len(rest):len(rest)],
		},
	}, nil
}

// logAt reads the entry at a position. Its body is only valid in the
// transaction.
func logAt(tx *bolt.Tx, pos uint64) (logEntry, error) {
	raw := tx.Bucket(bucketLog).Get(positionKey(pos))
	if raw == nil {
		return logEntry{}, &CorruptError{What: "the log", Err: fmt.Errorf("position %d is missing", pos)}
	}
	e, err := decodeLogEntry(raw)
	if err != nil {
		return e, &CorruptError{What: "the log", Err: fmt.Errorf("position %d: %w", pos, err)}
	}
	return e, nil
}

// positionOf returns the position of a dot, and whether it is applied.
func positionOf(tx *bolt.Tx, d branch.Dot) (uint64, bool) {
	raw := tx.Bucket(bucketDots).Get(dotKey(d))
	if len(raw) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(raw), true
}

// entryOf reads the log entry of a dot, and reports whether it is applied.
func entryOf(tx *bolt.Tx, d branch.Dot) (logEntry, bool, error) {
	pos, ok := positionOf(tx, d)
	if !ok {
		return logEntry{}, false, nil
	}
	e, err := logAt(tx, pos)
	return e, err == nil, err
}
