package server

import (
	"errors"

	"vesperdb.io/vesper/internal/store"
)

// compactedProblem maps what has left the log; nil when it is another error.
func compactedProblem(err error) *Problem {
	if gone, ok := errors.AsType[*store.CompactedError](err); ok {
		p := problem(kindCompacted, "%s", gone)
		p.Revision = gone.Floor.String()
		return p
	}
	if gone, ok := errors.AsType[*store.PositionError](err); ok {
		return problem(kindFeedGap, "%s", gone)
	}
	return nil
}
