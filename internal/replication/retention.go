package replication

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

const (
	// keepEvery is how often the log is looked at, and keepStep the rest between
	// two bounded pieces of work on it, in which writers have the disk.
	keepEvery = time.Minute
	keepStep  = 50 * time.Millisecond
	// holdPatience is how long a member may hold the log back before that is
	// logged: a site that is cut off for some hours is nothing special.
	holdPatience = time.Hour
)

// Members names all nodes that must have a changeset before it may leave the
// log: those registered, whether or not they were ever seen. A relay that is
// among them answers for its subtree.
type Members interface {
	// Members returns their branches. It is called about once a minute. An error
	// means that they are not known now: then nothing leaves the log.
	Members() ([]branch.ID, error)
}

// keeper lets go of the oldest part of the log, once every member has it and it
// is older than the retention.
type keeper struct {
	own       branch.ID
	retention time.Duration
	members   Members
	// hold sees to it that every link has a cursor, which the log does not let go
	// of anything beyond: a link that never was up has none of its own yet.
	hold func(context.Context) error
	// alone is true for a node without links, which has nobody to wait for.
	alone bool
	log   *slog.Logger

	mu    sync.Mutex
	heard map[branch.ID]said
	// now is the last judgment, holding since when each member holds it back, and
	// logged whom the log has named.
	now     judgment
	holding map[branch.ID]time.Time
	logged  map[branch.ID]bool
	err     error
}

// said is what a member last told since this process started.
type said struct {
	revision branch.Revision
	at       time.Time
}

// judgment is what may go, and who keeps the rest.
type judgment struct {
	// lowWater is what every member has; whole is false when one was never heard,
	// and then nothing may go.
	lowWater branch.Revision
	whole    bool
	// holder is the member that lacks most, behind how much that is.
	holder  branch.ID
	behind  uint64
	unheard []branch.ID
}

func newKeeper(own branch.ID, alone bool, o Options) *keeper {
	return &keeper{
		own: own, alone: alone, retention: o.Retention, members: o.Members, log: o.Logger,
		heard: map[branch.ID]said{}, holding: map[branch.ID]time.Time{}, logged: map[branch.ID]bool{},
	}
}

// hear records what a node said it has. The latest word counts, also when it is
// less than the one before: its volume may be an old backup.
func (k *keeper) hear(now time.Time, id branch.ID, revision branch.Revision) {
	if k.retention <= 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.heard[id] = said{revision, now}
}

// judge finds what every member has of what this node has.
func (k *keeper) judge(now time.Time, have branch.Revision, members []branch.ID) judgment {
	k.mu.Lock()
	defer k.mu.Unlock()
	j := judgment{lowWater: have, whole: true}
	for _, id := range members {
		if id == k.own {
			continue
		}
		last, known := k.heard[id]
		behind := last.revision.Behind(have)
		if !known {
			j.whole, j.unheard = false, append(j.unheard, id)
		}
		if behind > j.behind || !known && j.holder == "" {
			j.holder, j.behind = id, behind
		}
		j.lowWater = meet(j.lowWater, last.revision)
		k.noteHolding(now, id, behind)
	}
	slices.Sort(j.unheard)
	k.now = j
	return j
}

// meet returns what both revisions have.
func meet(r, s branch.Revision) (out branch.Revision) {
	for _, d := range r {
		if seq := min(d.Seq, s.At(d.Branch)); seq > 0 {
			out = append(out, branch.Dot{Branch: d.Branch, Seq: seq})
		}
	}
	return out
}

// noteHolding remembers since when a member has lacked something without a
// pause, and logs once that this has lasted.
func (k *keeper) noteHolding(now time.Time, id branch.ID, behind uint64) {
	last, known := k.heard[id]
	if known && behind == 0 {
		delete(k.holding, id)
		delete(k.logged, id)
		return
	}
	if k.holding[id].IsZero() {
		k.holding[id] = now
	}
	if now.Sub(k.holding[id]) < max(holdPatience, k.retention) || k.logged[id] {
		return
	}
	k.logged[id] = true
	heard := "never since this node started"
	if known {
		heard = last.at.UTC().Format(time.RFC3339)
	}
	k.log.Warn("A member has held back the log for long: nothing it lacks can leave the log. If it is gone for good, remove it from the cluster",
		slog.String("member", string(id)), slog.Uint64("lacks", behind), slog.String("heard", heard))
}

// run lets go of what may go, now and then, until ctx ends.
func (k *keeper) run(ctx context.Context, s Store, trimmed func(changesets int)) {
	t, ok := s.(trimmer)
	if !ok || k.retention <= 0 {
		return
	}
	for sleep(ctx, keepEvery) {
		err := k.keep(ctx, s, t, trimmed)
		if ctx.Err() != nil {
			return
		}
		k.note(err)
	}
}

// note keeps the error for the status and logs it when it is new.
func (k *keeper) note(err error) {
	k.mu.Lock()
	was := k.err
	k.err = err
	k.mu.Unlock()
	if err != nil && (was == nil || was.Error() != err.Error()) {
		k.log.Warn("Could not let go of the oldest part of the log, trying again", slog.Any("error", err))
	}
}

// keep lets go of all that may go, a bounded piece at a time.
func (k *keeper) keep(ctx context.Context, s Store, t trimmer, trimmed func(int)) error {
	if k.hold != nil {
		if err := k.hold(ctx); err != nil {
			return err
		}
	}
	members, err := k.registered()
	if err != nil {
		return err
	}
	now := time.Now()
	j := k.judge(now, s.Revision(), members)
	if !j.whole || len(j.lowWater) == 0 {
		return nil
	}
	for {
		done, err := t.Trim(ctx, j.lowWater, now.Add(-k.retention))
		if err != nil {
			return err
		}
		trimmed(done.Changesets)
		if !done.More || !sleep(ctx, keepStep) {
			return nil
		}
	}
}

// registered returns the members. A node with links that does not know them, or
// finds their list empty, keeps everything: to let go of what somebody lacks
// cannot be undone.
func (k *keeper) registered() ([]branch.ID, error) {
	if k.alone {
		return nil, nil
	}
	if k.members == nil {
		return nil, errors.New("a retention is set, and nothing says which members must have a changeset before it may leave the log (membersFile)")
	}
	list, err := k.members.Members()
	if err == nil && len(list) == 0 {
		err = errors.New("the list of members is empty")
	}
	return list, err
}

// heldBack is how many changesets the member furthest behind lacks.
func (k *keeper) heldBack() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.behind
}

// status describes the log's retention; nil when all is kept for ever.
func (k *keeper) status(floor branch.Revision) *nodestatus.Retention {
	if k.retention <= 0 && len(floor) == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	out := &nodestatus.Retention{Floor: floor, LowWater: k.now.lowWater, HeldBackBy: k.now.holder, HeldBack: k.now.behind}
	if since := k.holding[k.now.holder]; !since.IsZero() {
		since = since.UTC()
		out.HeldBackSince = &since
	}
	if !k.now.whole {
		out.LowWater = nil
		out.NeverHeard = k.now.unheard[:min(len(k.now.unheard), maxMissingShown)]
	}
	if k.err != nil {
		out.Error = strings.TrimSpace(k.err.Error())
	}
	return out
}
