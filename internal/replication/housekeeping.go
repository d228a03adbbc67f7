package replication

import (
	"context"
	"fmt"
	"time"
)

// keep lets go of the oldest part of the log, if that is configured.
func (r *Replicator) keep(ctx context.Context) {
	r.keeper.hold = r.holdLog
	r.keeper.run(ctx, r.store, func(changesets int) { r.metrics.trimmed.Add(float64(changesets)) })
}

// memberHeard records what a node says it has.
func (r *Replicator) memberHeard(now time.Time, b Beacon) {
	r.keeper.hear(now, b.Branch, b.Revision)
	r.listen(b)
}

// snapshotLoad is how many peers this node has been giving a snapshot lately.
func (r *Replicator) snapshotLoad() uint64 { return r.donor.load(time.Now()) }

// holdLog gives every link a durable cursor.
func (r *Replicator) holdLog(ctx context.Context) error {
	for _, l := range r.links {
		cursor, err := r.store.Cursor(l.cfg.Name)
		if err == nil && cursor == 0 {
			err = r.store.SetCursor(ctx, l.cfg.Name, 0)
		}
		if err != nil {
			return fmt.Errorf("holding the log for link %s: %w", l.cfg.Name, err)
		}
	}
	return nil
}
