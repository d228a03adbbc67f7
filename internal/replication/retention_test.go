package replication

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// memberList is a list of members that a test changes.
type memberList struct {
	mu   sync.Mutex
	list []branch.ID
	err  error
}

func (m *memberList) Members() ([]branch.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list, m.err
}

func (m *memberList) set(list []branch.ID, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list, m.err = list, err
}

func TestLowWaterMarkIsWhatEveryMemberHas(t *testing.T) {
	k := newKeeper("0A", false, Options{Retention: time.Hour, Logger: quiet()})
	have := rev(t, "0A00010,0B00010,0C00010")
	members := []branch.ID{"0A", "0B", "0C"}
	k.hear(noon, "0B", rev(t, "0A00004,0B00010,0C00010"))
	j := k.judge(noon, have, members)
	if j.whole || j.holder != "0C" || !slices.Equal(j.unheard, []branch.ID{"0C"}) {
		t.Errorf("a member that was never heard holds everything: %+v", j)
	}
	k.hear(noon, "0C", rev(t, "0A00010,0B00007"))
	j = k.judge(noon, have, members)
	if !j.whole || j.lowWater.String() != "0A00004,0B00007" || j.holder != "0C" || j.behind != 13 {
		t.Errorf("%+v", j)
	}
	k.hear(noon, "0C", rev(t, "0A00002")) // came back with an old backup
	if j = k.judge(noon, have, members); j.lowWater.String() != "0A00002" {
		t.Errorf("low-water mark %s counts what 0C has lost", j.lowWater)
	}
	if j = k.judge(noon, have, []branch.ID{"0A", "0B"}); j.lowWater.String() != "0A00004,0B00010,0C00010" {
		t.Errorf("low-water mark %s without 0C", j.lowWater)
	}
}

func TestMemberThatHoldsTheLogBackForLongIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	k := newKeeper("0A", false, Options{Retention: time.Hour, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	have, members := rev(t, "0A00010"), []branch.ID{"0B", "0C"}
	for i := range 300 {
		now := noon.Add(time.Duration(i) * time.Minute)
		k.hear(now, "0B", have)
		k.judge(now, have, members)
		if i < 59 && out.Len() > 0 {
			t.Fatalf("after %d minutes: %s", i, out.String())
		}
	}
	if n := strings.Count(out.String(), "member=0C"); n != 1 || strings.Contains(out.String(), "member=0B") {
		t.Errorf("logged %q", out.String())
	}
	k.hear(noon, "0C", have)
	k.judge(noon.Add(6*time.Hour), have, members)
	k.hear(noon, "0C", nil)
	k.judge(noon.Add(7*time.Hour), have, members)
	k.judge(noon.Add(9*time.Hour), have, members)
	if n := strings.Count(out.String(), "member=0C"); n != 2 {
		t.Errorf("a second time of holding back was logged %d times", n-1)
	}
}

// retained is two nodes with a retention of an hour, of which the first has the
// members.
func retained(t *testing.T, b *fakeBroker, members *memberList) (x, y *testNode) {
	t.Helper()
	x, y = newTestNode(t, b, "0A", Options{Seed: 1, Retention: time.Hour, Members: members}), newTestNode(t, b, "0B", Options{Seed: 2})
	startAll(x, y)
	eventually(t, time.Minute, "ready", func() bool { return x.ready() && y.ready() })
	x.write(250)
	eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
	return x, y
}

func TestLogIsTrimmedOnceEveryMemberHasItAndItIsOldEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := retained(t, newFakeBroker(1), &memberList{list: []branch.ID{"0A", "0B"}})
		time.Sleep(58 * time.Minute)
		if floor := x.store.Floor(); len(floor) != 0 {
			t.Errorf("%s has left the log before its time", floor)
		}
		x.write(1)
		time.Sleep(5 * time.Minute)
		if floor := x.store.Floor(); floor.String() != "0A00250" {
			t.Errorf("floor %s, want all that is older than an hour", floor)
		}
		if n := testutil.ToFloat64(x.repl.metrics.trimmed); n != 250 {
			t.Errorf("counted %v", n)
		}
		if s := x.status().Retention; s == nil || s.Floor.String() != "0A00250" || s.LowWater.String() != "0A00251" || s.HeldBack != 0 {
			t.Errorf("status %+v", s)
		}
		if s := y.status().Retention; s != nil {
			t.Errorf("a node that keeps all for ever shows %+v", s)
		}
		stopAll(x, y)
	})
}

