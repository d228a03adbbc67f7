package replication

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// asking is the one request under way.
type asking struct {
	id       uint64
	peer     branch.ID
	session  string
	ranges   []Range
	deadline time.Time
	// chunk is the number of the last chunk, gained counts what was new in all.
	chunk, gained int
	// credits is how many chunks the peer may still send.
	credits int
	// parts are those that came of a body that travels in several, in order; part
	// is the number of the last.
	parts []byte
	part  int
}

// belongs reports whether a chunk is one of the answer waited for, and not late.
func (a *asking) belongs(c *Chunk) bool {
	return a != nil && c.ID == a.id && c.From == a.peer && c.Number > a.chunk
}

// open takes the changesets out of a chunk. A body in parts is opened with its
// last; one of which a part was lost is dropped, and so asked for again.
func (a *asking) open(c *Chunk) ([]changeset.Envelope, error) {
	lost := c.Number != a.chunk+1
	a.chunk = c.Number
	if c.Part == 0 {
		a.parts, a.part, a.credits = nil, 0, a.credits-1
		return unpackChunk(c.Body)
	}
	if c.Part == c.Parts {
		a.credits--
	}
	if c.Part == 1 {
		a.parts, a.part = nil, 0
	} else if lost || c.Part != a.part+1 {
		a.parts, a.part = nil, 0
		return nil, nil
	}
	if limit := changeset.DefaultLimits().MessageBytes; len(a.parts)+len(c.Body) > limit {
		return nil, fmt.Errorf("a body in %d parts is larger than %d bytes", c.Parts, limit)
	}
	a.parts, a.part = append(a.parts, c.Body...), c.Part
	if c.Part < c.Parts {
		return nil, nil
	}
	whole := a.parts
	a.parts, a.part = nil, 0
	return unpackChunk(whole)
}

func unpackChunk(body []byte) ([]changeset.Envelope, error) {
	if len(body) == 0 {
		return nil, nil
	}
	return changeset.Unpack(body, changeset.DefaultLimits())
}

// take applies a chunk of the answer waited for, together with those behind it
// in the queue; others are late and dropped.
func (r *repairer) take(ctx context.Context, c *Chunk) {
	var envelopes []changeset.Envelope
	var last *Chunk
	var malformed error
	for size := 0; c != nil && last == nil && malformed == nil; c = r.queued(size) {
		if !r.asked.belongs(c) {
			continue
		}
		size += len(c.Body)
		var list []changeset.Envelope
		if list, malformed = r.asked.open(c); malformed != nil {
			r.l.quarantined(Evidence{From: c.From, Cause: causeOf(malformed), Error: malformed.Error()}, c.Body)
		}
		envelopes = append(envelopes, list...)
		if c.Last {
			last = c
		}
	}
	if r.asked == nil {
		return
	}
	if last == nil && malformed == nil {
		r.grant(ctx)
	}
	sum, err := r.l.apply(ctx, r.asked.peer, envelopes)
	if err != nil {
		return
	}
	r.asked.gained += sum.Applied + sum.Pending
	r.asked.deadline = time.Now().Add(r.l.o.RequestTimeout)
	switch {
	case malformed != nil:
		r.avoid(time.Now())
		r.done("malformed")
	case last != nil:
		r.finish(time.Now(), last.Outcomes)
	}
}

// queued returns the next chunk that is here already; nil when there is none,
// or enough was taken.
func (r *repairer) queued(taken int) *Chunk {
	if taken >= takeBytes {
		return nil
	}
	select {
	case c := <-r.chunks:
		return c
	default:
		return nil
	}
}

// grant lets the peer send more before it has used up its credits, so that
// chunks flow while others are applied.
func (r *repairer) grant(ctx context.Context) {
	a := r.asked
	if a.credits > r.l.o.Credits/2 {
		return
	}
	more := r.l.o.Credits - max(a.credits, 0)
	q := Request{ID: a.id, From: r.l.store.Branch(), Session: a.session, Credits: more, Grant: true}
	if err := r.request(ctx, q); err != nil {
		r.l.log.Debug("Could not grant a peer more credits", slog.Any("error", err))
		return
	}
	a.credits += more
}

// finish judges a whole answer.
func (r *repairer) finish(now time.Time, outcomes []Outcome) {
	verdicts := map[Verdict][]Range{}
	for _, o := range outcomes {
		verdicts[o.Verdict] = append(verdicts[o.Verdict], o.Range)
	}
	outcome := Have.String()
	if len(verdicts[Unknown]) > 0 || len(verdicts[BelowFloor]) > 0 || len(outcomes) == 0 {
		outcome = Unknown.String()
		r.avoid(now)
	}
	if below := verdicts[BelowFloor]; len(below) > 0 {
		outcome = BelowFloor.String()
		r.l.log.Warn("A peer no longer has changesets in its log that this node lacks",
			slog.String("peer", string(r.asked.peer)), slog.String("branch", string(below[0].Branch)), slog.Uint64("from", below[0].From))
	}
	if r.asked.gained > 0 {
		r.l.mu.Lock()
		r.l.gaps.hurry(slices.Concat(verdicts[More], verdicts[Unknown], verdicts[BelowFloor]))
		r.l.mu.Unlock()
	}
	r.done(outcome)
}
