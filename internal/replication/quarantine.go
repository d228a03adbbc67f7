package replication

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

const (
	// maxCauses bounds how many causes are remembered as logged.
	maxCauses = 1024
	// logAgain is how long a cause that goes on is not logged again.
	logAgain = 10 * time.Minute
	// keepBurst and keepEach are how many pieces of evidence go to the disk at
	// once, and how often one more: a flood of garbage must not be one of writes.
	keepBurst = 32
	keepEach  = 250 * time.Millisecond
	// evidenceTimeout bounds how long a message waits for its evidence to be on disk.
	evidenceTimeout = 10 * time.Second
)

// Cause is the kind of fault for which something cannot be applied.
type Cause string

const (
	// CauseMalformed is what cannot be read, or contradicts itself.
	CauseMalformed Cause = "malformed"
	// CauseHash is a changeset whose body has another hash than it says.
	CauseHash Cause = "wrong-hash"
	// CauseOversized is what is larger than any node takes.
	CauseOversized Cause = "oversized"
	// CauseForeign is a message of another program, or of another channel.
	CauseForeign Cause = "foreign"
	// CauseUnknownBranch is of a branch that no node of this system can have.
	CauseUnknownBranch Cause = "unknown-branch"
	// CauseFork is a changeset under whose name the store holds another.
	CauseFork Cause = "fork"
	// CauseForked is a changeset of a branch that is known to be forked. It is
	// counted, and not kept.
	CauseForked Cause = "forked-branch"
	// CauseUnsendable is a changeset that a link can never carry.
	CauseUnsendable Cause = "unsendable"
	// CauseStuck is a changeset that the store fails to take for no fault of the disk.
	CauseStuck Cause = "stuck"
)

// foreignError says that a message is not one of this system's.
type foreignError struct{ got, want string }

// Error names the content types.
func (e *foreignError) Error() string {
	return fmt.Sprintf("content type %.100q is not %q", e.got, e.want)
}

// strangerError says that a branch cannot be one of this system's.
type strangerError struct{ id, own branch.ID }

// Error names both ids.
func (e *strangerError) Error() string {
	return fmt.Sprintf("branch %s cannot be of this system, whose ids have %d characters as %s has: another system uses this channel",
		e.id, e.own.Width(), e.own)
}

// causeOf says which kind of fault an error is.
func causeOf(err error) Cause {
	var (
		foreign   *foreignError
		stranger  *strangerError
		fork      *store.ForkError
		forked    *store.ForkedError
		limit     *changeset.LimitError
		hash      *changeset.HashError
		unsent    *UnsendableError
		malformed = CauseMalformed
	)
	for _, c := range []struct {
		target any
		cause  Cause
	}{
		{&foreign, CauseForeign},
		{&stranger, CauseUnknownBranch},
		{&fork, CauseFork},
		{&forked, CauseForked},
		{&unsent, CauseUnsendable},
		{&limit, CauseOversized},
		{&hash, CauseHash},
	} {
		if errors.As(err, c.target) {
			return c.cause
		}
	}
	return malformed
}

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
	// Cause is the kind of fault, Error says what is wrong.
	Cause Cause
	Error string
}

// quarantine keeps the latest evidence and logs each cause once, and now and
// then how often it came since.
type quarantine struct {
	log  *slog.Logger
	size int

	mu     sync.Mutex
	kept   []Evidence
	causes map[string]*recurrence
	// room is how many pieces may go to the disk now, as of counted.
	room    int
	counted time.Time
}

// recurrence is a cause that has been logged, and how often it came since then.
type recurrence struct {
	logged time.Time
	since  int
}

// add keeps the evidence of body, and logs it unless its cause was logged lately.
func (q *quarantine) add(e Evidence, body []byte) {
	hash := sha256.Sum256(body)
	e.Size, e.Hash = len(body), hex.EncodeToString(hash[:])
	since, tell := q.keep(e)
	if !tell {
		return
	}
	q.log.Error("Quarantined what cannot be applied; replication goes on without it (GET /v1/quarantine has it)",
		slog.String("cause", string(e.Cause)), slog.String("link", e.Link), slog.String("from", string(e.From)),
		slog.String("dot", dotText(e.Dot)), slog.Int("bytes", e.Size), slog.String("sha256", e.Hash),
		slog.String("error", e.Error), slog.Int("more", since))
}

// keep reports whether to log the evidence, and how often its cause came since
// it was last logged.
func (q *quarantine) keep(e Evidence) (since int, tell bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.kept) == q.size {
		q.kept = slices.Delete(q.kept, 0, 1)
	}
	q.kept = append(q.kept, e)
	if q.causes == nil || len(q.causes) >= maxCauses {
		q.causes = map[string]*recurrence{}
	}
	key := e.Link + "\x00" + string(e.From) + "\x00" + string(e.Cause)
	seen := q.causes[key]
	if seen == nil {
		q.causes[key] = &recurrence{logged: e.Time}
		return 0, true
	}
	if e.Time.Sub(seen.logged) < logAgain {
		seen.since++
		return 0, false
	}
	since = seen.since
	*seen = recurrence{logged: e.Time}
	return since, true
}

// durable reports whether a piece of evidence may go to the disk now.
func (q *quarantine) durable(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if gained := int(now.Sub(q.counted) / keepEach); gained > 0 || q.counted.IsZero() {
		q.room = min(q.room+max(gained, 0), keepBurst)
		if q.counted.IsZero() {
			q.room = keepBurst
		}
		q.counted = now
	}
	if q.room == 0 {
		return false
	}
	q.room--
	return true
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

// evidenceStore keeps evidence on disk.
type evidenceStore interface {
	AddEvidence(ctx context.Context, e store.Evidence, body []byte) (id uint64, news bool, err error)
}

// quarantined counts and keeps what cannot be applied. When it returns, the
// evidence is on disk, so that the message may be acknowledged. A disk that
// fails does not hold that up, and in a flood only some of it goes to the disk.
func (l *link) quarantined(e Evidence, body []byte) {
	e.Link = l.cfg.Name
	l.r.setAside(e, body)
}

// importLink stands for the links in what is kept of an import.
const importLink = "import"

// quarantineImported keeps a changeset that came by another way than a link.
func (r *Replicator) quarantineImported(rejection store.Rejection, body []byte) {
	r.setAside(Evidence{Link: importLink, Dot: rejection.Dot, Cause: causeOf(rejection.Err), Error: rejection.Err.Error()}, body)
	var fork *store.ForkError
	if errors.As(rejection.Err, &fork) && rejection.Dot.Branch == r.store.Branch() {
		r.forked(rejection.Dot)
	}
}

func (r *Replicator) setAside(e Evidence, body []byte) {
	e.Time = time.Now()
	if e.Cause == "" {
		e.Cause = CauseMalformed
	}
	r.metrics.quarantined.WithLabelValues(e.Link, string(e.Cause)).Inc()
	if e.Cause == CauseForked {
		return // the fork itself is on record
	}
	r.quarantine.add(e, body)
	s, ok := r.store.(evidenceStore)
	if !ok || !r.quarantine.durable(e.Time) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), evidenceTimeout)
	defer cancel()
	kept := store.Evidence{Link: e.Link, From: e.From, Dot: e.Dot, Cause: string(e.Cause), Error: e.Error}
	if _, _, err := s.AddEvidence(ctx, kept, body); err != nil {
		r.o.Logger.Warn("Could not keep evidence on disk", slog.String("cause", string(e.Cause)), slog.Any("error", err))
	}
}
