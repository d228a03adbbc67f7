package simulation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// Settings of replication in a simulation: shorter than a node's, so that a run
// sees many of each.
const (
	beaconInterval = 5 * time.Second
	confirmTimeout = 20 * time.Second
	window         = 4
	pendingLimit   = 12
)

// node is one member of the cluster: a branch id, a volume, and now and then a
// process.
type node struct {
	w     *world
	id    branch.ID
	index int
	links []int // indexes of brokers

	volume   *volume
	couriers []*courier // one a link
	// lives counts its processes.
	lives int
	now   *process // nil while it is down

	// back is when it is to be started again.
	back time.Time
	// away is how long it stays down after the next crash in a fuse.
	away time.Duration
	// bereft says that a volume took changesets with it that nobody else has.
	bereft bool
	// lost are volumes that were replaced, which the books do not know yet, former
	// the branch ids that it had before.
	lost   []*volume
	former []branch.ID
	// copied says that its volume was made of a backup.
	copied bool

	hardware hardware
	evicted  bool
}

// hardware is what a node runs on, and what is wrong with it.
type hardware struct {
	mu sync.Mutex
	// skew is how much its clock is wrong by.
	skew time.Duration
	// disk is what the disk answers to commits, unsure that it takes them
	// nevertheless.
	disk   error
	unsure bool
}

func (h *hardware) setDisk(answer error, unsure bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.disk, h.unsure = answer, unsure
}

// refuses is what the disk answers before it writes, and doubts what it answers
// after that.
func (h *hardware) refuses() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unsure {
		return nil
	}
	return h.disk
}

func (h *hardware) doubts() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disk
}

func (h *hardware) setClock(skew time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skew = skew
}

func (h *hardware) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.skew)
}

// volume is a directory with a store in it.
type volume struct {
	dir string
	// identity is what cannot be copied with the files.
	identity string
	witness  *witness
}

func (w *world) newVolume() *volume {
	w.volumes++
	name := fmt.Sprintf("volume-%d", w.volumes)
	return &volume{dir: filepath.Join(w.dir, name), identity: name, witness: newWitness(w, name)}
}

func (v *volume) file() string { return filepath.Join(v.dir, store.FileName) }

// process is one life of a node.
type process struct {
	n *node
	// id and volume are the node's when it began.
	id     branch.ID
	volume *volume
	store  *store.Store
	repl   *replication.Replicator
	end    context.CancelFunc
	ended  chan error

	mu   sync.Mutex
	dead bool
	// fuse is where the process is to die, count how often it passes there before.
	fuse  string
	count int
	// backup is where the next commit leaves a copy of the file.
	backup string
}

// errDead is what a process meets that has crashed.
var errDead = errors.New("the process is dead")

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

// light has the process die when it comes to a place for the count-th time.
func (p *process) light(place string, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fuse, p.count = place, count
}

// pass is called where a process can die. It fails from the death on.
func (p *process) pass(place string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead && p.fuse == place {
		if p.count--; p.count <= 0 {
			p.dead = true
			p.n.w.tell("%s crashed %s", p.id, place)
		}
	}
	if p.dead {
		return errDead
	}
	return nil
}

// hooks let crashes and the disk's failures into the store.
func (p *process) hooks() *store.Hooks {
	return &store.Hooks{
		// So small that what indexes hold back is on its way into their buckets most
		// of the time, whatever crashes then.
		TailLimit: 10 + 30*int(p.n.w.plan.Seed%4),
		BeforeCommit: func() error {
			if err := p.pass("before a commit"); err != nil {
				return err
			}
			return p.n.hardware.refuses()
		},
		AfterCommit: func() error {
			p.takeBackup()
			if err := p.pass("after a commit"); err != nil {
				return err
			}
			return p.n.hardware.doubts()
		},
		Step: func(string) error { return p.pass("after a step of moving the file") },
	}
}

