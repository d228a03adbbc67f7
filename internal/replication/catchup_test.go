package replication

import (
	"bytes"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// noise is text that does not compress.
func noise(size int) string {
	rng := rand.New(rand.NewPCG(uint64(size), 1))
	text := make([]byte, size)
	for i := range text {
		text[i] = byte('!' + rng.IntN(90))
	}
	return string(text)
}

func TestLargeChangesetTravelsInPartsOfWhichNoneIsLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x := newTestNode(t, b, "0A", Options{Seed: 1}).start()
		eventually(t, time.Minute, "ready", x.ready)
		for _, size := range []int{10, 5 << 20, 10, 3 << 20, 10} {
			if _, err := x.store.write(noise(size)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, time.Minute, "published", func() bool { n, _ := x.store.Outbox("main"); return n == 0 })
		largest, parts := 0, 0
		b.set(func(b *fakeBroker) {
			b.lose = 0.1
			b.filter = func(to Destination, m Message) bool {
				if strings.HasPrefix(to.Name, "CH.sync.") {
					largest = max(largest, len(m.Body))
					if s, err := DecodeSync(m.Body); err == nil && s.Chunk != nil && s.Chunk.Parts > 0 {
						parts++
					}
				}
				return false
			}
		})
		y := newTestNode(t, b, "0B", Options{Seed: 2, Credits: 2}).start()
		eventually(t, 30*time.Minute, "level", func() bool { return converged(x, y) })
		if largest > 1<<20 || parts < 10 {
			t.Errorf("the largest of the messages has %d bytes, %d were parts", largest, parts)
		}
		stopAll(x, y)
	})
}

func TestBodyOfWhichAPartIsLostIsNotOpened(t *testing.T) {
	body, err := changeset.Pack(envelopesOf(t, newFakeStoreWith(t, "0B", 50), 1, 50))
	if err != nil {
		t.Fatal(err)
	}
	third := len(body) / 3
	part := func(number, part int) *Chunk {
		pieces := [][]byte{body[:third], body[third : 2*third], body[2*third:]}
		return &Chunk{Number: number, Part: part, Parts: 3, Body: pieces[part-1]}
	}
	small := &Chunk{Number: 2, Body: mustPack(t, envelopesOf(t, newFakeStoreWith(t, "0C", 1), 1, 1))}
	for name, tc := range map[string]struct {
		chunks []*Chunk
		opened int
	}{
		"all parts":             {[]*Chunk{part(1, 1), part(2, 2), part(3, 3)}, 50},
		"the first is lost":     {[]*Chunk{part(2, 2), part(3, 3)}, 0},
		"the second is lost":    {[]*Chunk{part(1, 1), part(3, 3)}, 0},
		"the last is lost":      {[]*Chunk{part(1, 1), part(2, 2), {Number: 4, Body: small.Body}}, 1},
		"another in between":    {[]*Chunk{part(1, 1), small, part(3, 2), part(4, 3)}, 1},
		"again after a loss":    {[]*Chunk{part(1, 1), part(3, 3), part(4, 1), part(5, 2), part(6, 3)}, 50},
		"the same number twice": {[]*Chunk{part(1, 1), part(2, 2), part(3, 2), part(4, 3)}, 0},
	} {
		a, opened := &asking{}, 0
		for _, c := range tc.chunks {
			list, err := a.open(c)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			opened += len(list)
		}
		if opened != tc.opened {
			t.Errorf("%s: %d changesets, want %d", name, opened, tc.opened)
		}
	}
}

func mustPack(t *testing.T, list []changeset.Envelope) []byte {
	t.Helper()
	body, err := changeset.Pack(list)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestEndlessPartsAreNotCollected(t *testing.T) {
	a, piece := &asking{}, make([]byte, partBytes)
	for i := range maxParts {
		_, err := a.open(&Chunk{Number: i + 1, Part: i + 1, Parts: maxParts, Body: piece})
		if err != nil {
			if !strings.Contains(err.Error(), "larger than") {
				t.Error(err)
			}
			return
		}
		if len(a.parts) > changeset.DefaultLimits().MessageBytes {
			t.Fatalf("%d bytes are collected", len(a.parts))
		}
	}
	t.Error("a body beyond all limits was taken")
}

func TestMoreIsGrantedBeforeTheCreditsAreUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, theirs, _, tr, q := behind(t)
		for i := range 8 { // half of the 16
			answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: i + 1}, envelopesOf(t, theirs, uint64(i+1), uint64(i+1))...)
		}
		waitFor(t, "granted", func() bool { return len(requestsTo(t, tr, "0B")) == 2 })
		if g := requestsTo(t, tr, "0B")[1]; !g.Grant || g.ID != q.ID || g.Credits != 8 || g.Session != "peer" || len(g.Ranges) > 0 {
			t.Errorf("granted %+v", g)
		}
	})
}

