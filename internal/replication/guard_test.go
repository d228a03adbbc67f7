package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// realNode is a Replicator over a real store, since what guards a branch is
// kept there.
type realNode struct {
	t     *testing.T
	id    branch.ID
	dir   string
	o     Options
	store *store.Store
	repl  *Replicator
	stop  func()
}

func openReal(t *testing.T, id branch.ID, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Branch: id, Logger: quiet(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newRealNode opens a store in dir and replicates it over b; with no b, it has
// no link.
func newRealNode(t *testing.T, b *fakeBroker, id branch.ID, dir string, o Options) *realNode {
	t.Helper()
	n := &realNode{t: t, id: id, dir: dir, o: o, store: openReal(t, id, dir)}
	var links []LinkConfig
	if b != nil {
		links = []LinkConfig{{Name: "main", Channel: "CH", Transport: &fakeTransport{b: b, me: id}}}
	}
	o.Logger = quiet()
	repl, err := New(n.store, links, o)
	if err != nil {
		t.Fatal(err)
	}
	n.repl = repl
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- repl.Run(ctx) }()
	n.stop = func() {
		cancel()
		if err := errors.Join(<-done, n.store.Close()); err != nil {
			t.Error(err)
		}
	}
	return n
}

func writeTo(t *testing.T, s *store.Store, text string) error {
	t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Update(context.Background(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) })
	return err
}

func (n *realNode) mustWrite(text string) {
	n.t.Helper()
	if err := writeTo(n.t, n.store, text); err != nil {
		n.t.Fatalf("writing on %s: %v", n.id, err)
	}
}

// refuses returns why the node refuses writes, or fails the test.
func (n *realNode) refuses(reason nodestatus.Reason) string {
	n.t.Helper()
	var refused *store.RefusedError
	if err := writeTo(n.t, n.store, `{"id":"refused","v":1}`); !errors.As(err, &refused) {
		n.t.Fatalf("a write on %s gave %v, want it refused", n.id, err)
	}
	if s := n.repl.Status(); s.Reason != reason || s.Ready || s.Writable {
		n.t.Errorf("%s is %s, ready %v, writable %v: %s; want %s", n.id, s.Reason, s.Ready, s.Writable, s.Message, reason)
	}
	return refused.Reason
}

func (n *realNode) writable() bool {
	s := n.repl.Status()
	return s.Ready && s.Writable
}

// TestPeerTellsTheAuthorThatItsBranchIsForked: an author hears nothing under
// its own id, so it would write on for ever.
func TestPeerTellsTheAuthorThatItsBranchIsForked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		dir := t.TempDir()
		x, y := newRealNode(t, b, "0A", dir, Options{Seed: 1}), newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		eventually(t, time.Minute, "both ready", func() bool { return x.writable() && y.writable() })
		x.mustWrite(`{"id":"x","v":1}`)
		eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0A") == 1 })
		if _, err := y.store.Apply(t.Context(), forgery(t, "0A")); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the author knows", func() bool { return x.repl.Status().Reason == nodestatus.ReasonBranchForked })
		if why := x.refuses(nodestatus.ReasonBranchForked); !strings.Contains(why, "0A00001") {
			t.Errorf("refused because of %q", why)
		}
		if s := y.repl.Status(); !s.Ready || !s.Writable || len(s.Forks) != 1 || s.Forks[0].Branch != "0A" || s.Lag.Changesets != 0 ||
			!strings.Contains(s.Message, "0A is forked at 0A00001") {
			t.Errorf("the peer's status: %+v", s)
		}
		x.stop()
		x = newRealNode(t, b, "0A", dir, Options{Seed: 3}) // it remembers
		x.refuses(nodestatus.ReasonBranchForked)
		if err := x.repl.AcceptBranch(t.Context()); err == nil || !strings.Contains(err.Error(), "/v1/forks/0A") {
			t.Errorf("a forked branch was accepted: %v", err)
		}
		for _, n := range []*realNode{x, y} {
			if _, err := n.store.SettleFork(t.Context(), "0A"); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, time.Minute, "settled", x.writable)
		x.mustWrite(`{"id":"x","v":2}`)
		eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0A") == 2 })
		x.stop()
		y.stop()
	})
}

