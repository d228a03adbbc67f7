package replication

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// level is two nodes with the same changesets.
func levelPair(t *testing.T, b *fakeBroker, count int) (x, y *testNode) {
	t.Helper()
	x, y = pair(t, b)
	x.write(count)
	eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
	return x, y
}

func TestDivergenceIsDrilledDownToTheObjectsOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := levelPair(t, newFakeBroker(1), 500)
		wrong := []branch.Dot{{Branch: "0A", Seq: 17}, {Branch: "0A", Seq: 333}}
		y.store.goWrong(5, wrong...)
		found := func(n *testNode) bool { d := n.status().Divergence; return len(d) == 1 && len(d[0].Objects) > 0 }
		eventually(t, 5*time.Minute, "found", func() bool { return found(x) && found(y) })
		want := []string{"0A00017", "0A00333"}
		for n, peer := range map[*testNode]branch.ID{x: "0B", y: "0A"} {
			s := n.status()
			if d := s.Divergence[0]; d.Peer != peer || d.Revision.String() != "0A00500" || d.Since.IsZero() || !slices.Equal(d.Objects, want) {
				t.Errorf("%s says %+v", n.store.me, d)
			}
			if !s.Ready || !s.Writable {
				t.Errorf("%s is ready %v, writable %v: an alarm is no outage", n.store.me, s.Ready, s.Writable)
			}
		}
		y.store.goWrong(^uint64(4), wrong...)
		eventually(t, time.Minute, "cleared", func() bool { return len(x.status().Divergence)+len(y.status().Divergence) == 0 })
		stopAll(x, y)
	})
}

func TestNoMoreThanSixteenObjectsAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := levelPair(t, newFakeBroker(1), 2000)
		for seq := uint64(1); seq <= 1000; seq++ {
			y.store.goWrong(1, branch.Dot{Branch: "0A", Seq: seq})
		}
		eventually(t, 5*time.Minute, "found", func() bool { d := x.status().Divergence; return len(d) == 1 && len(d[0].Objects) > 0 })
		if n := len(x.status().Divergence[0].Objects); n != maxDiverged {
			t.Errorf("%d objects are named", n)
		}
		stopAll(x, y)
	})
}

func TestDivergenceIsFoundThoughWritesGoOnAndMessagesAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := levelPair(t, b, 100)
		y.store.goWrong(5, branch.Dot{Branch: "0A", Seq: 7})
		b.set(func(b *fakeBroker) { b.lose = 0.2 })
		rng := rand.New(rand.NewPCG(1, 1))
		for range 100 {
			x.write(1)
			time.Sleep(time.Duration(rng.IntN(20)) * time.Second)
		}
		eventually(t, 30*time.Minute, "found", func() bool { d := x.status().Divergence; return len(d) == 1 && len(d[0].Objects) > 0 })
		if d := x.status().Divergence[0]; !slices.Equal(d.Objects, []string{"0A00007"}) {
			t.Errorf("%+v", d)
		}
		stopAll(x, y)
	})
}

