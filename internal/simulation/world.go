package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/replication"
)

// tick is how often the books are brought up to date.
const tick = time.Second

// Violation is a guarantee that did not hold.
type Violation struct {
	// Guarantee is "G1" to "G12".
	Guarantee string
	What      string
}

// Result is what a run came to.
type Result struct {
	Seed       uint64
	Violations []Violation
	// Story is what happened, a line an event.
	Story []string
	// Trace is a hash over all that happened: equal for equal runs.
	Trace uint64
	// Operations counts writes, applied changesets and messages.
	Operations int
	// Converged is how long after the last fault the cluster was whole again.
	Converged time.Duration
}

// Failed says which guarantee was violated first; "" for none.
func (r Result) Failed() string {
	if len(r.Violations) == 0 {
		return ""
	}
	return r.Violations[0].Guarantee
}

// world is one run of a plan.
type world struct {
	plan  Plan
	dir   string
	log   *slog.Logger
	rng   *rand.Rand
	trace *trace

	brokers []*broker
	nodes   []*node
	volumes int
	backups []*backup

	ledger  *ledger
	history history
	states  states
	// restored are the branches that have lost a volume or got an old one.
	restored map[branch.ID]bool
	// retired is the greatest branch id that was given instead of another.
	retired branch.ID
	writers sync.WaitGroup
	writes  int
	// goroutines were there before the cluster, most the most there were.
	goroutines, most int

	mu         sync.Mutex
	began      time.Time
	story      []string
	violations []Violation
	operations int
}

