package nodeclient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/internal/nodestatus"
)

// fakeNodes answers by address; an address without an answer hangs until the context ends.
type fakeNodes struct {
	mu      sync.Mutex
	answers map[string]Answer
	asked   map[string]int
}

func (f *fakeNodes) set(address string, a Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answers == nil {
		f.answers = map[string]Answer{}
	}
	f.answers[address] = a
}

func (f *fakeNodes) Status(ctx context.Context, target Target) (nodestatus.Status, error) {
	address := target.Address
	f.mu.Lock()
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[address]++
	answer, ok := f.answers[address]
	f.mu.Unlock()
	if !ok {
		<-ctx.Done()
		return nodestatus.Status{}, ctx.Err()
	}
	return answer.Status, answer.Err
}

func (f *fakeNodes) times(address string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[address]
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "prod", Name: name}
}

// news collects what a poller announces.
func news() (chan types.NamespacedName, func(context.Context, types.NamespacedName)) {
	c := make(chan types.NamespacedName, 100)
	return c, func(_ context.Context, n types.NamespacedName) { c <- n }
}

// start runs a poller until the test ends, and waits until it may ask.
func start(t *testing.T, reader Reader, changed func(context.Context, types.NamespacedName)) *Poller {
	t.Helper()
	p := NewPoller(reader, changed)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start returned %v", err)
		}
	})
	for running := false; !running; {
		p.mu.Lock()
		running = p.ctx != nil
		p.mu.Unlock()
	}
	return p
}

func wait(t *testing.T, c chan types.NamespacedName) types.NamespacedName {
	t.Helper()
	select {
	case n := <-c:
		return n
	case <-time.After(10 * time.Second):
		t.Fatal("waited 10 s for news of a node")
		return types.NamespacedName{}
	}
}

func ready(revision string) Answer {
	s := nodestatus.Status{Ready: true, Reason: nodestatus.ReasonReady}
	if err := s.Revision.UnmarshalText([]byte(revision)); err != nil {
		panic(err)
	}
	return Answer{Status: s}
}

func TestAnAnswerIsKnownAfterItIsAnnounced(t *testing.T) {
	nodes := &fakeNodes{}
	nodes.set("a:1", ready("0A00001"))
	c, changed := news()
	p := start(t, nodes, changed)
	if _, known := p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, time.Hour); known {
		t.Error("an answer is known before the node was asked")
	}
	if got := wait(t, c); got != key("a") {
		t.Errorf("news of %v, want prod/a", got)
	}
	answer, known := p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, time.Hour)
	if !known || answer.Err != nil || answer.Status.Revision.String() != "0A00001" {
		t.Errorf("answer is %+v, %v", answer, known)
	}
	if n := nodes.times("a:1"); n != 1 {
		t.Errorf("the node was asked %d times, want once while its answer is fresh", n)
	}
}

func TestOnlyNewsIsAnnounced(t *testing.T) {
	nodes := &fakeNodes{}
	nodes.set("a:1", ready("0A00001"))
	c, changed := news()
	p := start(t, nodes, changed)
	ask := func() { p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, 0) }
	ask()
	wait(t, c)
	for nodes.times("a:1") < 20 {
		ask()
	}
	nodes.set("a:1", Answer{Err: errors.New("gone")})
	for len(c) == 0 {
		ask()
	}
	wait(t, c)
	if len(c) != 0 {
		t.Errorf("%d more announcements of answers that did not change", len(c))
	}
}

// faulty fails the questions of the given numbers, from 1.
type faulty struct {
	*fakeNodes
	fails []int
}

func (f *faulty) Status(ctx context.Context, target Target) (nodestatus.Status, error) {
	address := target.Address
	status, err := f.fakeNodes.Status(ctx, target)
	if slices.Contains(f.fails, f.times(address)) {
		return nodestatus.Status{}, errors.New("no answer within 2s")
	}
	return status, err
}

func TestOneLostAnswerIsNoNewsAndTwoInARowAre(t *testing.T) {
	nodes := &faulty{fakeNodes: &fakeNodes{}, fails: []int{2, 4, 5}}
	nodes.set("a:1", ready("0A00001"))
	c, changed := news()
	p := start(t, nodes, changed)
	p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, 0)
	wait(t, c)
	for nodes.times("a:1") < 4 { // the second fails, the third is its repetition
		if answer, _ := p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, 10*time.Millisecond); answer.Err != nil {
			t.Fatalf("one lost answer is told: %v", answer.Err)
		}
		time.Sleep(time.Millisecond)
	}
	if len(c) > 0 {
		t.Error("one lost answer was announced")
	}
	wait(t, c)
	if answer, _ := p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, time.Hour); answer.Err == nil {
		t.Error("two answers were lost in a row, and it is not told")
	}
}

func TestAnotherPodIsAskedAnewAndOldAnswersDoNotCountForIt(t *testing.T) {
	nodes := &fakeNodes{}
	nodes.set("a:1", ready("0A00001"))
	c, changed := news()
	p := start(t, nodes, changed)
	p.Ask(key("a"), Target{PodUID: "first", Address: "a:1"}, time.Hour)
	wait(t, c)
	if _, known := p.Ask(key("a"), Target{PodUID: "second", Address: "a:1"}, time.Hour); known {
		t.Error("the answer of the pod before counts for a new pod")
	}
	wait(t, c)
}

