package replication

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// hear delivers a beacon to a node over its scripted transport.
func hear(t *testing.T, tr *scripted, b Beacon) {
	t.Helper()
	body, err := EncodeBeacon(b)
	if err != nil {
		t.Fatal(err)
	}
	tr.deliver(t.Context(), Destination{Topic, "CH.beacon"}, Message{From: b.Branch, ContentType: BeaconContentType, Body: body})
}

// peerBeacon is a beacon of 0B that has everything of a store.
func peerBeacon(s *fakeStore, count uint64) Beacon {
	revision, digest := s.Snapshot()
	return Beacon{Branch: s.me, Incarnation: "i", Session: "peer", Count: count, Every: 10 * time.Second, Revision: revision, Digest: digest.String()}
}

// requestsTo reads the requests a node sent to a peer.
func requestsTo(t *testing.T, tr *scripted, peer branch.ID) (out []Request) {
	t.Helper()
	for _, m := range tr.on("CH.sync." + string(peer)) {
		s, err := DecodeSync(m.m.Body)
		if err != nil || s.Request == nil {
			t.Fatalf("sync message %+v, %v", s, err)
		}
		out = append(out, *s.Request)
	}
	return out
}

// answer delivers a chunk to the node 0A.
func answer(t *testing.T, tr *scripted, c Chunk, envelopes ...changeset.Envelope) chan struct{} {
	t.Helper()
	if len(envelopes) > 0 {
		c.Body = packed(t, c.From, envelopes...).Body
	}
	body, err := EncodeChunk(c)
	if err != nil {
		t.Fatal(err)
	}
	return tr.deliver(t.Context(), Destination{Queue, "CH.sync.0A"}, Message{From: c.From, ContentType: SyncContentType, Body: body})
}

// behind starts a node that lacks ten changesets of 0B, and waits for its request.
func behind(t *testing.T) (mine, theirs *fakeStore, r *Replicator, tr *scripted, q Request) {
	t.Helper()
	mine, theirs = usedStore(t, 0), newFakeStoreWith(t, "0B", 10)
	r, tr = soloNode(t, mine, Options{})
	hear(t, tr, peerBeacon(theirs, 1))
	waitFor(t, "asked", func() bool { return len(requestsTo(t, tr, "0B")) == 1 })
	return mine, theirs, r, tr, requestsTo(t, tr, "0B")[0]
}

func envelopesOf(t *testing.T, s *fakeStore, from, to uint64) []changeset.Envelope {
	t.Helper()
	list, err := s.Range(t.Context(), s.me, from, to, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRequestNamesTheRangesThePeersSessionAndTheCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, _, _, tr, q := behind(t)
		if q.From != "0A" || q.Session != "peer" || q.Credits != 16 || !slices.Equal(q.Ranges, []Range{{"0B", 1, 10}}) {
			t.Errorf("request %+v", q)
		}
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("asked after %v, before the discovery had ended", took)
		}
		if m := tr.on("CH.sync.0B")[0]; m.m.Persistent || m.m.TTL == 0 || m.to.Kind != Queue {
			t.Errorf("a request travels as %+v to %+v", m.m, m.to)
		}
	})
}

func TestChunksAreAppliedAsTheyComeAndTheirMessagesAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs, r, tr, q := behind(t)
		acked := answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1}, envelopesOf(t, theirs, 1, 4)...)
		waitFor(t, "first chunk applied", func() bool { return mine.Revision().At("0B") == 4 })
		select {
		case <-acked:
		case <-time.After(time.Second):
			t.Error("the chunk's message was not acknowledged")
		}
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 2, Last: true, Outcomes: []Outcome{{Range{"0B", 1, 10}, Have}}}, envelopesOf(t, theirs, 5, 10)...)
		waitFor(t, "caught up", func() bool { return r.Status().Ready })
		if n := testutil.ToFloat64(r.metrics.requests.WithLabelValues("main", "have")); n != 1 {
			t.Errorf("%v requests ended well", n)
		}
		if n := len(requestsTo(t, tr, "0B")); n != 1 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestWhatIsLeftAfterTheCreditsIsAskedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, theirs, _, tr, q := behind(t)
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1, Last: true, Outcomes: []Outcome{{Range{"0B", 1, 4}, Have}, {Range{"0B", 5, 10}, More}}},
			envelopesOf(t, theirs, 1, 4)...)
		eventually(t, 100*time.Millisecond, "asked for the rest", func() bool { return len(requestsTo(t, tr, "0B")) == 2 })
		if again := requestsTo(t, tr, "0B")[1]; !slices.Equal(again.Ranges, []Range{{"0B", 5, 10}}) || again.ID == q.ID {
			t.Errorf("second request %+v", again)
		}
	})
}

func TestAnswersNobodyWaitsForAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs, r, tr, q := behind(t)
		all := envelopesOf(t, theirs, 1, 10)
		answer(t, tr, Chunk{ID: q.ID + 1, From: "0B", Number: 1}, all...) // another request
		answer(t, tr, Chunk{ID: q.ID, From: "0C", Number: 1}, all...)     // another peer
		time.Sleep(time.Second)
		if n, _ := mine.count(); n != 0 {
			t.Errorf("%d changesets of foreign answers were applied", n)
		}
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 2}, all[:2]...)
		waitFor(t, "applied", func() bool { return mine.Revision().At("0B") == 2 })
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1}, all[:5]...) // late
		time.Sleep(time.Second)
		if at := mine.Revision().At("0B"); at != 2 {
			t.Errorf("a late chunk was applied: %d", at)
		}
		if len(r.Quarantine()) > 0 {
			t.Errorf("harmless answers were quarantined: %+v", r.Quarantine())
		}
	})
}

func TestMalformedChunkIsQuarantinedAndThePeerAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, theirs, r, tr, q := behind(t)
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1, Body: []byte("no container")})
		waitFor(t, "evidence", func() bool { return len(r.Quarantine()) == 1 })
		third := newFakeStore("0C")
		copyAll(t, theirs, third)
		b := peerBeacon(third, 1)
		hear(t, tr, b)
		waitFor(t, "another peer asked", func() bool { return len(requestsTo(t, tr, "0C")) == 1 })
		if n := len(requestsTo(t, tr, "0B")); n != 1 {
			t.Errorf("0B was asked %d times", n)
		}
	})
}

func TestPeerThatKnowsNothingIsAvoidedAndNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, theirs, r, tr, q := behind(t)
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1, Last: true, Outcomes: []Outcome{{Range{"0B", 1, 10}, Unknown}}})
		for i := range 30 {
			time.Sleep(time.Second)
			hear(t, tr, peerBeacon(theirs, uint64(i+2)))
		}
		if n := len(requestsTo(t, tr, "0B")); n != 1 {
			t.Errorf("asked %d times within the avoidance", n)
		}
		if n := testutil.ToFloat64(r.metrics.requests.WithLabelValues("main", "unknown")); n != 1 {
			t.Errorf("counted %v", n)
		}
	})
}

func TestEmptyAnswerIsNotASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, r, tr, q := behind(t)
		answer(t, tr, Chunk{ID: q.ID, From: "0B", Number: 1, Last: true})
		waitFor(t, "judged", func() bool { return testutil.ToFloat64(r.metrics.requests.WithLabelValues("main", "unknown")) == 1 })
	})
}

func TestRequestsOfAnEarlierProcessAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 5)
		r, tr := soloNode(t, s, Options{})
		ask := func(session string) {
			body, err := EncodeRequest(Request{ID: 1, From: "0B", Session: session, Ranges: []Range{{"0A", 1, 5}}, Credits: 4})
			if err != nil {
				t.Fatal(err)
			}
			tr.deliver(t.Context(), Destination{Queue, "CH.sync.0A"}, Message{From: "0B", ContentType: SyncContentType, Body: body})
		}
		ask("yesterday")
		time.Sleep(time.Second)
		if n := len(tr.on("CH.sync.0B")); n != 0 {
			t.Errorf("%d answers to an old request", n)
		}
		ask(r.session)
		waitFor(t, "answered", func() bool { return len(tr.on("CH.sync.0B")) == 1 })
		m, err := DecodeSync(tr.on("CH.sync.0B")[0].m.Body)
		if c := m.Chunk; err != nil || !c.Last || c.Number != 1 || !slices.Equal(c.Outcomes, []Outcome{{Range{"0A", 1, 5}, Have}}) {
			t.Errorf("answer %+v, %v", m.Chunk, err)
		}
	})
}

// chunksTo reads the chunks a node sent to a peer.
func chunksTo(t *testing.T, tr *scripted, peer branch.ID) (out []Chunk) {
	t.Helper()
	for _, m := range tr.on("CH.sync." + string(peer)) {
		s, err := DecodeSync(m.m.Body)
		if err != nil || s.Chunk == nil {
			t.Fatalf("sync message %+v, %v", s, err)
		}
		out = append(out, *s.Chunk)
	}
	return out
}

func TestAnswerIsNeverFurtherAheadOfTheBrokerThanItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 100)
		r, tr := soloNode(t, s, Options{ChunkBytes: 1000, RequestTimeout: time.Minute})
		r.links[0].answerer.enqueue(Request{ID: 1, From: "0B", Session: r.session, Ranges: []Range{{"0A", 1, 100}}, Credits: 9})
		for i := range 5 {
			waitFor(t, "a chunk", func() bool { return len(tr.on("CH.sync.0B")) == i+flowWindow })
			time.Sleep(time.Second)
			if n := len(tr.on("CH.sync.0B")); n != i+flowWindow {
				t.Fatalf("%d chunks, though the broker has confirmed %d", n, i)
			}
			tr.on("CH.sync.0B")[i].verdict <- nil
		}
	})
}