func TestBelowFloorIsNoSuccessAndAnotherPeerIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs, r, tr, q := behind(t)
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1, Last: true, Outcomes: []Outcome{{Range{"0B", 1, 10}, BelowFloor}}})
		waitFor(t, "judged", func() bool { return testutil.ToFloat64(r.metrics.requests.WithLabelValues("main", "below-floor")) == 1 })
		third := newFakeStore("0C")
		copyAll(t, theirs, third)
		hear(t, tr, peerBeacon(third, 1))
		waitFor(t, "another asked", func() bool { return len(requestsTo(t, tr, "0C")) == 1 })
		if s := r.Status(); s.Ready || len(mine.Revision()) > 0 {
			t.Errorf("ready %v with %s", s.Ready, mine.Revision())
		}
	})
}

// trimming is a store whose log loses what it is asked for while it answers.
type trimming struct {
	*fakeStore
	from uint64
}

func (s *trimming) Range(ctx context.Context, id branch.ID, from, to uint64, maxBytes int) ([]changeset.Envelope, error) {
	if from >= s.from {
		return nil, &store.CompactedError{}
	}
	return s.fakeStore.Range(ctx, id, from, min(to, s.from-1), maxBytes)
}

func TestWhatLeavesTheLogDuringAnAnswerIsSaidToBeBelowTheFloor(t *testing.T) {
	s := &trimming{newFakeStoreWith(t, "0A", 10), 4}
	m, err := newMerge(t.Context(), s, []Range{{"0A", 1, 10}})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := m.chunk(1 << 20); err != nil || len(list) != 3 || !m.exhausted() {
		t.Fatalf("%d changesets, %v", len(list), err)
	}
	if got := m.outcomes(); !slices.Equal(got, []Outcome{{Range{"0A", 1, 3}, Have}, {Range{"0A", 4, 10}, BelowFloor}}) {
		t.Errorf("%v", got)
	}
}

func TestOnlyWhatNoLivingLogHasNeedsASnapshot(t *testing.T) {
	with := func(id branch.ID, revision, floor string) Beacon {
		b := beaconOf(t, id, revision)
		b.Floor = rev(t, floor)
		return b
	}
	var p peers
	p.heard(noon, with("0B", "0A00010,0B00010", "0A00005"))
	p.heard(noon, with("0C", "0A00010,0B00010", "0A00009,0B00003"))
	want := []Range{{"0A", 3, 10}, {"0A", 6, 10}, {"0B", 1, 10}, {"0D", 1, 2}}
	if got := p.beyondLogs(noon, want); !slices.Equal(got, []Range{{"0A", 3, 10}}) {
		t.Errorf("%v", got)
	}
	again := with("0C", "0A00010,0B00010", "0A00009,0B00003")
	again.Count = 2
	p.heard(noon.Add(time.Hour), again) // and 0B has been silent for an hour
	if got := p.beyondLogs(noon.Add(time.Hour), want); !slices.Equal(got, want[:3]) {
		t.Errorf("with 0C alone: %v", got)
	}
}

func TestDonorIsOneThatCoversMostTheLessBusyTheLikelier(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var p peers
	for id, revision := range map[branch.ID]string{"0B": "0A01000", "0C": "0A00990", "0D": "0A00100", "0E": "0A01000", "0F": "0X00001"} {
		b := beaconOf(t, id, revision)
		if id == "0E" {
			b.Load = 9
		}
		p.heard(noon, b)
	}
	count := func() map[branch.ID]int {
		got := map[branch.ID]int{}
		for range 2100 {
			if d := p.chooseDonor(noon, []Range{{"0A", 1, 1000}}, rng); d != nil {
				got[d.Branch]++
			}
		}
		return got
	}
	if got := count(); got["0B"] < 850 || got["0C"] < 850 || got["0E"] < 50 || got["0E"] > 200 || got["0D"]+got["0F"] > 0 {
		t.Errorf("chosen %v of 2100", got)
	}
	p.byBranch["0B"].noSnapshot, p.byBranch["0C"].noSnapshot = noon.Add(time.Second), noon.Add(time.Second)
	if got := count(); got["0E"] != 2100 {
		t.Errorf("when two had none: %v", got)
	}
	if d := p.chooseDonor(noon.Add(time.Hour), []Range{{"0A", 1, 1000}}, rng); d != nil {
		t.Errorf("%s is silent", d.Branch)
	}
}

