package replication

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

const (
	// requestQueue bounds the requests that wait; further ones are dropped, and
	// the peer asks another.
	requestQueue = 64
	// sliceBytes and minSliceBytes bound what is read ahead of one branch.
	sliceBytes    = 256 << 10
	minSliceBytes = 8 << 10
	readAhead     = 8 << 20
)

// answerer sends peers what they ask for.
type answerer struct {
	l        *link
	requests chan Request
}

func newAnswerer(l *link) *answerer {
	return &answerer{l: l, requests: make(chan Request, requestQueue)}
}

// enqueue takes a request, unless it was meant for an earlier process of this
// branch or too many wait.
func (a *answerer) enqueue(q Request) {
	if q.Session != a.l.r.session {
		return
	}
	select {
	case a.requests <- q:
	default:
		a.l.log.Debug("Dropped a request: too many wait", slog.String("peer", string(q.From)))
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

// answer sends up to q.Credits chunks and the outcomes with the last.
func (a *answerer) answer(ctx context.Context, q Request) error {
	m, err := newMerge(ctx, a.l.store, q.Ranges)
	if err != nil {
		return err
	}
	for number := 1; ; number++ {
		envelopes, err := m.chunk(a.l.o.ChunkBytes)
		if err != nil {
			return err
		}
		c := Chunk{ID: q.ID, From: a.l.store.Branch(), Number: number, Last: number == q.Credits || m.exhausted()}
		if c.Last {
			c.Outcomes = m.outcomes()
		}
		if err := a.send(ctx, q.From, c, envelopes); err != nil {
			return err
		}
		a.l.metrics.answered.WithLabelValues(a.l.cfg.Name).Add(float64(len(envelopes)))
		if c.Last {
			return nil
		}
	}
}

// send publishes one chunk and waits until the broker has it, so that a slow
// broker slows the answer down and not the node.
func (a *answerer) send(ctx context.Context, to branch.ID, c Chunk, envelopes []changeset.Envelope) (err error) {
	if len(envelopes) > 0 {
		if c.Body, err = changeset.Pack(envelopes); err != nil {
			return err
		}
	}
	body, err := EncodeChunk(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.l.o.RequestTimeout)
	defer cancel()
	confirmation, err := a.l.cfg.Transport.Publish(ctx, a.l.syncQueue(id(to)), Message{
		From: a.l.store.Branch(), ContentType: SyncContentType, Confirm: true, TTL: messageTTL, Body: body,
	})
	if err == nil {
		err = confirmation.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("sending chunk %d: %w", c.Number, err)
	}
	return nil
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
		if err != nil {
			return fmt.Errorf("reading changesets %d to %d of branch %s: %w", s.at, s.asked.To, s.asked.Branch, err)
		}
		s.ahead = list
	}
	if len(s.ahead) == 0 {
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
			if len(s.ahead) == 0 {
				v = Unknown // the log ended before the revision said so
			}
			out = append(out, Outcome{Range{s.asked.Branch, s.at, s.asked.To}, v})
		}
	}
	return out
}