func TestObjectsThatDifferAreThoseInOneListOnlyOrWithAnotherHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.MapOf(rapid.StringMatching("[a-d]{1,2}"), rapid.Uint64Range(0, 3))
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		list := func(m map[string]uint64) (out []ObjectDigest) {
			for root, hash := range m {
				out = append(out, ObjectDigest{root, hash})
			}
			slices.SortFunc(out, func(a, b ObjectDigest) int { return strings.Compare(a.Root, b.Root) })
			return out
		}
		got := map[string]bool{}
		for _, id := range differing(list(a), list(b)) {
			got[id] = true
		}
		want := map[string]bool{}
		for id, hash := range a {
			if other, both := b[id]; !both || other != hash {
				want[id] = true
			}
		}
		for id := range b {
			if _, both := a[id]; !both {
				want[id] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLongListsOfObjectsTravelInPages(t *testing.T) {
	var all []ObjectDigest
	for i := range 10000 {
		all = append(all, ObjectDigest{fmt.Sprintf("%06d%s", i, strings.Repeat("x", i%500)), uint64(i)})
	}
	var got []ObjectDigest
	for more, after := true, ""; more; {
		var list []ObjectDigest
		list, more = page(all, after)
		body, err := EncodeDigestAnswer(DigestAnswer{From: "0A", Objects: list, More: more})
		if err != nil || len(body) > 1<<20 || len(list) == 0 {
			t.Fatalf("a page of %d objects has %d bytes, %v", len(list), len(body), err)
		}
		back, err := DecodeSync(body)
		if err != nil || back.DigestAnswer.More != more {
			t.Fatalf("%+v, %v", back, err)
		}
		got = append(got, back.DigestAnswer.Objects...)
		after = got[len(got)-1].Root
	}
	if !slices.Equal(all, got) {
		t.Errorf("%d of %d objects came", len(got), len(all))
	}
}

func TestDigestMessagesRoundTripAndBadOnesAreRefused(t *testing.T) {
	bucket := byte(255)
	var sums store.Digest
	sums[0], sums[255] = 1, 1<<63
	request := DigestRequest{ID: 3, From: "0A", Session: "s", Bucket: &bucket, After: "x"}
	answer := DigestAnswer{ID: 3, From: "0A", Revision: rev(t, "0A00001"), Sums: &sums}
	objects := DigestAnswer{ID: 4, From: "0A", Revision: rev(t, "0A00001"), Bucket: 7, Objects: []ObjectDigest{{"a", 1}, {"b", 1 << 63}}, More: true}
	for _, m := range []Sync{{DigestRequest: &request}, {DigestAnswer: &answer}, {DigestAnswer: &objects}} {
		body, err := encodeSync(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeSync(body); err != nil || cmp.Diff(m, got) != "" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for want, w := range map[string]syncWire{
		"no bucket 256":    {Kind: kindDigestRequest, Bucket: 257},
		"no bucket 299":    {Kind: kindDigestAnswer, Bucket: 300},
		"are 3 bytes":      {Kind: kindDigestAnswer, Body: []byte("abc")},
		"is not after":     {Kind: kindDigestAnswer, Bucket: 1, Objects: []objectWire{{Root: "b"}, {Root: "a"}}},
		"the limit is":     {Kind: kindDigestAnswer, Bucket: 1, Objects: make([]objectWire, maxDigestObjects+1)},
		"branch id":        {Kind: kindDigestAnswer, Revision: "x"},
		"does not know":    {Kind: 99},
		"has 3 bytes":      {Kind: kindSnapshotRequest, Snapshot: []byte("abc")},
		"has a chunk":      {Kind: kindSnapshotRequest, Number: 1 << 60},
		"beyond the limit": {Kind: kindSnapshotChunk, Size: 1 << 60},
		"has no chunk 9":   {Kind: kindSnapshotChunk, Verdict: uint64(SnapshotData), Size: 1000, Number: 9},
		"has 0 bytes":      {Kind: kindSnapshotChunk, Verdict: uint64(SnapshotData), Size: 1000},
		"hash sent with":   {Kind: kindSnapshotChunk, Verdict: uint64(SnapshotData), Size: 3, Body: []byte("abc")},
	} {
		w.Version, w.From = 1, "0A"
		body, err := encodeWire("test", w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeSync(body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}

// encodeSync writes any message of a sync queue.
func encodeSync(m Sync) ([]byte, error) {
	switch {
	case m.Request != nil:
		return EncodeRequest(*m.Request)
	case m.Chunk != nil:
		return EncodeChunk(*m.Chunk)
	case m.SnapshotRequest != nil:
		return EncodeSnapshotRequest(*m.SnapshotRequest)
	case m.SnapshotChunk != nil:
		return EncodeSnapshotChunk(*m.SnapshotChunk)
	case m.DigestRequest != nil:
		return EncodeDigestRequest(*m.DigestRequest)
	default:
		return EncodeDigestAnswer(*m.DigestAnswer)
	}
}

func TestSnapshotMessagesRoundTrip(t *testing.T) {
	id := SnapshotID{1, 31: 2}
	for _, m := range []Sync{
		{SnapshotRequest: &SnapshotRequest{ID: 1, From: "0A", Session: "s", Credits: 1}},
		{SnapshotRequest: &SnapshotRequest{ID: 1, From: "0A", Session: "s", Snapshot: id, At: 77, Credits: 32}},
		{SnapshotChunk: &SnapshotChunk{ID: 1, From: "0A", Verdict: SnapshotOffered, Snapshot: id, Size: 1 << 40, Revision: rev(t, "0A00001"), Last: true}},
		{SnapshotChunk: &SnapshotChunk{ID: 1, From: "0A", Verdict: SnapshotData, Snapshot: id, Size: snapshotChunk + 3, At: 1, Body: []byte("end")}},
		{SnapshotChunk: &SnapshotChunk{ID: 1, From: "0A", Verdict: SnapshotPreparing, Last: true}},
	} {
		body, err := encodeSync(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeSync(body); err != nil || cmp.Diff(m, got) != "" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for v, want := range map[SnapshotVerdict]string{SnapshotOffered: "offered", SnapshotData: "data", SnapshotPreparing: "preparing",
		SnapshotGone: "gone", SnapshotNoRoom: "no-room", SnapshotRefused: "refused", 0: "verdict 0", 9: "verdict 9"} {
		if v.String() != want {
			t.Errorf("%s, want %s", v, want)
		}
	}
}