// forgery is a first changeset of a branch that somebody else wrote.
func forgery(t *testing.T, id branch.ID) []changeset.Envelope {
	t.Helper()
	s := openReal(t, id, t.TempDir())
	defer s.Close()
	if err := writeTo(t, s, `{"id":"forged","v":1}`); err != nil {
		t.Fatal(err)
	}
	list, err := s.Range(t.Context(), id, 1, 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestNodeDoesNotAskForWhatItWouldNotTake: of a forked branch peers have more,
// and that is no gap.
func TestNodeDoesNotAskForWhatItWouldNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		y := newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		defer y.stop()
		eventually(t, time.Minute, "ready", y.writable)
		beacon := Beacon{Branch: "0D", Session: "s", Count: 1, Every: time.Hour, Revision: branch.Revision{{Branch: "0C", Seq: 5}}}
		hear := func() {
			body, err := EncodeBeacon(beacon)
			if err != nil {
				t.Fatal(err)
			}
			beacon.Count++
			b.set(func(b *fakeBroker) {
				b.route(Destination{Topic, "CH.beacon"}, Message{From: "0D", ContentType: BeaconContentType, Body: body})
			})
		}
		hear()
		eventually(t, time.Minute, "a gap", func() bool { return y.repl.Status().Lag.Changesets == 5 })
		if _, err := y.store.TellFork(t.Context(), branch.Dot{Branch: "0C", Seq: 1}, "0D"); err != nil {
			t.Fatal(err)
		}
		hear()
		eventually(t, time.Minute, "no gap", func() bool { return y.repl.Status().Lag.Changesets == 0 })
		eventually(t, time.Minute, "ready", y.writable)
	})
}

// copyOf copies a node's file as cp does.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := os.WriteFile(filepath.Join(to, store.FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// members is a fixed list of them.
type members []branch.ID

func (m members) Members() ([]branch.ID, error) {
	if len(m) == 0 {
		return nil, errors.New("nobody knows")
	}
	return m, nil
}

func TestCopiedStoreTakesNoWritesUntilItIsAcceptedWhoeverWasHeard(t *testing.T) {
	for name, tc := range map[string]struct {
		members Members
		broker  bool
	}{
		"all members are heard":            {members{"0A", "0B"}, true},
		"one member is never heard":        {members{"0A", "0B", "0C"}, true},
		"the list of members is not known": {members{}, true},
		"nobody names members":             {nil, true},
		"there is no broker":               {members{"0A", "0B"}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeBroker(1)
			dir := t.TempDir()
			x, y := newRealNode(t, b, "0A", dir, Options{Seed: 1}), newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
			eventually(t, time.Minute, "both ready", func() bool { return x.writable() && y.writable() })
			x.mustWrite(`{"id":"x","v":1}`)
			eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0A") == 1 })
			x.stop()
			broker := b
			if !tc.broker {
				broker = nil
			}
			x = newRealNode(t, broker, "0A", copyOf(t, dir), Options{Seed: 3, Members: tc.members})
			if why := x.refuses(nodestatus.ReasonVolumeCopied); !strings.Contains(why, "vesper-node accept") {
				t.Errorf("%s: refused because of %q", name, why)
			}
			time.Sleep(5 * time.Minute)
			x.refuses(nodestatus.ReasonVolumeCopied)
			if err := x.repl.AcceptBranch(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			eventually(t, time.Minute, name+": writes are taken", x.writable)
			x.mustWrite(`{"id":"x","v":2}`)
			if x.store.Copied() {
				t.Errorf("%s: still a copy", name)
			}
			x.stop()
			y.stop()
		})
	}
}

// TestOldCopyIsNotOwnedThoughAllMembersWereHeard: a member has more of the branch.
func TestOldCopyIsNotOwnedThoughAllMembersWereHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		dir := t.TempDir()
		x, y := newRealNode(t, b, "0A", dir, Options{Seed: 1}), newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		eventually(t, time.Minute, "both ready", func() bool { return x.writable() && y.writable() })
		x.mustWrite(`{"id":"x","v":1}`)
		old := copyOf(t, dir)
		x.mustWrite(`{"id":"x","v":2}`)
		eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0A") == 2 })
		x.stop()
		x = newRealNode(t, b, "0A", old, Options{Seed: 3, Members: members{"0A", "0B"}})
		eventually(t, time.Minute, "whole again", func() bool { return x.store.Revision().At("0A") == 2 })
		time.Sleep(time.Minute)
		x.refuses(nodestatus.ReasonBranchAhead)
		if err := x.repl.AcceptBranch(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.mustWrite(`{"id":"x","v":3}`)
		x.stop()
		y.stop()
	})
}

