package replication

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

func TestOriginsRememberExactlyWhatWasAddedWithinTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o origins
		added := map[uint64]bool{}
		for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 60), 0, 80).Draw(t, "added") {
			o.add(branch.Dot{Branch: "0B", Seq: n})
			added[n] = true
		}
		for n := uint64(0); n <= 62; n++ {
			if got := o.has(branch.Dot{Branch: "0B", Seq: n}); got != added[n] {
				t.Fatalf("has(%d) = %v in %v", n, got, o.spans)
			}
		}
		list := o.spans["0B"]
		for i := 1; i < len(list); i++ {
			if list[i].from <= list[i-1].to+1 {
				t.Fatalf("spans touch: %v", list)
			}
		}
	})
}

func TestOriginsAreBoundedAndForgetTheOldestFirst(t *testing.T) {
	var o origins
	for n := range uint64(3 * maxSpans) {
		o.add(branch.Dot{Branch: "0B", Seq: 2*n + 1})
	}
	if n := len(o.spans["0B"]); n > maxSpans {
		t.Errorf("%d spans", n)
	}
	if !o.has(branch.Dot{Branch: "0B", Seq: 6*maxSpans - 1}) || o.has(branch.Dot{Branch: "0B", Seq: 1}) {
		t.Error("forgot the latest or kept the first")
	}
	id := branch.First(4)
	for range maxOriginBranches + 10 {
		o.add(branch.Dot{Branch: id, Seq: 1})
		id, _ = id.Next()
	}
	if n := len(o.spans); n > maxOriginBranches {
		t.Errorf("%d branches", n)
	}
}

// carried counts how often each changeset was published on a broker.
func carried(t *testing.T, b *fakeBroker) map[string]int {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]int{}
	for _, m := range b.published {
		list, err := changeset.Unpack(m.Body, changeset.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			out[e.Dot.String()]++
		}
	}
	return out
}

// relayRun lets a node at each broker of a shape write, and returns how often
// each changeset was published on each broker.
func relayRun(t *testing.T, shape [][]int) (out []map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, seed: 7, acked: map[branch.Dot]bool{}}
		brokers := build(t, s, shape)
		eventually(t, time.Minute, "ready", func() bool {
			for _, n := range s.nodes {
				if !n.ready() {
					return false
				}
			}
			return true
		})
		for range 10 {
			for _, n := range s.nodes {
				n.write(3)
			}
			time.Sleep(time.Second)
		}
		eventually(t, time.Minute, "converged", func() bool { return converged(s.nodes...) })
		time.Sleep(time.Minute)
		for _, b := range brokers {
			out = append(out, carried(t, b))
		}
		stopAll(s.nodes...)
	})
	return out
}

func TestRelayPassesEachChangesetOnOnceAndNeverBackToWhereItCameFrom(t *testing.T) {
	for name, shape := range map[string][][]int{
		"star":  {{0, 1, 2, 3}, {0}, {1}, {2}, {3}},
		"chain": {{0}, {0, 1}, {1, 2}, {2, 3}, {3}},
	} {
		for i, on := range relayRun(t, shape) {
			if want := 30 * len(shape); len(on) != want {
				t.Errorf("%s: %d changesets were published on broker %d, want %d", name, len(on), i, want)
			}
			for dot, n := range on {
				if n != 1 {
					t.Errorf("%s: %s was published %d times on broker %d", name, dot, n, i)
				}
			}
		}
	}
}

func TestTwoRelaysOfOneGroupAtMostDoubleWhatIsPublishedAndLoopsEnd(t *testing.T) {
	for name, shape := range map[string][][]int{
		"tree of three levels, two relays for a group": {{0}, {0, 1}, {0, 1}, {1}, {1, 2}, {2}},
		"ring": {{0, 1}, {1, 2}, {2, 0}, {0}},
	} {
		for i, on := range relayRun(t, shape) {
			if want := 30 * len(shape); len(on) != want {
				t.Errorf("%s: %d changesets were published on broker %d, want %d", name, len(on), i, want)
			}
			for dot, n := range on {
				if n > 2 {
					t.Errorf("%s: %s was published %d times on broker %d", name, dot, n, i)
				}
			}
		}
	}
}

func TestRelayThatForgotWhereChangesetsCameFromDoesNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, site := newFakeBroker(1), newFakeBroker(2)
		a, relay, leaf := newTestNode(t, core, "0A", Options{Seed: 1}), newTestNode(t, core, "0B", Options{Seed: 2}), newTestNode(t, site, "0C", Options{Seed: 3})
		relay.more = []*fakeBroker{site}
		startAll(a, relay, leaf)
		eventually(t, time.Minute, "ready", func() bool { return a.ready() && relay.ready() && leaf.ready() })
		for i := range 10 {
			a.write(2)
			leaf.write(2)
			relay.crash()
			relay.start()
			time.Sleep(time.Duration(300+100*i) * time.Millisecond)
		}
		eventually(t, 2*time.Minute, "converged", func() bool { return converged(a, relay, leaf) })
		if got := fmt.Sprint(relay.store.Revision()); got != "0A00020,0C00020" {
			t.Errorf("revision %s", got)
		}
		if err := relay.store.check(); err != nil {
			t.Error(err)
		}
		stopAll(a, relay, leaf)
	})
}

// ownFeedStore finds its own changesets by themselves, as the real one does.
type ownFeedStore struct {
	*fakeStore
	feeds int
}

func (s *ownFeedStore) Feed(ctx context.Context, after uint64, maxBytes int) ([]store.FeedEntry, error) {
	s.feeds++
	return s.fakeStore.Feed(ctx, after, maxBytes)
}

func (s *ownFeedStore) OwnFeed(ctx context.Context, after uint64, _ int) (out []store.FeedEntry, upTo uint64, err error) {
	all, err := s.fakeStore.Feed(ctx, after, 1<<30)
	upTo = after
	for _, e := range all {
		if upTo = e.Pos; e.Dot.Branch == s.me {
			out = append(out, e)
		}
	}
	return out, upTo, err
}

func TestLinkWithoutRelayReadsOnlyTheOwnChangesetsOfAStoreThatFindsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &ownFeedStore{fakeStore: usedStore(t, 2)}
		if _, err := s.Apply(t.Context(), envelopesOf(t, newFakeStoreWith(t, "0B", 5), 1, 5)); err != nil {
			t.Fatal(err)
		}
		_, tr := soloOver(t, s, LinkConfig{}, Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 1 })
		if got := dots(t, tr.on("CH")[0]); len(got) != 2 {
			t.Errorf("published %v", got)
		}
		tr.on("CH")[0].verdict <- nil
		waitFor(t, "cursor at the end of the feed", func() bool { return cursorOf(t, s.fakeStore) == 7 })
		if s.feeds > 0 {
			t.Errorf("read the whole feed %d times", s.feeds)
		}
	})
}
