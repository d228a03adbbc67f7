package replication

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
)

// wide is a revision of many branches.
func wide(branches int, seq uint64) (r branch.Revision) {
	id := branch.First(2)
	for range branches {
		r = append(r, branch.Dot{Branch: id, Seq: seq})
		id, _ = id.Next()
	}
	return r
}

// beaconSizes runs an idle node and returns the sizes of its beacons.
func beaconSizes(t *testing.T, r branch.Revision, span time.Duration, during func(i int, s *fakeStore)) (sizes []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 0)
		s.revision = r
		_, tr := soloNode(t, s, Options{BeaconInterval: 10 * time.Second})
		for i := range int(span / (10 * time.Second)) {
			time.Sleep(10 * time.Second)
			if during != nil {
				s.mu.Lock()
				during(i, s)
				s.mu.Unlock()
			}
		}
		for _, m := range tr.on("CH.beacon") {
			sizes = append(sizes, len(m.m.Body))
		}
	})
	return sizes
}

func mean(sizes []int) int {
	sum := 0
	for _, n := range sizes {
		sum += n
	}
	return sum / len(sizes)
}

// TestIdleNodeAmongTenSendsLittle holds the part of M11 that is the beacons':
// ten nodes make 10 of them in 10 s, each sent once and heard nine times, and a
// frame around one has less than 400 bytes.
func TestIdleNodeAmongTenSendsLittle(t *testing.T) {
	size := mean(beaconSizes(t, wide(10, 123456), 10*time.Minute, nil))
	perSecond := 10 * (size + 400) / 10
	if t.Logf("a beacon has %d bytes, and a node moves about %d bytes/s", size, perSecond); size > 300 || perSecond > 1024 {
		t.Errorf("a beacon of ten branches has %d bytes", size)
	}
}

func TestBeaconsOfAThousandBranchesAreSmallUnlessMuchChanges(t *testing.T) {
	idle := beaconSizes(t, wide(600, 123456), time.Hour, nil)
	if n := mean(idle); n > 1200 {
		t.Errorf("an idle node of 600 branches sends %d bytes a beacon", n)
	}
	writing := beaconSizes(t, wide(600, 123456), time.Hour, func(_ int, s *fakeStore) {
		s.revision = s.revision.With(branch.Dot{Branch: s.me, Seq: s.revision.At(s.me) + 5})
	})
	if n := mean(writing); n > 1300 {
		t.Errorf("a node of 600 branches that writes sends %d bytes a beacon", n)
	}
	all := beaconSizes(t, wide(600, 123456), time.Hour, func(i int, s *fakeStore) { s.revision = wide(600, uint64(200000+i)) })
	if n := mean(all); n < 5000 {
		t.Errorf("%d bytes a beacon cannot tell what 600 branches have", n)
	}
}

func TestBriefBeaconsTellAsMuchAsWholeOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &link{r: &Replicator{}}
		b := newBeaconer(l)
		var p peers
		r := wide(100, 1)
		for count := uint64(1); count <= 30; count++ {
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				at := rapid.IntRange(0, 99).Draw(t, "branch")
				r = r.With(branch.Dot{Branch: r[at].Branch, Seq: r[at].Seq + 1})
			}
			whole := rapid.IntRange(0, 9).Draw(t, "whole") == 0
			sent := b.abridge(Beacon{Branch: "ZZ", Session: "s", Count: count, Every: time.Second, Revision: r, Digest: "of exactly this revision"}, whole)
			if rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
				continue
			}
			body, err := EncodeBeacon(sent)
			if err != nil {
				t.Fatal(err)
			}
			heard, err := DecodeBeacon(body)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := p.heard(noon.Add(time.Duration(count)*time.Second), heard)
			if !r.CoversAll(got.Revision) {
				t.Fatalf("%s is taken for more than it has: %s", r, got.Revision)
			}
			if got.Digest != "" && !got.Revision.Equal(r) {
				t.Fatalf("a digest goes with %s, and is that of %s", got.Revision, r)
			}
			if sent.Since == 0 && !got.Revision.Equal(r) {
				t.Fatalf("a whole beacon of %s was understood as %s", r, got.Revision)
			}
		}
	})
}

func TestBriefBeaconIsCompletedByTheWholeOneItBuildsOn(t *testing.T) {
	var p peers
	whole := Beacon{Branch: "0B", Session: "s", Count: 1, Every: time.Second, Revision: rev(t, "0A00003,0B00007"), Floor: rev(t, "0A00002"), Digest: "d1"}
	p.heard(noon, whole)
	brief := Beacon{Branch: "0B", Session: "s", Count: 2, Every: time.Second, Revision: rev(t, "0B00009"), Since: 1, Digest: "d2"}
	got, _ := p.heard(noon, brief)
	if got.Revision.String() != "0A00003,0B00009" || got.Floor.String() != "0A00002" || got.Digest != "d2" {
		t.Errorf("%+v", got.Beacon)
	}
	brief.Count, brief.Since, brief.Revision = 5, 4, rev(t, "0C00001")
	got, _ = p.heard(noon, brief) // the fourth was missed
	if got.Revision.String() != "0A00003,0B00009,0C00001" || got.Digest != "" || got.Floor.String() != "0A00002" {
		t.Errorf("after a missed one: %+v", got.Beacon)
	}
	brief.Session, brief.Count, brief.Since, brief.Digest = "another process", 3, 2, "d3"
	got, _ = p.heard(noon, brief)
	if got.Revision.String() != "0C00001" || got.Digest != "" || len(got.Floor) > 0 {
		t.Errorf("of a process that was not heard before: %+v", got.Beacon)
	}
}

