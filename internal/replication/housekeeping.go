package replication

import (
	"context"
	"time"
)

// keep lets go of the oldest part of the log, if that is configured.
func (r *Replicator) keep(ctx context.Context) {
	r.keeper.run(ctx, r.store, func(changesets int) { r.metrics.trimmed.Add(float64(changesets)) })
}

// memberHeard records what a node says it has.
func (r *Replicator) memberHeard(now time.Time, b Beacon) {
	r.keeper.hear(now, b.Branch, b.Revision)
	r.listen(b)
}

// snapshotLoad is how many peers this node has been giving a snapshot lately.
func (r *Replicator) snapshotLoad() uint64 { return r.donor.load(time.Now()) }