func TestAnswerStopsAtTheCreditsAndGoesOnWithMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 100)
		r, tr := soloNode(t, s, Options{ChunkBytes: 1000, RequestTimeout: time.Hour})
		tr.confirm()
		a := r.links[0].answerer
		a.enqueue(Request{ID: 1, From: "0B", Session: r.session, Ranges: []Range{{"0A", 1, 100}}, Credits: 3})
		waitFor(t, "two chunks", func() bool { return len(tr.on("CH.sync.0B")) == 2 })
		a.enqueue(Request{ID: 2, From: "0B", Session: r.session, Credits: 7, Grant: true}) // of another answer
		a.enqueue(Request{ID: 1, From: "0B", Session: r.session, Credits: 2, Grant: true})
		waitFor(t, "the answer", func() bool { return len(tr.on("CH.sync.0B")) == 5 })
		time.Sleep(time.Minute)
		sent := chunksTo(t, tr, "0B")
		last := sent[len(sent)-1]
		if len(sent) != 5 || !last.Last || len(last.Outcomes) != 2 || last.Outcomes[1].Verdict != More {
			t.Errorf("%d chunks, the last %+v", len(sent), last)
		}
		for i, c := range sent {
			if c.Number != i+1 || c.Last != (i == 4) {
				t.Errorf("chunk %d: %+v", i, c)
			}
		}
	})
}

func TestNobodyWaitsLongBehindAnAnswerWithManyCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 3000)
		r, tr := soloNode(t, s, Options{ChunkBytes: 1, RequestTimeout: time.Hour})
		tr.confirm()
		a := r.links[0].answerer
		ask := func(peer branch.ID, grant bool) {
			a.enqueue(Request{ID: 1, From: peer, Session: r.session, Ranges: []Range{{"0A", 1, 3000}}, Credits: 32, Grant: grant})
		}
		ask("0B", false)
		time.Sleep(time.Millisecond)
		for range 10 {
			ask("0B", true)
		}
		ask("0C", false)
		waitFor(t, "0C answered", func() bool { return len(tr.on("CH.sync.0C")) == 32 })
		if n := len(tr.on("CH.sync.0B")); n < 32 || n > fairChunks+32 {
			t.Errorf("0B got %d chunks before 0C got its own", n)
		}
		sent := chunksTo(t, tr, "0B")
		if last := sent[len(sent)-1]; !last.Last || last.Outcomes[1].Verdict != More {
			t.Errorf("the answer to 0B ended with %+v", last)
		}
	})
}

func TestRequestsBeyondTheQueueAreDropped(t *testing.T) {
	s := usedStore(t, 1)
	r, err := New(s, []LinkConfig{{Name: "main", Channel: "CH", Transport: newScripted()}}, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * requestQueue { // nobody answers: must not block
		r.links[0].answerer.enqueue(Request{Session: r.session})
	}
	if n := len(r.links[0].answerer.requests); n != requestQueue {
		t.Errorf("%d requests wait", n)
	}
}

func TestOnlyWhatIsNotPendingIsAskedFor(t *testing.T) {
	dot := func(id branch.ID, seq uint64) branch.Dot { return branch.Dot{Branch: id, Seq: seq} }
	for name, tc := range map[string]struct {
		want    Range
		missing []branch.Dot
		to      uint64
	}{
		"nothing pending":               {Range{"0B", 3, 20}, nil, 20},
		"the rest is pending":           {Range{"0B", 3, 20}, []branch.Dot{dot("0B", 5)}, 5},
		"two holes":                     {Range{"0B", 3, 20}, []branch.Dot{dot("0B", 5), dot("0B", 9)}, 9},
		"another branch is waited for":  {Range{"0B", 3, 20}, []branch.Dot{dot("0C", 5)}, 20},
		"something later is waited for": {Range{"0B", 3, 20}, []branch.Dot{dot("0B", 30)}, 20},
		"something applied":             {Range{"0B", 3, 20}, []branch.Dot{dot("0B", 2)}, 20},
	} {
		if got := narrow([]Range{tc.want}, tc.missing); got[0].To != tc.to || got[0].From != tc.want.From {
			t.Errorf("%s: %+v, want up to %d", name, got[0], tc.to)
		}
	}
}

func TestChangesetThatWaitsForOneOfOursProvesThatOursIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := newFakeStoreWith(t, "0A", 4)
		theirs := newFakeStore("0B")
		copyAll(t, lost, theirs)
		if _, err := theirs.write("after"); err != nil {
			t.Fatal(err)
		}
		mine := usedStore(t, 0) // says that it was in use, and has nothing: an old backup
		r, tr := soloNode(t, mine, Options{})
		tr.deliver(t.Context(), Destination{Topic, "CH"}, packed(t, "0B", envelopesOf(t, theirs, 1, 1)...))
		waitFor(t, "refused", func() bool { return r.Status().Reason == "BranchAhead" })
		if s := r.Status(); s.Writable {
			t.Error("writes are taken under a branch that is ahead of its store")
		}
	})
}