func TestHelloIsAnsweredWithAWholeBeacon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 0)
		s.revision = wide(100, 5)
		_, tr := soloNode(t, s, Options{BeaconInterval: 10 * time.Second})
		time.Sleep(15 * time.Second)
		hear(t, tr, Beacon{Branch: "ZZ", Session: "x", Count: 1, Hello: true, Every: time.Hour})
		time.Sleep(time.Second)
		got := beaconsOf(t, tr)
		if last := got[len(got)-1]; got[0].Since != 0 || got[1].Since != 1 || last.Since != 0 || len(last.Revision) != 100 {
			t.Errorf("beacons build on %d, %d and %d", got[0].Since, got[1].Since, last.Since)
		}
	})
}

func TestWhoHasWhatAWriterWaitsForSaysSoAtOnceAndOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, theirs := usedStore(t, 0), newFakeStoreWith(t, "0B", 3)
		_, tr := soloNode(t, s, Options{BeaconInterval: time.Hour})
		time.Sleep(10 * time.Second)
		asks := peerBeacon(theirs, 1)
		asks.Revision, asks.Await = nil, 3
		hear(t, tr, asks)
		time.Sleep(10 * time.Second)
		if n := len(tr.on("CH.beacon")); n != 1 {
			t.Errorf("answered %d times without having it", n-1)
		}
		start := time.Now()
		tr.deliver(t.Context(), dataTopic, packed(t, "0B", envelopesOf(t, theirs, 1, 3)...))
		waitFor(t, "said so", func() bool { return len(tr.on("CH.beacon")) == 2 })
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("said so after %v", took)
		}
		if got := beaconsOf(t, tr)[1]; got.Revision.At("0B") != 3 || got.Hello {
			t.Errorf("said %+v", got)
		}
		time.Sleep(time.Minute)
		if n := len(tr.on("CH.beacon")); n != 2 {
			t.Errorf("said so %d times", n-1)
		}
	})
}

func TestAwaitedWriteGoesOutInTheNextBeaconWhichComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tr := soloNode(t, usedStore(t, 9), Options{BeaconInterval: time.Hour})
		time.Sleep(10 * time.Second)
		for range 50 { // many writers
			r.links[0].beaconer.await(7)
			r.links[0].beaconer.await(9)
			r.links[0].beaconer.await(8)
		}
		time.Sleep(time.Second)
		got := beaconsOf(t, tr)
		if len(got) > 3 || got[1].Await != 9 {
			t.Errorf("%d beacons, the second awaits %d", len(got), got[1].Await)
		}
	})
}

func TestBeaconTellsPolicyAndLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 1)
		r, tr := soloNode(t, s, Options{Policy: "earliest", SnapshotDir: t.TempDir(), BeaconInterval: time.Second})
		tr.confirm()
		for i, id := range []branch.ID{"0B", "0C", "0B"} {
			r.links[0].snapshots.enqueue(SnapshotRequest{ID: uint64(i), From: id, Session: r.session})
		}
		time.Sleep(10 * time.Second)
		got := beaconsOf(t, tr)
		if last := got[len(got)-1]; last.Policy != "earliest" || last.Load != 2 {
			t.Errorf("policy %q, load %d", last.Policy, last.Load)
		}
		time.Sleep(time.Minute)
		got = beaconsOf(t, tr)
		if last := got[len(got)-1]; last.Load != 0 {
			t.Errorf("a minute later still load %d", last.Load)
		}
	})
}

func TestSameSeedNamesTheSameProcessAndRequestsAndOthersDoNot(t *testing.T) {
	if a, b := newSession(1, "0A", noon), newSession(1, "0A", noon); a != b {
		t.Errorf("%s and %s", a, b)
	}
	seen := map[string]bool{}
	for seed := range uint64(10) {
		for _, id := range []branch.ID{"0A", "0B"} {
			for i := range 10 {
				seen[newSession(seed, id, noon.Add(time.Duration(i)))] = true
			}
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d names for 200 processes", len(seen))
	}
	first := func() uint64 {
		r, err := New(newFakeStore("0A"), []LinkConfig{{Name: "main", Channel: "CH", Transport: newScripted()}}, Options{Logger: quiet(), Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		return r.links[0].repairer.lastID
	}
	if a, b := first(), first(); a != b {
		t.Errorf("the first requests of two runs with one seed are %d and %d", a, b)
	}
}
