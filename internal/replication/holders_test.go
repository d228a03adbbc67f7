package replication

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

func TestWaitingForPeersEndsSoonAfterTheyHaveTheChangesetAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		z := newTestNode(t, b, "0C", Options{Seed: 3}).start()
		eventually(t, time.Minute, "ready", func() bool { return x.ready() && y.ready() && z.ready() })
		time.Sleep(time.Minute)
		for range 5 {
			dot, err := x.store.write("x")
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			have := x.repl.AwaitHolders(t.Context(), dot, 2)
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("waited %v", took)
			}
			if fmt.Sprint(have) != "[0B 0C]" || !y.store.Revision().Covers(dot) || !z.store.Revision().Covers(dot) {
				t.Errorf("%v have %s; in truth %s and %s", have, dot, y.store.Revision(), z.store.Revision())
			}
			time.Sleep(3 * time.Second)
		}
		stopAll(x, y, z)
	})
}

func TestWaitingForMorePeersThanThereAreEndsWithTheContextAndSaysWhoHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		dot, err := x.store.write("x")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if have := x.repl.AwaitHolders(ctx, dot, 5); fmt.Sprint(have) != "[0B]" || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", have, time.Since(start))
		}
		stopAll(x, y)
	})
}

func TestPeerThatIsCutOffIsNoHolderUntilItHasTheChangeset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.partition("0B", true)
		dot, err := x.store.write("x")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if have := x.repl.AwaitHolders(ctx, dot, 1); len(have) != 0 {
			t.Errorf("%v have what only this node has", have)
		}
		cancel()
		done := make(chan []branch.ID, 1)
		go func() { done <- x.repl.AwaitHolders(t.Context(), dot, 1) }()
		time.Sleep(5 * time.Second)
		b.partition("0B", false)
		if have := <-done; fmt.Sprint(have) != "[0B]" || !y.store.Revision().Covers(dot) {
			t.Errorf("%v have it", have)
		}
		stopAll(x, y)
	})
}

func TestEveryAskingBeaconMayBeLostOnceWithoutLosingAWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		time.Sleep(time.Minute)
		lost := 0
		b.set(func(b *fakeBroker) {
			b.filter = func(to Destination, _ Message) bool {
				if to.Name == "CH.beacon" {
					lost++
					return lost <= 3
				}
				return false
			}
		})
		dot, err := x.store.write("x")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if have := x.repl.AwaitHolders(t.Context(), dot, 1); len(have) != 1 || time.Since(start) > 3*time.Second {
			t.Errorf("%v after %v", have, time.Since(start))
		}
		stopAll(x, y)
	})
}

func TestNodeWithoutLinksDoesNotWait(t *testing.T) {
	r, err := New(usedStore(t, 1), nil, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if have := r.AwaitHolders(t.Context(), branch.Dot{Branch: "0A", Seq: 1}, 1); have != nil {
		t.Errorf("%v have it", have)
	}
}
