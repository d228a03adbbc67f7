package replication

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func rev(t *testing.T, s string) branch.Revision {
	t.Helper()
	r, err := branch.ParseRevision(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func beaconOf(t *testing.T, id branch.ID, revision string) Beacon {
	t.Helper()
	return Beacon{Branch: id, Session: "s" + string(id), Count: 1, Every: 10 * time.Second, Revision: rev(t, revision)}
}

func TestTargetIsWhatTheLivingPeersHaveTogether(t *testing.T) {
	var p peers
	p.heard(noon, beaconOf(t, "0B", "0A00003,0B00009"))
	p.heard(noon.Add(25*time.Second), beaconOf(t, "0C", "0A00005,0C00001"))
	if got := p.target(noon.Add(25 * time.Second)); got.String() != "0A00005,0B00009,0C00001" {
		t.Errorf("both alive: %s", got)
	}
	if got := p.target(noon.Add(35 * time.Second)); got.String() != "0A00005,0C00001" {
		t.Errorf("0B has been silent for three intervals: %s", got)
	}
	if got := p.target(noon.Add(time.Hour)); len(got) != 0 {
		t.Errorf("all silent: %s", got)
	}
}

func TestTargetFallsWhenAPeerComesBackWithLess(t *testing.T) {
	var p peers
	p.heard(noon, beaconOf(t, "0B", "0A00003,0B00009"))
	p.target(noon)
	restored := beaconOf(t, "0B", "0A00002")
	restored.Session = "another"
	p.heard(noon.Add(time.Second), restored)
	if got := p.target(noon.Add(time.Second)); got.String() != "0A00002" {
		t.Errorf("target %s still counts what the peer lost", got)
	}
}

func TestLateAndRepeatedBeaconsChangeNothing(t *testing.T) {
	var p peers
	b := beaconOf(t, "0B", "0B00005")
	b.Count = 7
	if _, fresh := p.heard(noon, b); !fresh {
		t.Error("the first beacon of a process is not fresh")
	}
	old := beaconOf(t, "0B", "0B00004")
	old.Count = 6
	for _, late := range []Beacon{old, b} {
		if _, fresh := p.heard(noon.Add(time.Minute), late); fresh {
			t.Error("a late beacon is fresh")
		}
	}
	if got := p.byBranch["0B"]; got.seen != noon || got.Revision.At("0B") != 5 {
		t.Errorf("seen %v with %s", got.seen, got.Revision)
	}
}

func TestPeersAreBoundedAndTheLongestSilentMakesRoom(t *testing.T) {
	var p peers
	id := branch.First(4)
	for i := range maxPeers + 10 {
		p.heard(noon.Add(time.Duration(i)*time.Second), Beacon{Branch: id, Session: "s", Count: 1})
		id, _ = id.Next()
	}
	if len(p.byBranch) != maxPeers {
		t.Errorf("%d peers are kept", len(p.byBranch))
	}
	if p.byBranch[branch.First(4)] != nil {
		t.Error("the longest silent peer is still there")
	}
}

// TestAThousandPeersCostNoMoreThanTheirBeaconsAreLong: five virtual minutes of a
// thousand peers, measured against a few plain passes over as many revisions on
// the same machine. To look at all peers at each beacon would cost a thousand times that.
func TestAThousandPeersCostNoMoreThanTheirBeaconsAreLong(t *testing.T) {
	const rounds, between = 3, 100 * time.Millisecond
	var revision branch.Revision
	id := branch.First(3)
	for range 1000 {
		revision = append(revision, branch.Dot{Branch: id, Seq: 100000})
		id, _ = id.Next()
	}
	passes := func() {
		for range revision {
			_ = revision.Merge(revision)
			_ = revision.CoversAll(revision)
		}
	}
	yardstick := rounds * processorTime(t, passes)
	var p peers
	g := gaps{own: "00A"}
	counts, counted := 0, time.Time{}
	took := processorTime(t, func() {
		for i := range rounds * len(revision) {
			now := noon.Add(time.Duration(i) * between)
			d := revision[i%len(revision)]
			p.heard(now, Beacon{Branch: d.Branch, Session: "s", Count: uint64(i/len(revision) + 1), Every: 100 * time.Second, Revision: revision})
			g.update(now, revision, p.target(now))
			if !p.counted.Equal(counted) {
				counts, counted = counts+1, p.counted
			}
		}
	})
	if n := p.alive(noon.Add(299 * time.Second)); n != 1000 {
		t.Errorf("%d peers are alive", n)
	}
	if most := int(rounds*time.Duration(len(revision))*between/recount) + 1; counts == 0 || counts > most {
		t.Errorf("what the peers have together was counted %d times, at most %d are needed", counts, most)
	}
	if took > 20*yardstick {
		t.Errorf("took %v of the processor, and as many plain passes %v", took, yardstick)
	}
}

// processorTime is what a function takes of the processor: unlike the clock, it
// does not run faster while other programs have the machine.
func processorTime(t *testing.T, do func()) time.Duration {
	t.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	do()
	return used() - start
}

func TestSoleAuthorIsAskedFirstAndOthersWhenItIsToBeAvoided(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var p peers
	p.heard(noon, beaconOf(t, "0B", "0B00009"))
	p.heard(noon, beaconOf(t, "0C", "0B00007"))
	want := []Range{{"0B", 3, 9}}
	got, ranges := p.choose(noon, want, rng)
	if got == nil || got.Branch != "0B" || !slices.Equal(ranges, want) {
		t.Errorf("asked %+v for %v", got, ranges)
	}
	p.byBranch["0B"].avoid = noon.Add(time.Minute)
	got, ranges = p.choose(noon, want, rng)
	if got == nil || got.Branch != "0C" || !slices.Equal(ranges, []Range{{"0B", 3, 7}}) {
		t.Errorf("asked %+v for %v", got, ranges)
	}
	if got, _ = p.choose(noon, []Range{{"0D", 1, 1}}, rng); got != nil {
		t.Errorf("asked %s for what nobody has", got.Branch)
	}
	if got, _ = p.choose(noon.Add(time.Hour), want, rng); got != nil {
		t.Errorf("asked %s, which has been silent for an hour", got.Branch)
	}
}

func TestPeersAreChosenInProportionToWhatTheyHave(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var p peers
	p.heard(noon, beaconOf(t, "0B", "0B00100"))         // 400: its own counts four times
	p.heard(noon, beaconOf(t, "0C", "0B00100,0D00100")) // 200
	p.heard(noon, beaconOf(t, "0E", "0D00001"))         // 1
	count := map[branch.ID]int{}
	for range 6000 {
		got, _ := p.choose(noon, []Range{{"0B", 1, 100}, {"0D", 1, 100}}, rng)
		count[got.Branch]++
	}
	if count["0B"] < 3700 || count["0B"] > 4250 || count["0C"] < 1700 || count["0E"] > 60 {
		t.Errorf("chosen %v of 6000", count)
	}
}

func TestGapBecomesDueOnceItHasStoodStillForTheGrace(t *testing.T) {
	g := gaps{own: "0A"}
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	steps := []struct {
		at   float64
		have string
		due  []Range
	}{
		{0, "0B00002", nil},
		{1, "0B00002", nil},
		{1.5, "0B00004", nil}, // it moves: the broker is delivering
		{3, "0B00004", nil},
		{3.5, "0B00004", []Range{{"0B", 5, 9}}},
		{4, "0B00006", nil},
		{6, "0B00006", []Range{{"0B", 7, 9}}},
		{7, "0B00009", nil},
	}
	for _, s := range steps {
		g.update(at(s.at), rev(t, s.have), rev(t, "0B00009"))
		if got := g.due(at(s.at), 2*time.Second); !slices.Equal(got, s.due) {
			t.Errorf("after %v s with %s: due %v, want %v", s.at, s.have, got, s.due)
		}
	}
	if n, since := g.lacking(); n != 0 || !since.IsZero() {
		t.Errorf("closed gap: %d lacking since %v", n, since)
	}
}

func TestOwnBranchIsDueAtOnce(t *testing.T) {
	g := gaps{own: "0A"}
	g.update(noon, nil, rev(t, "0A00003,0B00001"))
	if got := g.due(noon, time.Minute); !slices.Equal(got, []Range{{"0A", 1, 3}}) {
		t.Errorf("due %v", got)
	}
}

func TestFruitlessRequestsAreSpacedOutAndProgressEndsThat(t *testing.T) {
	g := gaps{own: "0A"}
	g.update(noon, nil, rev(t, "0B00005"))
	now := noon.Add(2 * time.Second)
	var waits []time.Duration
	for range 10 {
		due := g.due(now, 2*time.Second)
		if len(due) != 1 {
			t.Fatalf("due %v at %v", due, now)
		}
		g.asked(now, due)
		next := g.next(2 * time.Second)
		waits = append(waits, next.Sub(now)/time.Second)
		now = next
	}
	if fmt.Sprint(waits) != "[1ns 2ns 4ns 8ns 16ns 32ns 64ns 128ns 128ns 128ns]" {
		t.Errorf("waits in seconds %v", waits)
	}
	g.update(now, rev(t, "0B00001"), rev(t, "0B00005"))
	if due := g.due(now.Add(2*time.Second), 2*time.Second); len(due) != 1 {
		t.Error("after progress the gap is not due within the grace")
	}
}

func TestRestOfAnAnswerIsAskedForWithoutGrace(t *testing.T) {
	g := gaps{own: "0A"}
	g.update(noon, nil, rev(t, "0B00005"))
	g.asked(noon, []Range{{"0B", 1, 5}})
	g.update(noon, rev(t, "0B00003"), rev(t, "0B00005"))
	g.hurry([]Range{{"0B", 4, 5}})
	if due := g.due(noon, 2*time.Second); !slices.Equal(due, []Range{{"0B", 4, 5}}) {
		t.Errorf("due %v", due)
	}
}

func TestGapThatIsOvertakenByNewWritesIsANewGap(t *testing.T) {
	g := gaps{own: "0A"}
	g.update(noon, nil, rev(t, "0B00005"))
	g.update(noon.Add(20*time.Second), rev(t, "0B00005"), rev(t, "0B00009"))
	if _, since := g.lacking(); since != noon.Add(20*time.Second) {
		t.Errorf("lacking since %v: the first gap was closed", since)
	}
}

func TestCaughtUpIsWhatPeersHadAtTheEndOfTheDiscovery(t *testing.T) {
	c := catchup{window: 3 * time.Second, patience: 30 * time.Second}
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	steps := []struct {
		at           int
		have, target string
		behind       time.Time
		want         phase
	}{
		{1, "", "0B00005", at(1), phaseDiscovering},
		{3, "", "0B00005", at(1), phaseCatchingUp},
		{4, "0B00004", "0B00090", at(1), phaseCatchingUp},
		{5, "0B00005", "0B00095", at(5), phaseCaughtUp}, // what came since does not count
		{34, "0B00005", "0B00095", at(5), phaseCaughtUp},
		{35, "0B00005", "0B00095", at(5), phaseCatchingUp}, // past the patience
		{36, "0B00095", "0B00099", at(36), phaseCaughtUp},
	}
	c.up(at(0))
	for _, s := range steps {
		c.step(at(s.at), rev(t, s.have), rev(t, s.target), s.behind)
		if c.phase != s.want {
			t.Errorf("after %d s: phase %d, want %d", s.at, c.phase, s.want)
		}
	}
	c.down()
	c.step(at(100), rev(t, "0B00099"), nil, time.Time{})
	if c.phase != phaseDown {
		t.Errorf("a link that is down is in phase %d", c.phase)
	}
}

func TestWhatOnlyAPeerThatIsGoneHadIsNotWaitedFor(t *testing.T) {
	c := catchup{window: time.Second, patience: time.Minute}
	c.up(noon)
	c.step(noon.Add(time.Second), nil, rev(t, "0B00005"), noon)
	if c.phase != phaseCatchingUp {
		t.Fatalf("phase %d", c.phase)
	}
	c.step(noon.Add(time.Minute), nil, nil, time.Time{})
	if c.phase != phaseCaughtUp {
		t.Errorf("phase %d, though nobody is left who has more", c.phase)
	}
}

func TestQuarantineKeepsTheLatestEvidenceAndNoMore(t *testing.T) {
	q := quarantine{log: quiet(), size: 3}
	for i := range 10 {
		q.add(Evidence{Error: fmt.Sprint(i)}, []byte{byte(i)})
	}
	var got string
	for _, e := range q.list() {
		got += e.Error
	}
	if got != "789" {
		t.Errorf("kept %s", got)
	}
	at := time.Now()
	for i, want := range []struct {
		after time.Duration
		since int
		tell  bool
	}{{0, 0, true}, {time.Second, 0, false}, {time.Minute, 0, false}, {time.Hour, 2, true}, {time.Hour + 1, 0, false}} {
		since, tell := q.keep(Evidence{From: "0X", Cause: CauseHash, Time: at.Add(want.after)})
		if since != want.since || tell != want.tell {
			t.Errorf("piece %d: told %v with %d before, want %v with %d", i, tell, since, want.tell, want.since)
		}
	}
}

func TestFloodOfGarbageIsNoFloodOfWrites(t *testing.T) {
	q := quarantine{log: quiet(), size: 3}
	now := time.Now()
	count := func() (n int) {
		for range 1000 {
			if q.durable(now) {
				n++
			}
		}
		return n
	}
	for i, want := range []struct {
		after time.Duration
		n     int
	}{{0, keepBurst}, {0, 0}, {keepEach, 1}, {10 * keepEach, 10}, {time.Hour, keepBurst}} {
		if now = now.Add(want.after); count() != want.n {
			t.Errorf("flood %d: not %d pieces went to the disk", i, want.n)
		}
	}
}

func TestBackoffDoublesUpToItsBoundAndStartsAnew(t *testing.T) {
	b := newBackoff(Options{BackoffMin: time.Second, BackoffMax: 5 * time.Second, Seed: 1})
	canceled, cancel := contextThatEnded()
	defer cancel()
	var waits []time.Duration
	for range 5 {
		waits = append(waits, b.next)
		if b.sleep(canceled) {
			t.Fatal("slept though the context had ended")
		}
	}
	if fmt.Sprint(waits) != "[1s 2s 4s 5s 5s]" {
		t.Errorf("waits %v", waits)
	}
	if b.reset(); b.next != time.Second {
		t.Errorf("after a reset %v", b.next)
	}
}