// takeBackup copies the file when that was asked for: nobody writes it now.
func (p *process) takeBackup() {
	p.mu.Lock()
	to := p.backup
	p.backup = ""
	p.mu.Unlock()
	if to == "" {
		return
	}
	if err := copyFile(p.volume.file(), to); err != nil {
		p.n.w.fail("G1", "a backup of %s failed: %v", p.id, err)
	}
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from) //nolint:gosec // a path of the simulation's own
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// start begins a new life.
func (n *node) start() {
	if len(n.lost) > 0 && len(n.former) == 0 && !n.copied && !n.w.allHeard(n) {
		n.w.rename(n)
	}
	if n.w.inBrokersOnly(n) {
		n.back = time.Now().Add(2 * time.Second)
		return
	}
	n.lives++
	n.back = time.Time{}
	p := &process{n: n, id: n.id, volume: n.volume, ended: make(chan error, 1)}
	st, err := store.Open(context.Background(), n.w.storeOptions(n, p))
	if err != nil {
		n.w.tell("%s did not start: %v", n.id, err)
		n.back = time.Now().Add(3 * time.Second)
		if n.hardware.doubts() == nil && p.alive() {
			n.w.fail("G1", "the store of %s cannot be opened: %v", n.id, err)
		}
		return
	}
	p.store = st
	n.volume.witness.reopened(n, st)
	n.w.bury(n)
	var links []replication.LinkConfig
	for i, b := range n.links {
		links = append(links, replication.LinkConfig{
			Name: fmt.Sprintf("link-%d", i), Channel: "CH", Hosts: []string{n.w.brokers[b].name + ":1"},
			Relay: len(n.links) > 1, Transport: newTransport(p, n.w.brokers[b], n.couriers[i]),
		})
	}
	p.repl, err = replication.New(st, links, n.w.replicationOptions(n))
	if err != nil {
		n.w.fail("G8", "replication of %s cannot start: %v", n.id, err)
		_ = st.Abandon()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	go func() { p.ended <- p.repl.Run(ctx) }()
	n.now = p
	n.w.tell("%s started", n.id)
}

func (w *world) storeOptions(n *node, p *process) store.Options {
	return store.Options{
		Dir: n.volume.dir, Branch: n.id, Trunk: "0A", Logger: w.log,
		Now:            n.hardware.clock,
		VolumeIdentity: func(string) string { return p.volume.identity },
		PendingLimit:   pendingLimit, NoSync: true, Hooks: p.hooks(),
		ConflictPolicy: store.ConflictPolicy(w.plan.Policy),
	}
}

func (w *world) replicationOptions(n *node) replication.Options {
	return replication.Options{
		BeaconInterval: beaconInterval, ConfirmTimeout: confirmTimeout, Window: window,
		FlushBytes: 16 << 10, ChunkBytes: 8 << 10, Credits: 4,
		Policy: w.plan.Policy, Retention: w.plan.Retention, Members: neighbors{n},
		SnapshotDir: filepath.Join(n.volume.dir, "snapshots"), SnapshotLag: w.plan.SnapshotLag, SnapshotIdle: 30 * time.Second,
		Logger: w.log.With("node", string(n.id)),
		Seed:   w.plan.Seed<<16 + uint64(n.index)<<8 + uint64(n.lives) + 1,
	}
}

// neighbors are the members that a node can hear.
type neighbors struct{ of *node }

// Members implements replication.Members: the nodes that share a broker with
// the one it is for.
func (n neighbors) Members() (out []branch.ID, _ error) {
	for _, o := range n.of.w.nodes {
		if o != n.of && n.of.hears(o) && !n.of.w.isEvicted(o) {
			out = append(out, o.id)
		}
	}
	return out, nil
}

// isEvicted reports whether a node is no member any more.
func (w *world) isEvicted(n *node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return n.evicted
}

// hears reports whether two nodes share a broker.
func (n *node) hears(o *node) bool {
	return slices.ContainsFunc(o.links, func(b int) bool { return slices.Contains(n.links, b) })
}

// stop ends the present life: cleanly, or as a crash does.
func (n *node) stop(crash bool) {
	p := n.now
	if p == nil {
		return
	}
	if crash {
		p.kill()
	}
	p.end()
	if err := <-p.ended; err != nil {
		n.w.fail("G8", "replication of %s ended with: %v", n.id, err)
	}
	n.volume.witness.follow(n, p.store)
	if p.alive() {
		if err := p.store.Close(); err != nil && n.hardware.doubts() == nil && p.alive() {
			n.w.fail("G1", "closing the store of %s: %v", n.id, err)
		}
	} else if err := p.store.Abandon(); err != nil {
		n.w.fail("G1", "abandoning the store of %s: %v", n.id, err)
	}
	n.now = nil
}

// crash ends the present life, and has the next begin after a while.
func (n *node) crash(away time.Duration) {
	n.stop(true)
	n.back = time.Now().Add(away)
}

// reap buries a process that has died in a fuse.
func (n *node) reap() {
	if n.now != nil && !n.now.alive() {
		n.crash(n.away)
	}
}

// disks are what disks answer.
var disks = map[string]error{
	"disk full":   &os.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC},
	"disk broken": &os.PathError{Op: "write", Path: "disk", Err: syscall.EIO},
	"disk unsure": &os.PathError{Op: "fdatasync", Path: "disk", Err: syscall.EIO},
	"disk works":  nil,
}
