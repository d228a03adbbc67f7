package replication

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// beaconsOf reads the beacons a node sent.
func beaconsOf(t *testing.T, tr *scripted) (out []Beacon) {
	t.Helper()
	for _, m := range tr.on("CH.beacon") {
		b, err := DecodeBeacon(m.m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if m.m.Persistent || m.m.TTL != messageTTL || m.m.From != "0A" {
			t.Errorf("a beacon travels as %+v", m.m)
		}
		out = append(out, b)
	}
	return out
}

func TestFirstBeaconIsAHelloSentAtOnceAndSaysWhatTheNodeHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 3)
		s.floor = branch.Revision{{Branch: "0A", Seq: 1}}
		_, tr := soloNode(t, s, Options{})
		synctest.Wait()
		got := beaconsOf(t, tr)
		if len(got) != 1 {
			t.Fatalf("%d beacons at the start", len(got))
		}
		b, digest := got[0], s.digest.String()
		if !b.Hello || b.Count != 1 || b.Branch != "0A" || b.Incarnation != "i-0A" || b.Session == "" || b.Every != 10*time.Second {
			t.Errorf("beacon %+v", b)
		}
		if b.Revision.String() != "0A00003" || b.Digest != digest || b.Floor.String() != "0A00001" {
			t.Errorf("beacon says %s %s %s", b.Revision, b.Digest, b.Floor)
		}
	})
}

func TestBeaconsComeAtTheIntervalWithJitterAndAreNoHellos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 0), Options{BeaconInterval: 10 * time.Second})
		seen, last := 1, time.Now()
		short, long := time.Hour, time.Duration(0)
		for seen < 40 {
			time.Sleep(10 * time.Millisecond)
			if n := len(tr.on("CH.beacon")); n > seen {
				gap := time.Since(last)
				short, long, seen, last = min(short, gap), max(long, gap), n, time.Now()
			}
		}
		if short < 7900*time.Millisecond || long > 12100*time.Millisecond || long-short < 2*time.Second {
			t.Errorf("beacons %v to %v apart", short, long)
		}
		for i, b := range beaconsOf(t, tr) {
			if b.Count != uint64(i+1) || i > 0 && b.Hello {
				t.Errorf("beacon %d: count %d, hello %v", i, b.Count, b.Hello)
			}
		}
	})
}

func TestReconnectionIsAnnouncedWithAHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 0), Options{})
		time.Sleep(time.Second)
		tr.flap()
		synctest.Wait()
		if got := beaconsOf(t, tr); len(got) != 2 || !got[1].Hello {
			t.Errorf("beacons %+v", got)
		}
	})
}

func TestHelloIsAnsweredSoonAndNotOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 0), Options{BeaconInterval: time.Hour})
		time.Sleep(time.Minute)
		start := time.Now()
		hello := Beacon{Branch: "0B", Session: "x", Count: 1, Hello: true, Every: time.Hour}
		hear(t, tr, hello)
		waitFor(t, "answered", func() bool { return len(tr.on("CH.beacon")) == 2 })
		if took := time.Since(start); took > promptDelay+10*time.Millisecond {
			t.Errorf("answered after %v", took)
		}
		for i := range 100 { // ten a second, for ten seconds
			hello.Count = uint64(i + 2)
			hear(t, tr, hello)
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(tr.on("CH.beacon")); n < 8 || n > 13 {
			t.Errorf("%d beacons for a hundred hellos in ten seconds", n)
		}
	})
}

func TestBeaconsThatAreNoHellosAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 0), Options{BeaconInterval: time.Hour})
		hear(t, tr, Beacon{Branch: "0B", Session: "x", Count: 1, Every: time.Hour})
		time.Sleep(time.Minute)
		if n := len(tr.on("CH.beacon")); n != 1 {
			t.Errorf("%d beacons", n)
		}
	})
}

func TestInACrowdBeaconsAreRarerAndFewAnswerAHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tr := soloNode(t, usedStore(t, 0), Options{BeaconInterval: 10 * time.Second})
		id := branch.ID("0B")
		for i := range 500 {
			hear(t, tr, Beacon{Branch: id, Session: fmt.Sprint(i), Count: 1, Every: time.Hour})
			id, _ = id.Next()
		}
		b := r.links[0].beaconer
		if every := b.every(); every != 50*time.Second {
			t.Errorf("with 500 peers a beacon every %v", every)
		}
		elected := 0
		for range 10000 {
			if b.elected(500) {
				elected++
			}
		}
		if elected < 500 || elected > 800 { // 32 of 500 is 640 of 10000
			t.Errorf("elected %d times of 10000", elected)
		}
		if !b.elected(promptCrowd) {
			t.Error("in a small cluster somebody keeps silent")
		}
	})
}

func TestOwnBeaconsAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tr := soloNode(t, usedStore(t, 2), Options{})
		time.Sleep(5 * time.Second)
		for _, b := range beaconsOf(t, tr) {
			hear(t, tr, b)
		}
		time.Sleep(time.Minute)
		if s := r.Status(); len(s.Peers) > 0 || !s.Writable || !s.Ready {
			t.Errorf("status %+v", s)
		}
	})
}

func TestOneStrayBeaconWithOurIDIsNoAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tr := soloNode(t, usedStore(t, 2), Options{})
		waitWritable(t, r)
		stray := Beacon{Branch: "0A", Session: "our former process", Count: 900, Every: 10 * time.Second, Revision: branch.Revision{{Branch: "0A", Seq: 2}}}
		hear(t, tr, stray)
		hear(t, tr, stray)
		time.Sleep(2 * time.Second)
		if s := r.Status(); !s.Writable {
			t.Errorf("refused: %s", s.WritesRefused)
		}
		asks := func(b Beacon) bool { return b.Hello && b.Count > 1 }
		if !slices.ContainsFunc(beaconsOf(t, tr), asks) {
			t.Error("nobody was asked whether the other process lives")
		}
		stray.Count++
		hear(t, tr, stray)
		if s := r.Status(); s.Writable || s.Reason != "BranchInUse" {
			t.Errorf("a live twin: %s, writable %v", s.Reason, s.Writable)
		}
	})
}

func TestBeaconThatCannotBeSentShowsInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tr := soloNode(t, usedStore(t, 0), Options{})
		time.Sleep(time.Second)
		tr.setRefuse(fmt.Errorf("broker says no"))
		waitFor(t, "shown", func() bool { return r.Status().Links[0].LastError == "sending a beacon: broker says no" })
	})
}
