package replication

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// newSession names a process. The seed makes it random, or repeatable; the time
// tells two processes of one branch with the same seed apart.
func newSession(seed uint64, id branch.ID, now time.Time) string {
	text := binary.BigEndian.AppendUint64([]byte(id), seed)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(text, uint64(now.UnixNano())))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:]), 36)
}

// digestText remembers the text of the last digest: hashing it again for every
// beacon sent and heard would be most of what an idle node does.
type digestText struct {
	mu     sync.Mutex
	digest store.Digest
	hex    string
}

func (t *digestText) text(d store.Digest) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hex == "" || t.digest != d {
		t.digest, t.hex = d, d.String()
	}
	return t.hex
}