// Run runs a plan in a directory of its own below dir, and asserts the twelve
// guarantees.
func Run(t *testing.T, plan Plan, dir string) Result {
	dir, err := os.MkdirTemp(dir, "run-")
	if err != nil {
		t.Fatalf("making room for a simulation: %v", err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing a simulation's files: %v", err)
		}
	}()
	cryptotest.SetGlobalRandom(t, plan.Seed)
	w := &world{
		plan: plan, dir: dir, log: slog.New(slog.NewTextHandler(logTo(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		rng: rand.New(rand.NewPCG(plan.Seed, 3)), trace: &trace{}, ledger: newLedger(), restored: map[branch.ID]bool{},
	}
	seedSchedule(plan.Seed)
	defer seedSchedule(0)
	synctest.Test(t, func(*testing.T) { w.run() })
	return Result{
		Seed: plan.Seed, Violations: w.violations, Story: w.story, Trace: w.trace.sum,
		Operations: w.operations + w.trace.n, Converged: w.history.converged,
	}
}

// logTo is where the nodes log: nowhere, unless VESPER_TEST_LOG is set.
func logTo() io.Writer {
	if os.Getenv("VESPER_TEST_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

func (w *world) run() {
	w.began = time.Now()
	w.goroutines = runtime.NumGoroutine()
	w.build()
	for _, a := range w.plan.Acts {
		w.pass(a.After)
		if w.failed() {
			break
		}
		w.tell("%s", a)
		a.do(w)
	}
	w.pass(tick)
	if !w.plan.Forever && !w.failed() {
		w.heal()
		w.settle()
	}
	w.writers.Wait()
	w.conclude()
	for _, n := range w.nodes {
		n.stop(false)
	}
	for _, b := range w.brokers {
		b.crash(true)
	}
}

// build makes the brokers and starts the nodes.
func (w *world) build() {
	for i := range w.plan.Topology.Brokers {
		w.brokers = append(w.brokers, newBroker(fmt.Sprintf("broker-%d", i), w.plan.Seed+uint64(i), w.trace))
	}
	id := branch.First(2)
	for i, links := range w.plan.Topology.Links {
		n := &node{w: w, id: id, index: i, links: links, volume: w.newVolume()}
		for range links {
			n.couriers = append(n.couriers, newCourier())
		}
		w.nodes = append(w.nodes, n)
		id, _ = id.Next()
	}
	for _, n := range w.nodes {
		n.start()
	}
}

// pass lets time pass, with a look at everything now and then.
func (w *world) pass(d time.Duration) {
	for d > 0 && !w.failed() {
		step := min(d, tick)
		time.Sleep(step)
		d -= step
		w.look()
	}
}

// look brings the books up to date and asserts what must hold at every moment.
func (w *world) look() {
	for _, n := range w.nodes {
		n.reap()
		if n.now == nil {
			if !n.back.IsZero() && !time.Now().Before(n.back) {
				n.start()
			}
			continue
		}
		n.volume.witness.follow(n, n.now.store)
	}
	w.during()
}

// heal ends all faults.
func (w *world) heal() {
	w.tell("all faults ended")
	for _, b := range w.brokers {
		b.heal()
	}
	for _, n := range w.nodes {
		n.hardware.setDisk(nil, false)
		if n.now != nil {
			n.now.light("", 0)
		}
		n.reap()
		if w.inBrokersOnly(n) {
			w.rename(n)
		}
		if n.now == nil {
			n.start()
		}
	}
}

// settle waits until the cluster is whole.
func (w *world) settle() {
	w.writers.Wait()
	healed := time.Now()
	for time.Since(healed) < patience {
		w.pass(tick)
		if w.failed() {
			return
		}
		w.buryLate()
		w.accept()
		if broken, _ := w.trouble(); broken == "" {
			w.history.converged = time.Since(healed)
			return
		}
	}
	broken, what := w.trouble()
	w.fail(broken, "%v after the last fault: %s", patience, what)
}

// accept does what an operator does for a volume of which nothing is lost that
// nobody else has, once all of that is there.
func (w *world) accept() {
	for _, n := range w.nodes {
		if n.now != nil && w.lost(n.id) && !n.bereft && n.volume.witness.vector.At(n.id) == w.ledger.last(n.id) &&
			n.refusedForItsVolume() && !w.underWayBeyond(n) {
			if err := n.now.repl.AcceptBranch(context.Background()); err == nil {
				w.tell("an operator accepted the branch of %s", n.id)
			}
		}
	}
}

// refusedForItsVolume reports whether a node waits for an operator, since its
// volume was lost, replaced or copied.
func (n *node) refusedForItsVolume() bool {
	reason := n.now.repl.Status().Reason
	return reason == nodestatus.ReasonBranchAhead || reason == nodestatus.ReasonVolumeCopied
}

// underWayBeyond reports whether brokers hold more of a node's branch than it has.
func (w *world) underWayBeyond(n *node) bool {
	for d := range w.underWay() {
		if d.Branch == n.id && !n.volume.witness.vector.Covers(d) {
			return true
		}
	}
	return false
}

// seen enters a changeset that was seen at a place.
func (w *world) seen(where branch.ID, env changeset.Envelope) {
	if err := w.ledger.note(string(where), env); err != nil {
		w.fail(w.reused(env.Dot), "%v", err)
	}
}

// reused says which guarantee a dot with two contents violates.
func (w *world) reused(d branch.Dot) string {
	if w.lost(d.Branch) {
		return "G10"
	}
	return "G2"
}

// lost reports whether a branch has lost a volume or got an old one; "" asks
// whether any has.
func (w *world) lost(id branch.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return id == "" && len(w.restored) > 0 || w.restored[id]
}

// published enters the changesets of a message that goes out.
func (w *world) published(m replication.Message) {
	for _, env := range cargo(m) {
		w.seen(m.From, env)
	}
}

// cargo returns the changesets in a message.
func cargo(m replication.Message) []changeset.Envelope {
	body := m.Body
	if m.ContentType == replication.SyncContentType {
		sync, err := replication.DecodeSync(m.Body)
		if err != nil || sync.Chunk == nil {
			return nil
		}
		body = sync.Chunk.Body
	} else if m.ContentType != changeset.ContentType {
		return nil
	}
	list, err := changeset.Unpack(body, changeset.DefaultLimits())
	if err != nil {
		return nil
	}
	return list
}

// tell adds a line to the story.
func (w *world) tell(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), w.dir+"/", "")
	w.trace.note("%s", line)
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Since(w.began)
	w.story = append(w.story, fmt.Sprintf("%3d.%03d s  %s", at/time.Second, at%time.Second/time.Millisecond, line))
}

// fail records that a guarantee does not hold.
func (w *world) fail(guarantee, format string, args ...any) {
	what := strings.TrimSpace(fmt.Sprintf(format, args...))
	w.tell("%s VIOLATED: %s", guarantee, what)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, Violation{guarantee, what})
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations) > 0
}

// errOutOfTime ends a client's wait.
var errOutOfTime = errors.New("the client gave up")
