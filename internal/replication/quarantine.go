package replication

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// maxCauses bounds how many causes are remembered as logged.
const maxCauses = 1024

// Evidence is what is kept of a message or changeset that cannot be applied.
type Evidence struct {
	Time time.Time
	Link string
	// From is the publisher the message named, Dot the changeset; both may be empty.
	From branch.ID
	Dot  branch.Dot
	// Size and Hash (SHA-256, hexadecimal) are those of the bytes refused.
	Size int
	Hash string
	// Error says why.
	Error string
}

// quarantine keeps the latest evidence and logs each cause once.
type quarantine struct {
	log  *slog.Logger
	size int

	mu     sync.Mutex
	kept   []Evidence
	causes map[string]bool
}

// add keeps the evidence of body and reports whether its cause is new.
func (q *quarantine) add(e Evidence, body []byte) {
	hash := sha256.Sum256(body)
	e.Size, e.Hash = len(body), hex.EncodeToString(hash[:])
	if !q.keep(e) {
		return
	}
	q.log.Error("Quarantined a message that cannot be applied; replication goes on without it",
		slog.String("link", e.Link), slog.String("from", string(e.From)), slog.String("dot", dotText(e.Dot)),
		slog.Int("bytes", e.Size), slog.String("sha256", e.Hash), slog.String("error", e.Error))
}

func (q *quarantine) keep(e Evidence) (news bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.kept) == q.size {
		q.kept = slices.Delete(q.kept, 0, 1)
	}
	q.kept = append(q.kept, e)
	cause := e.Link + "\x00" + string(e.From) + "\x00" + e.Hash
	if q.causes == nil || len(q.causes) >= maxCauses {
		q.causes = map[string]bool{}
	}
	news = !q.causes[cause]
	q.causes[cause] = true
	return news
}

// list returns what is kept, oldest first.
func (q *quarantine) list() []Evidence {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.kept)
}

func dotText(d branch.Dot) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}