func TestThawedProcessProvesItsBranchBeforeItWritesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := newRealNode(t, b, "0A", t.TempDir(), Options{Seed: 1}), newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		eventually(t, time.Minute, "both ready", func() bool { return x.writable() && y.writable() })
		x.mustWrite(`{"id":"x","v":1}`)
		x.repl.thawed(time.Now(), time.Minute)
		if why := x.refuses(nodestatus.ReasonCatchingUp); !strings.Contains(why, "asks its peers") {
			t.Errorf("refused because of %q", why)
		}
		eventually(t, 10*time.Second, "writes again", x.writable)
		x.mustWrite(`{"id":"x","v":2}`)
		time.Sleep(10 * writeLease) // the lease is renewed
		x.mustWrite(`{"id":"x","v":3}`)
		x.stop()
		y.stop()
	})
}

func TestStandingStillIsMeasuredByEitherClock(t *testing.T) {
	now := time.Now()
	if got := stoodStill(now, now.Add(time.Minute)); got != time.Minute {
		t.Errorf("the process's clock: %v", got)
	}
	if got := stoodStill(now.Round(0), now.Round(0).Add(time.Hour)); got != time.Hour {
		t.Errorf("the machine's clock: %v", got)
	}
}

func TestGarbageIsCountedByCauseAndKeptOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		y := newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		eventually(t, time.Minute, "ready", y.writable)
		good := forgery(t, "0C")[0]
		flipped := good
		flipped.Body = bytes.Clone(good.Body)
		flipped.Body[len(flipped.Body)-1] ^= 1
		stranger := forgery(t, "00A")[0]
		if _, err := y.store.Apply(t.Context(), []changeset.Envelope{good}); err != nil {
			t.Fatal(err)
		}
		other := otherForgery(t, "0C")
		beacon, err := EncodeBeacon(Beacon{Branch: "00A", Session: "s", Count: 1, Every: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		b.set(func(b *fakeBroker) {
			b.route(dataTopic, Message{From: "0C", ContentType: changeset.ContentType, Body: []byte("no container")})
			b.route(dataTopic, Message{From: "0C", ContentType: "text/plain", Body: []byte("hello")})
			b.route(dataTopic, packed(t, "0C", flipped))
			b.route(dataTopic, packed(t, "00A", stranger))
			b.route(Destination{Topic, "CH.beacon"}, Message{From: "00A", ContentType: BeaconContentType, Body: beacon})
			b.route(dataTopic, packed(t, "0C", other...))
		})
		count := func(c Cause) float64 {
			return testutil.ToFloat64(y.repl.metrics.quarantined.WithLabelValues("main", string(c)))
		}
		want := map[Cause]float64{
			CauseMalformed: 1, CauseForeign: 1, CauseHash: 1, CauseUnknownBranch: 2, CauseFork: 1, CauseForked: 1,
		}
		for cause, n := range want {
			eventually(t, time.Minute, fmt.Sprint(n, " of cause ", cause), func() bool { return count(cause) == n })
		}
		kept, err := y.store.Evidence(t.Context())
		if err != nil || len(kept) != 6 {
			t.Errorf("%d pieces of evidence are on disk, %v", len(kept), err)
		}
		for _, e := range kept {
			if e.Cause == string(CauseForked) || e.Link != "main" || e.Error == "" {
				t.Errorf("unexpected evidence %+v", e)
			}
		}
		y.mustWrite(`{"id":"y","v":1}`)
		y.stop()
	})
}

// otherForgery is two changesets of a branch, others than forgery's.
func otherForgery(t *testing.T, id branch.ID) []changeset.Envelope {
	t.Helper()
	s := openReal(t, id, t.TempDir())
	defer s.Close()
	for _, text := range []string{`{"id":"other","v":1}`, `{"id":"other","v":2}`} {
		if err := writeTo(t, s, text); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Range(t.Context(), id, 1, 2, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestClockAnHourAheadIsTakenAndMeasured: receivers never judge a clock.
func TestClockAnHourAheadIsTakenAndMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		y := newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		eventually(t, time.Minute, "ready", y.writable)
		s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: "0C", Logger: quiet(), NoSync: true,
			Now: func() time.Time { return time.Now().Add(time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := writeTo(t, s, `{"id":"fast","v":1}`); err != nil {
			t.Fatal(err)
		}
		list, err := s.Range(t.Context(), "0C", 1, 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.set(func(b *fakeBroker) { b.route(dataTopic, packed(t, "0C", list...)) })
		eventually(t, time.Minute, "applied", func() bool { return y.store.Revision().At("0C") == 1 })
		eventually(t, time.Second, "measured", func() bool {
			ahead := testutil.ToFloat64(y.repl.metrics.ahead.WithLabelValues("main"))
			return ahead > 3590 && ahead <= 3600
		})
		y.stop()
	})
}