func TestNothingLeavesTheLogWhileAMemberLacksItOrWasNeverHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		members := &memberList{list: []branch.ID{"0A", "0B", "0C"}}
		x, y := retained(t, b, members)
		time.Sleep(5 * time.Hour)
		if floor := x.store.Floor(); len(floor) != 0 {
			t.Errorf("%s has left the log, though 0C was never heard", floor)
		}
		if s := x.status().Retention; !slices.Equal(s.NeverHeard, []branch.ID{"0C"}) || s.HeldBackBy != "0C" || s.HeldBack != 250 || s.HeldBackSince == nil {
			t.Errorf("status %+v", s)
		}
		b.partition("0B", true)
		x.write(50)
		members.set([]branch.ID{"0A", "0B"}, nil)
		time.Sleep(5 * time.Hour)
		if floor := x.store.Floor(); floor.String() != "0A00250" {
			t.Errorf("floor %s, though 0B last had 250", floor)
		}
		b.partition("0B", false)
		time.Sleep(2 * time.Hour)
		if floor := x.store.Floor(); floor.String() != "0A00300" {
			t.Errorf("floor %s once 0B is back", floor)
		}
		stopAll(x, y)
	})
}

func TestWithoutKnowingTheMembersNothingLeavesTheLog(t *testing.T) {
	for name, members := range map[string]Members{
		"nobody says": nil, "the list is empty": &memberList{}, "the file cannot be read": &memberList{list: []branch.ID{"0A"}, err: errors.New("no such file")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTestNode(t, newFakeBroker(1), "0A", Options{Seed: 1, Retention: time.Hour, Members: members}).start()
				eventually(t, time.Minute, "ready", x.ready)
				x.write(10)
				time.Sleep(5 * time.Hour)
				if floor := x.store.Floor(); len(floor) != 0 {
					t.Errorf("%s has left the log", floor)
				}
				if s := x.status().Retention; s == nil || s.Error == "" {
					t.Errorf("status %+v does not say why", s)
				}
				stopAll(x)
			})
		})
	}
}

// contextFor returns a context that ends after a while on whatever clock runs.
func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestNodeWithoutLinksTrimsByAgeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 10)
		r, err := New(s, nil, Options{Logger: quiet(), Retention: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := contextFor(2 * time.Hour)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if floor := s.Floor(); floor.String() != "0A00010" {
			t.Errorf("floor %s", floor)
		}
	})
}

func TestNodeThatMissedWhatWasTrimmedComesBackBySnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		members := &memberList{list: []branch.ID{"0A", "0B"}} // 0C is no member, and so nobody waits for it
		x, y := retained(t, b, members)
		for _, n := range []*testNode{x, y} {
			n.stop()
			withDir(t, n).o.Retention, n.o.Members = time.Hour, members
			n.start()
		}
		time.Sleep(3 * time.Hour)
		x.write(5)
		z := withDir(t, newTestNode(t, b, "0C", Options{Seed: 3})).start()
		eventually(t, 5*time.Minute, "level", func() bool { return converged(x, y, z) })
		if _, installed := z.store.counts(); installed != 1 || z.store.Floor().String() != "0A00250" {
			t.Errorf("%d snapshots, floor %s", installed, z.store.Floor())
		}
		stopAll(x, y, z)
	})
}

// countedTrimmer counts how often it is asked.
type countedTrimmer struct{ calls int }

func (c *countedTrimmer) Trim(context.Context, branch.Revision, time.Time) (store.Trimmed, error) {
	c.calls++
	return store.Trimmed{}, nil
}

// TestLogWaitsForLinksThatHaveNoCursorYet proves that nothing leaves the log
// before every link has a cursor to hold it back: one that was never up has none.
func TestLogWaitsForLinksThatHaveNoCursorYet(t *testing.T) {
	k := newKeeper("0A", true, Options{Retention: time.Hour, Logger: quiet()})
	k.hold = func(context.Context) error { return errors.New("the disk is full") }
	trim := &countedTrimmer{}
	s := newFakeStore("0A")
	if _, err := s.write("x"); err != nil {
		t.Fatal(err)
	}
	if err := k.keep(t.Context(), s, trim, func(int) {}); err == nil || trim.calls > 0 {
		t.Errorf("got %v after %d calls", err, trim.calls)
	}
	k.hold = nil
	if err := k.keep(t.Context(), s, trim, func(int) {}); err != nil || trim.calls != 1 {
		t.Errorf("got %v after %d calls", err, trim.calls)
	}
}
