package nodeclient

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/internal/nodestatus"
)

// maxQuestions is how many nodes are asked at the same time.
const maxQuestions = 64

// secondTry is how long after a question that was not answered it is put again.
const secondTry = time.Second

// Target is one process of one node: a new pod, or one with a new address, is
// another target, and answers of the old one do not count for it.
type Target struct {
	// PodUID is the UID of the node's pod.
	PodUID types.UID
	// Address is its host:port.
	Address string
	// Access is what it takes to be heard there.
	Access Access
	// Writes is what it should do about writes.
	Writes Writes
}

// Writes is what a node should be told about writes.
type Writes int

const (
	// LeaveWrites means that the node is told nothing.
	LeaveWrites Writes = iota
	// TakeWrites means that a node which is draining is told to take writes again.
	TakeWrites
	// DrainWrites means that a node which takes writes is told to drain.
	DrainWrites
)

// Answer is what a target said last.
type Answer struct {
	// Status is valid when Err is nil.
	Status nodestatus.Status
	// Err says why there was no answer.
	Err error
	// Refused says why the node was not made to do about writes as it should,
	// although it answers.
	Refused error
	// Asked is when the question was put: what is older may have changed.
	Asked time.Time
}

// Poller asks nodes in the background, many at a time, so that one which does
// not answer never holds up the others. It remembers the last answer of each.
type Poller struct {
	reader  Reader
	changed func(context.Context, types.NamespacedName)
	slots   chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex
	ctx   context.Context // of Start; nil before
	nodes map[types.NamespacedName]*polled
}

type polled struct {
	target Target
	asking bool
	known  bool
	answer Answer
	asked  time.Time
}

// NewPoller returns a Poller that calls changed, from a goroutine of its own,
// when a node's answer differs from the one before. The context that it passes
// ends with Start.
func NewPoller(reader Reader, changed func(context.Context, types.NamespacedName)) *Poller {
	return &Poller{reader: reader, changed: changed, slots: make(chan struct{}, maxQuestions), nodes: map[types.NamespacedName]*polled{}}
}

// Start lets the poller ask until ctx ends, and returns when no question is open.
func (p *Poller) Start(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.ctx = nil
	p.mu.Unlock()
	p.running.Wait()
	return nil
}

// Ask returns what the target said last and whether it was ever heard. When
// that is older than maxAge, or nothing is known, it starts to ask anew and
// returns at once. It asks nobody while Start does not run.
func (p *Poller) Ask(node types.NamespacedName, target Target, maxAge time.Duration) (Answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	entry := p.nodes[node]
	if entry == nil || entry.target != target {
		entry = &polled{target: target}
		p.nodes[node] = entry
	}
	if p.ctx != nil && !entry.asking && (!entry.known || time.Since(entry.asked) >= maxAge) {
		entry.asking = true
		ctx := p.ctx
		p.running.Go(func() { p.ask(ctx, node, entry) })
	}
	return entry.answer, entry.known
}

// Refresh asks a node anew that was asked before, if its last answer is older than maxAge.
func (p *Poller) Refresh(node types.NamespacedName, maxAge time.Duration) {
	p.mu.Lock()
	entry := p.nodes[node]
	p.mu.Unlock()
	if entry != nil {
		p.Ask(node, entry.target, maxAge)
	}
}

// Forget drops what is remembered of a node.
func (p *Poller) Forget(node types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.nodes, node)
}

// ask asks, and asks a node that answered before once more before it says that
// it does not: one lost packet is no news.
func (p *Poller) ask(ctx context.Context, node types.NamespacedName, entry *polled) {
	answer := p.question(ctx, entry.target)
	if answer.Err != nil && p.answered(entry) {
		select {
		case <-time.After(secondTry):
			answer = p.question(ctx, entry.target)
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil && p.remember(node, entry, answer) {
		p.changed(ctx, node)
	}
}

// question asks once, when there is a slot, and has the node do about writes as it should.
func (p *Poller) question(ctx context.Context, target Target) Answer {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return Answer{Err: ctx.Err()}
	}
	defer func() { <-p.slots }()
	asked := time.Now()
	status, err := p.reader.Status(ctx, target)
	if err != nil || !target.differs(status) {
		return Answer{Status: status, Err: err, Asked: asked}
	}
	refused := p.tell(ctx, target)
	if refused == nil {
		status, err = p.reader.Status(ctx, target)
	}
	return Answer{Status: status, Err: err, Refused: refused, Asked: asked}
}

// differs reports whether the node does otherwise than it should.
func (t Target) differs(status nodestatus.Status) bool {
	return t.Writes == DrainWrites && !status.Draining || t.Writes == TakeWrites && status.Draining
}

// tell has the node do as it should.
func (p *Poller) tell(ctx context.Context, target Target) error {
	drainer, ok := p.reader.(Drainer)
	if !ok {
		return errors.New("nobody can tell it")
	}
	return drainer.SetDraining(ctx, target, target.Writes == DrainWrites)
}

// Last returns what a node said last, whoever asked it, and whether it was ever heard.
func (p *Poller) Last(node types.NamespacedName) (Answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if entry := p.nodes[node]; entry != nil {
		return entry.answer, entry.known
	}
	return Answer{}, false
}

// answered reports whether the last question to a target was answered.
func (p *Poller) answered(entry *polled) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return entry.known && entry.answer.Err == nil
}

// remember stores an answer and reports whether it is news about the current target.
func (p *Poller) remember(node types.NamespacedName, entry *polled, answer Answer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := !entry.known || !same(entry.answer, answer)
	entry.answer, entry.known, entry.asking, entry.asked = answer, true, false, time.Now()
	return news && p.nodes[node] == entry
}

// same compares answers without what differs each time.
func same(a, b Answer) bool {
	if a.Err != nil || b.Err != nil {
		return a.Err != nil && b.Err != nil && a.Err.Error() == b.Err.Error()
	}
	if a.Refused != nil || b.Refused != nil {
		return a.Refused != nil && b.Refused != nil && a.Refused.Error() == b.Refused.Error() && reflect.DeepEqual(a.Status, b.Status)
	}
	return reflect.DeepEqual(a.Status, b.Status)
}
