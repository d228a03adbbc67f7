package stomplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/stomp"
)

// A message that is larger than the broker takes travels in parts: each is a
// message of its own with the header vesper-part, "<id>.<number>.<count>". They
// are sent in order; a receiver keeps them in memory and hands on the whole.
// All but the last are acknowledged as they come, since a broker whose prefetch
// is used up by parts would never send the rest; what a crash loses of them is
// asked for again, like everything that the broker loses.
const (
	partHeader = "vesper-part"
	// minPart is the least size of a part, and maxParts their greatest number:
	// together they carry the largest message there is.
	minPart  = 32 << 10
	maxParts = 4096
	// maxOpen is how many messages of parts may be incomplete at once, maxHeld
	// how much memory they may take, and maxAge for how long; the oldest gives way.
	maxOpen = 16
	maxHeld = maxBody
	maxAge  = 10 * time.Minute
)

// split returns the message's parts, or the message itself when it fits. A text
// is never split: only nodes of this program put parts together.
func split(out stomp.Outgoing, size int) []stomp.Outgoing {
	if len(out.Body) <= size || out.Text {
		return []stomp.Outgoing{out}
	}
	count := (len(out.Body) + size - 1) / size
	id := strconv.FormatUint(rand.Uint64(), 36)
	parts := make([]stomp.Outgoing, 0, count)
	for n := range count {
		p := out
		p.Body = out.Body[n*size : min((n+1)*size, len(out.Body))]
		p.Header = out.Header.Clone()
		p.Header.Add(partHeader, fmt.Sprintf("%s.%d.%d", id, n+1, count))
		parts = append(parts, p)
	}
	return parts
}

// receipts are the broker's answers to all parts of a message.
type receipts []*stomp.Receipt

// Wait implements replication.Confirmation.
func (r receipts) Wait(ctx context.Context) error {
	for _, one := range r {
		if err := one.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// assembler puts the parts of messages together again. It is used by one
// subscription's handler, which takes one message at a time.
type assembler struct {
	open []*assembly // oldest first
	held int
	// dropped is told of each message that was given up incomplete; nil for nobody.
	dropped func(from branch.ID, parts, of int)
}

// assembly is a message of which some parts have come.
type assembly struct {
	from   branch.ID
	id     string
	parts  [][]byte
	missed int
	bytes  int
	since  time.Time
}

// add takes a part and returns the whole body once it is complete. An error
// means that the part is none.
func (a *assembler) add(from branch.ID, header string, body []byte) (whole []byte, complete bool, err error) {
	id, number, count, err := parsePart(header)
	if err != nil {
		return nil, false, err
	}
	if len(body) == 0 {
		return nil, false, fmt.Errorf("part %.80q is empty", header)
	}
	m := a.find(from, id, count)
	if len(m.parts) != count {
		return nil, false, fmt.Errorf("part %.80q: the message had %d parts before", header, len(m.parts))
	}
	if m.parts[number-1] == nil {
		m.parts[number-1] = body
		m.missed--
		m.bytes, a.held = m.bytes+len(body), a.held+len(body)
	}
	if m.bytes > maxBody {
		a.drop(m)
		return nil, false, fmt.Errorf("part %.80q makes a message of more than %d bytes", header, maxBody)
	}
	if m.missed > 0 {
		a.makeRoom(m)
		return nil, false, nil
	}
	a.drop(m)
	return join(m), true, nil
}

func join(m *assembly) []byte {
	whole := make([]byte, 0, m.bytes)
	for _, p := range m.parts {
		whole = append(whole, p...)
	}
	return whole
}

// find returns the message that a part belongs to, a new one if need be.
func (a *assembler) find(from branch.ID, id string, count int) *assembly {
	for _, m := range a.open {
		if m.from == from && m.id == id {
			return m
		}
	}
	m := &assembly{from: from, id: id, parts: make([][]byte, count), missed: count, since: time.Now()}
	a.open = append(a.open, m)
	return m
}

// makeRoom drops the oldest messages past a bound, but not the one that grew.
// Their sender failed before it had sent all of them, most likely.
func (a *assembler) makeRoom(grew *assembly) {
	for i := 0; i < len(a.open) && (len(a.open) > maxOpen || a.held > maxHeld || time.Since(a.open[i].since) > maxAge); {
		if a.open[i] == grew {
			i++
			continue
		}
		if m := a.open[i]; a.dropped != nil {
			a.dropped(m.from, len(m.parts)-m.missed, len(m.parts))
		}
		a.drop(a.open[i])
	}
}

func (a *assembler) drop(m *assembly) {
	for i, o := range a.open {
		if o == m {
			a.open = append(a.open[:i], a.open[i+1:]...)
			a.held -= m.bytes
			return
		}
	}
}

func parsePart(header string) (id string, number, count int, err error) {
	fields := strings.Split(header, ".")
	if len(fields) == 3 && fields[0] != "" && len(header) <= 64 {
		number, err1 := strconv.Atoi(fields[1])
		count, err2 := strconv.Atoi(fields[2])
		if errors.Join(err1, err2) == nil && number >= 1 && number <= count && count <= maxParts {
			return fields[0], number, count, nil
		}
	}
	return "", 0, 0, fmt.Errorf("header %s: %.80q is not id.number.count", partHeader, header)
}

// whole hands on a message that came in one, and the last part of another with
// what came before; it reports false when parts are missing still.
func (a *assembler) whole(ctx context.Context, d *replication.Delivery) bool {
	header, is := d.Header[partHeader]
	if !is || d.Problem != nil {
		return true
	}
	body, complete, err := a.add(d.From, header, d.Body)
	switch {
	case err != nil:
		d.Problem = err
		return true
	case complete:
		delete(d.Header, partHeader)
		d.Body = body
		return true
	case d.Ack != nil:
		_ = d.Ack(ctx) // one that fails only brings the part again
	}
	return false
}
