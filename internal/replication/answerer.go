package replication

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

const (
	// requestQueue bounds the requests that wait; further ones are dropped, and
	// the peer asks another.
	requestQueue = 64
	// sliceBytes and minSliceBytes bound what is read ahead of one branch.
	sliceBytes    = 256 << 10
	minSliceBytes = 8 << 10
	readAhead     = 8 << 20
	// grantWait is how long the last chunk that the credits allow is held back
	// for more of them, while nobody else waits for an answer. It is short of the
	// least time that a request may take.
	grantWait = 500 * time.Millisecond
	// fairChunks is how many chunks one answer may have while others wait.
	fairChunks = 64
)

// answerer sends peers what they ask for.
type answerer struct {
	l        *link
	requests chan Request
	// poke is sent to when a request or a grant has come.
	poke chan struct{}

	mu sync.Mutex
	// peer and id name the answer under way, granted is what it may send beyond
	// its credits.
	peer    branch.ID
	id      uint64
	granted int
}

func newAnswerer(l *link) *answerer {
	return &answerer{l: l, requests: make(chan Request, requestQueue), poke: make(chan struct{}, 1)}
}

// enqueue takes a request, unless it was meant for an earlier process of this
// branch or too many wait.
func (a *answerer) enqueue(q Request) {
	if q.Session != a.l.r.session {
		return
	}
	if q.Grant {
		a.grant(q)
	} else {
		select {
		case a.requests <- q:
		default:
			a.l.log.Debug("Dropped a request: too many wait", slog.String("peer", string(q.From)))
		}
	}
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// grant adds credits to the answer under way; a grant for another is late.
func (a *answerer) grant(q Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q.From == a.peer && q.ID == a.id {
		a.granted = min(a.granted+q.Credits, maxCredits)
	}
}

func (a *answerer) begin(q Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.peer, a.id, a.granted = q.From, q.ID, 0
}

func (a *answerer) takeGrant() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.granted
	a.granted = 0
	return n
}

// extend returns the further credits of an answer that may send only one more
// chunk. It waits a moment for them, unless others wait.
func (a *answerer) extend(ctx context.Context) int {
	timer := time.NewTimer(grantWait)
	defer timer.Stop()
	for {
		if n := a.takeGrant(); n > 0 {
			return n
		}
		if len(a.requests) > 0 {
			return 0
		}
		select {
		case <-a.poke:
		case <-timer.C:
			return 0
		case <-ctx.Done():
			return 0
		}
	}
}