func TestNodesThatHangDoNotHoldUpOthers(t *testing.T) {
	nodes := &fakeNodes{}
	nodes.set("good:1", ready("0A00001"))
	c, changed := news()
	p := start(t, nodes, changed)
	for i := range maxQuestions - 1 {
		p.Ask(key(string(rune('A'+i))), Target{PodUID: "u", Address: "hangs:1"}, time.Hour)
	}
	p.Ask(key("good"), Target{PodUID: "u", Address: "good:1"}, time.Hour)
	if got := wait(t, c); got != key("good") {
		t.Errorf("news of %v, want the one that answers", got)
	}
}

func TestNobodyIsAskedWhileThePollerDoesNotRun(t *testing.T) {
	nodes := &fakeNodes{}
	nodes.set("a:1", ready("0A00001"))
	_, changed := news()
	p := NewPoller(nodes, changed)
	if _, known := p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, 0); known || nodes.times("a:1") != 0 {
		t.Error("a node was asked before Start")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, known := p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, 0); known || nodes.times("a:1") != 0 {
		t.Error("a node was asked after Start had ended")
	}
}

func TestWhatIsForgottenIsNotAnnounced(t *testing.T) {
	nodes := &fakeNodes{}
	c, changed := news()
	gate := &gated{fakeNodes: nodes, entered: make(chan struct{}), leave: make(chan struct{})}
	p := start(t, gate, changed)
	nodes.set("a:1", ready("0A00001"))
	p.Ask(key("a"), Target{PodUID: "u", Address: "a:1"}, time.Hour)
	<-gate.entered
	p.Forget(key("a"))
	close(gate.leave)
	nodes.set("b:1", ready("0A00001"))
	p.Ask(key("b"), Target{PodUID: "u", Address: "b:1"}, time.Hour)
	<-gate.entered
	if got := wait(t, c); got != key("b") {
		t.Errorf("news of %v, which was forgotten", got)
	}
}

// gated lets a test hold a question open.
type gated struct {
	*fakeNodes
	entered, leave chan struct{}
}

func (g *gated) Status(ctx context.Context, target Target) (nodestatus.Status, error) {
	g.entered <- struct{}{}
	<-g.leave
	return g.fakeNodes.Status(ctx, target)
}

// drainable is one node that does as it is told, unless it refuses.
type drainable struct {
	mu       sync.Mutex
	draining bool
	told     []bool
	refuses  error
}

func (d *drainable) Status(context.Context, Target) (nodestatus.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nodestatus.Status{Branch: "0A", Draining: d.draining}, nil
}

func (d *drainable) SetDraining(_ context.Context, _ Target, draining bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, draining)
	if d.refuses == nil {
		d.draining = draining
	}
	return d.refuses
}

func TestANodeIsToldOnceWhatToDoAboutWrites(t *testing.T) {
	refuses := errors.New("it answered 404 Not Found")
	for _, test := range []struct {
		name     string
		was      bool
		want     Writes
		refuses  error
		draining bool
		told     []bool
	}{
		{"it takes writes, and should drain", false, DrainWrites, nil, true, []bool{true}},
		{"it drains already", true, DrainWrites, nil, true, nil},
		{"it drains, and should take writes again", true, TakeWrites, nil, false, []bool{false}},
		{"it takes writes already", false, TakeWrites, nil, false, nil},
		{"nobody minds", true, LeaveWrites, nil, true, nil},
		{"it does not know how", false, DrainWrites, refuses, false, []bool{true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			node := &drainable{draining: test.was, refuses: test.refuses}
			changes, changed := news()
			p := start(t, node, changed)
			target := Target{PodUID: "1", Address: "a", Writes: test.want}
			p.Ask(key("a"), target, time.Hour)
			<-changes
			answer, known := p.Last(key("a"))
			if !known || answer.Err != nil || answer.Status.Draining != test.draining || !errors.Is(answer.Refused, test.refuses) {
				t.Errorf("answer is %+v, want draining %v, refused %v", answer, test.draining, test.refuses)
			}
			if !slices.Equal(node.told, test.told) {
				t.Errorf("it was told %v, want %v", node.told, test.told)
			}
		})
	}
	node := &fakeNodes{}
	node.set("a", Answer{})
	changes, changed := news()
	p := start(t, node, changed)
	p.Refresh(key("a"), 0) // of one that nobody asks, nothing is asked
	p.Ask(key("a"), Target{Address: "a"}, time.Hour)
	<-changes
	p.Refresh(key("a"), time.Hour)
	node.set("a", Answer{Status: nodestatus.Status{Objects: 1}})
	p.Refresh(key("a"), 0)
	<-changes
	if n := node.times("a"); n != 2 {
		t.Errorf("it was asked %d times, want twice: refreshing asks only for what is too old", n)
	}
	if _, known := start(t, &drainable{}, func(context.Context, types.NamespacedName) {}).Last(key("b")); known {
		t.Error("something is known of a node that nobody asked")
	}
}
