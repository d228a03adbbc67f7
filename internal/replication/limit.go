package replication

import (
	"fmt"

	"vesperdb.io/vesper/internal/changeset"
)

const (
	// packOverhead is what a message adds to one changeset at most, besides a
	// part in packPart for what compression makes longer.
	packOverhead = 4 << 10
	packPart     = 128
	// foreignFactor is how many times longer a changeset may be in another form
	// than the packed one.
	foreignFactor = 8
)

// limiter is a store that refuses writes whose changesets are too large.
type limiter interface {
	LimitChangesets(bytes int, remedy string)
}

// limitWrites has the store refuse what some link could never carry: a
// changeset that is acknowledged and cannot be sent would be in the way for ever.
func (r *Replicator) limitWrites() {
	s, ok := r.store.(limiter)
	if !ok {
		return
	}
	bytes, remedy := changeset.DefaultLimits().BodyBytes, ""
	for _, l := range r.links {
		message := l.maxMessage()
		if message <= 0 {
			continue
		}
		if n := l.changesetRoom(message); n < bytes {
			bytes = n
			remedy = fmt.Sprintf("the broker of link %s takes messages of %d bytes (raise its limit, and broker.maxMessage "+
				"in the node's file, if it must be)", l.cfg.Name, message)
		}
	}
	if remedy == "" {
		bytes = 0 // the store's own limit is less
	}
	s.LimitChangesets(bytes, remedy)
}

// changesetRoom is how large a changeset may be to fit in a message.
func (l *link) changesetRoom(message int) int {
	if _, packed := l.cfg.Wire.(PackedWire); !packed {
		return message / foreignFactor
	}
	return max(message-message/packPart-packOverhead, 1)
}