func (a *answerer) run(ctx context.Context) {
	for {
		select {
		case q := <-a.requests:
			if err := a.answer(ctx, q); err != nil && ctx.Err() == nil {
				a.l.log.Warn("Could not answer a peer's request", slog.String("peer", string(q.From)), slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// answer sends up to q.Credits chunks, more if more are granted, and the
// outcomes with the last.
func (a *answerer) answer(ctx context.Context, q Request) error {
	a.begin(q)
	m, err := newMerge(ctx, a.l.store, q.Ranges)
	if err != nil {
		return err
	}
	out := &answering{a: a, flow: newFlow(a.l, q.From), id: q.ID}
	for sent, credits := 0, q.Credits; ; sent++ {
		envelopes, err := m.chunk(a.l.o.ChunkBytes)
		if err != nil {
			return err
		}
		if sent+1 == credits && !m.exhausted() {
			credits += a.extend(ctx)
		}
		unfair := sent+1 >= fairChunks && len(a.requests) > 0
		c := Chunk{Last: sent+1 >= credits || m.exhausted() || unfair}
		if c.Last {
			c.Outcomes = m.outcomes()
		}
		if err := out.send(ctx, c, envelopes); err != nil {
			return err
		}
		a.l.metrics.answered.WithLabelValues(a.l.cfg.Name).Add(float64(len(envelopes)))
		if c.Last {
			return out.flow.finish(ctx)
		}
	}
}

// answering numbers the messages of one answer.
type answering struct {
	a      *answerer
	flow   *flow
	id     uint64
	number int
}

// send publishes one chunk, in parts when its one changeset is very large.
func (o *answering) send(ctx context.Context, c Chunk, envelopes []changeset.Envelope) error {
	var body []byte
	if len(envelopes) > 0 {
		var err error
		if body, err = changeset.Pack(envelopes); err != nil {
			return err
		}
	}
	if len(body) <= partBytes {
		c.Body = body
		return o.publish(ctx, c)
	}
	parts := (len(body) + partBytes - 1) / partBytes
	for i := range parts {
		part := Chunk{Part: i + 1, Parts: parts, Body: body[i*partBytes : min((i+1)*partBytes, len(body))]}
		if i == parts-1 {
			part.Last, part.Outcomes = c.Last, c.Outcomes
		}
		if err := o.publish(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (o *answering) publish(ctx context.Context, c Chunk) error {
	o.number++
	c.ID, c.From, c.Number = o.id, o.a.l.store.Branch(), o.number
	body, err := EncodeChunk(c)
	if err != nil {
		return err
	}
	return o.flow.send(ctx, body)
}

// merge reads several ranges of the log in an order in which each changeset
// comes after all that it depends on: that of the clocks, since a changeset's
// clock is greater than those of all its author had seen.
type merge struct {
	ctx      context.Context
	store    Store
	slice    int
	sources  []*source
	next     sourceHeap
	verdicts []Outcome
}

// source is one range, of which those before at are read.
type source struct {
	asked Range
	// first is what is sent first of the range, at the next to read.
	first, at uint64
	ahead     []changeset.Envelope
	clock     changeset.Clock
	// trimmed is true when what comes next has left the log meanwhile.
	trimmed bool
}

type sourceHeap []*source

// Len implements heap.Interface.
func (h sourceHeap) Len() int { return len(h) }

// Less implements heap.Interface: the earliest changeset comes first.
func (h sourceHeap) Less(i, j int) bool { return h[i].clock < h[j].clock }

// Swap implements heap.Interface.
func (h sourceHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *sourceHeap) Push(x any) {
	if s, ok := x.(*source); ok {
		*h = append(*h, s)
	}
}

// Pop implements heap.Interface.
func (h *sourceHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}

func newMerge(ctx context.Context, s Store, ranges []Range) (*merge, error) {
	m := &merge{ctx: ctx, store: s, slice: min(max(readAhead/max(len(ranges), 1), minSliceBytes), sliceBytes)}
	have, floor := s.Revision(), floorOf(s)
	for _, g := range ranges {
		m.judge(g, have.At(g.Branch), floor.At(g.Branch))
	}
	for _, src := range m.sources {
		if err := m.advance(src); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// judge splits a range into what is below the floor, what is unknown, and what
// can be sent.
func (m *merge) judge(g Range, have, floor uint64) {
	note := func(from, to uint64, v Verdict) {
		if from <= to {
			m.verdicts = append(m.verdicts, Outcome{Range{g.Branch, from, to}, v})
		}
	}
	note(g.From, min(g.To, floor), BelowFloor)
	note(max(g.From, have+1), g.To, Unknown)
	first, last := max(g.From, floor+1), min(g.To, have)
	if first <= last {
		m.sources = append(m.sources, &source{asked: Range{g.Branch, first, last}, first: first, at: first})
	}
}

// advance loads what comes next of a source and puts it into the heap, unless
// the source has no more.
func (m *merge) advance(s *source) error {
	if len(s.ahead) == 0 && s.at <= s.asked.To {
		list, err := m.store.Range(m.ctx, s.asked.Branch, s.at, s.asked.To, m.slice)
		if _, trimmed := errors.AsType[*store.CompactedError](err); trimmed {
			s.trimmed = true // since the answer began
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading changesets %d to %d of branch %s: %w", s.at, s.asked.To, s.asked.Branch, err)
		}
		s.ahead = list
	}
	if len(s.ahead) == 0 {
		return nil
	}
	if len(m.sources) == 1 { // one branch is in order anyway
		heap.Push(&m.next, s)
		return nil
	}
	c, err := changeset.Decode(s.ahead[0], changeset.DefaultLimits())
	if err != nil {
		return fmt.Errorf("reading changeset %s: %w", s.ahead[0].Dot, err)
	}
	s.clock = c.Clock
	heap.Push(&m.next, s)
	return nil
}

// chunk returns the next changesets, up to about maxBytes and at least one.
func (m *merge) chunk(maxBytes int) (out []changeset.Envelope, err error) {
	for bytes := 0; len(m.next) > 0; {
		s, ok := heap.Pop(&m.next).(*source)
		if !ok {
			return out, nil
		}
		e := s.ahead[0]
		if len(out) > 0 && bytes+len(e.Body) > maxBytes {
			heap.Push(&m.next, s)
			return out, nil
		}
		out, bytes = append(out, e), bytes+len(e.Body)
		s.ahead, s.at = s.ahead[1:], e.Dot.Seq+1
		if err := m.advance(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m *merge) exhausted() bool { return len(m.next) == 0 }

// outcomes gives the verdicts on all the ranges as things stand.
func (m *merge) outcomes() []Outcome {
	out := m.verdicts
	for _, s := range m.sources {
		if s.at > s.first {
			out = append(out, Outcome{Range{s.asked.Branch, s.first, s.at - 1}, Have})
		}
		if s.at <= s.asked.To {
			v := More
			switch {
			case s.trimmed:
				v = BelowFloor
			case len(s.ahead) == 0:
				v = Unknown // the log ended before the revision said so
			}
			out = append(out, Outcome{Range{s.asked.Branch, s.at, s.asked.To}, v})
		}
	}
	return out
}