// TestReturningNodeGivesPeersWhatABrokerConfirmedAndLost: what was confirmed is
// not published again, so only beacons and requests can bring it back.
func TestReturningNodeGivesPeersWhatABrokerConfirmedAndLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		y.stop()
		x.write(25)
		eventually(t, time.Minute, "confirmed", func() bool { n, _ := x.store.Outbox("main"); return n == 0 })
		time.Sleep(time.Second) // until the cursor is durable
		x.stop()
		b.crash(true)
		b.up()
		before := b.messages()
		y.start()
		x.start()
		eventually(t, time.Minute, "level", func() bool { return converged(x, y) })
		if n := b.messages() - before; n != 0 {
			t.Errorf("%d messages were published again, which proves nothing", n)
		}
		stopAll(x, y)
	})
}

func TestGarbageInTheSyncQueueIsQuarantinedAndHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, theirs := usedStore(t, 3), newFakeStoreWith(t, "0B", 10)
		r, tr := soloNode(t, s, Options{SnapshotDir: t.TempDir(), QuarantineSize: 1000})
		queue := Destination{Queue, "CH.sync.0A"}
		rng := rand.New(rand.NewPCG(1, 1))
		good, err := EncodeSnapshotChunk(SnapshotChunk{ID: 1, From: "0B", Verdict: SnapshotData, Snapshot: SnapshotID{1}, Size: 5, Body: []byte("12345")})
		if err != nil {
			t.Fatal(err)
		}
		bad := 0
		send := func(contentType string, body []byte) {
			bad++
			acked := tr.deliver(t.Context(), queue, Message{From: "0B", ContentType: contentType, Body: body})
			select {
			case <-acked:
			default:
				t.Errorf("%.20q was not acknowledged: it would come for ever", body)
			}
		}
		send("text/plain", good)
		send(SyncContentType, nil)
		send(SyncContentType, bytes.Repeat([]byte{0x81}, 100))
		send(SyncContentType, make([]byte, maxSyncBytes+1))
		send(SyncContentType, bytes.Replace(good, []byte("12345"), []byte("12346"), 1))
		for range 50 {
			junk := make([]byte, rng.IntN(300))
			for i := range junk {
				junk[i] = byte(rng.Uint32())
			}
			send(SyncContentType, junk)
		}
		if n := testutil.CollectAndCount(r.metrics.quarantined); n == 0 {
			t.Error("nothing was counted")
		}
		if n := len(r.Quarantine()); n == 0 || n > bad {
			t.Errorf("%d pieces of evidence of %d", n, bad)
		}
		// Well formed, and not asked for.
		for _, m := range []Sync{
			{SnapshotChunk: &SnapshotChunk{From: "0B", Verdict: SnapshotOffered, Snapshot: sha256.Sum256(nil), Size: 1}},
			{DigestAnswer: &DigestAnswer{From: "0B", Sums: &store.Digest{}}}, {Chunk: &Chunk{From: "0B", Number: 1, Last: true}},
			{DigestRequest: &DigestRequest{From: "0B", Session: "stale"}}, {SnapshotRequest: &SnapshotRequest{From: "0B", Session: "stale"}},
			{Request: &Request{From: "0B", Session: r.session, Credits: 5, Grant: true}},
		} {
			body, err := encodeSync(m)
			if err != nil {
				t.Fatal(err)
			}
			tr.deliver(t.Context(), queue, Message{From: "0B", ContentType: SyncContentType, Body: body})
		}
		hear(t, tr, peerBeacon(theirs, 1))
		waitFor(t, "goes on", func() bool { return len(requestsTo(t, tr, "0B")) == 1 })
		answer(t, tr, Chunk{ID: requestsTo(t, tr, "0B")[0].ID, From: "0B", Number: 1, Last: true, Outcomes: []Outcome{{Range{"0B", 1, 10}, Have}}},
			envelopesOf(t, theirs, 1, 10)...)
		waitFor(t, "level", func() bool { return s.Revision().At("0B") == 10 })
	})
}

// TestManyMissedChangesetsFlowInWithoutPauses: an answer goes on while its
// chunks are applied, and so few requests bring much.
func TestManyMissedChangesetsFlowInWithoutPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x := newTestNode(t, b, "0A", Options{Seed: 1, ChunkBytes: 2000}).start()
		eventually(t, time.Minute, "ready", x.ready)
		x.write(5000)
		eventually(t, time.Minute, "published", func() bool { n, _ := x.store.Outbox("main"); return n == 0 })
		time.Sleep(time.Second)
		y := newTestNode(t, b, "0B", Options{Seed: 2}).start()
		eventually(t, time.Minute, "level", func() bool { return converged(x, y) })
		chunks := testutil.ToFloat64(x.repl.metrics.answered.WithLabelValues("main")) / 26
		if n := testutil.ToFloat64(y.repl.metrics.requests.WithLabelValues("main", "have")); n > 2 || chunks < 100 {
			t.Errorf("%v requests were needed for about %v chunks", n, chunks)
		}
		stopAll(x, y)
	})
}
