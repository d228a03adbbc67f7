package replication

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

func contextThatEnded() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx, cancel
}

func genRevision(t *rapid.T, label string) branch.Revision {
	var r branch.Revision
	for _, seq := range rapid.MapOf(rapid.SampledFrom([]branch.ID{"0A", "0B", "1C", "ZZ"}), rapid.Uint64Range(1, 1<<60)).Draw(t, label) {
		r = r.With(branch.Dot{Branch: rapid.SampledFrom([]branch.ID{"0A", "0B", "1C", "ZZ"}).Draw(t, "id"), Seq: seq})
	}
	return r
}

func TestBeaconsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Beacon{
			Branch: "0A", Incarnation: rapid.StringN(0, 30, 60).Draw(t, "incarnation"), Session: "s" + rapid.StringN(0, 30, 60).Draw(t, "session"),
			Count: rapid.Uint64Range(1, 1<<40).Draw(t, "count"), Hello: rapid.Bool().Draw(t, "hello"),
			Every:    time.Duration(rapid.IntRange(0, 3600_000).Draw(t, "every")) * time.Millisecond,
			Revision: genRevision(t, "revision"), Digest: rapid.StringMatching("[0-9a-f]{0,64}").Draw(t, "digest"),
			Pending: rapid.Uint64().Draw(t, "pending"), Missing: genRevision(t, "missing"), Floor: genRevision(t, "floor"), Beyond: genRevision(t, "beyond"),
		}
		data, err := EncodeBeacon(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeBeacon(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestBeaconOfALaterVersionIsReadAsFarAsThisOneGoes(t *testing.T) {
	data, err := encodeWire("beacon", map[int]any{0: 9, 1: "0A", 3: "s", 4: 1, 6: 1000, 7: "0A00001", 99: "news"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := DecodeBeacon(data)
	if err != nil || b.Revision.String() != "0A00001" {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestBadBeaconsAreRefusedWithWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		wire any
		want string
	}{
		"no version":           {beaconWire{Branch: "0A", Session: "s", Count: 1}, "no version"},
		"no session":           {beaconWire{Version: 1, Branch: "0A", Count: 1}, "no session"},
		"no count":             {beaconWire{Version: 1, Branch: "0A", Session: "s"}, "no session or count"},
		"bad branch":           {beaconWire{Version: 1, Branch: "../x", Session: "s", Count: 1}, "branch id"},
		"bad revision":         {beaconWire{Version: 1, Branch: "0A", Session: "s", Count: 1, Revision: "0B1,0A1"}, "not after"},
		"long revision":        {beaconWire{Version: 1, Branch: "0A", Session: "s", Count: 1, Revision: strings.Repeat("0", maxRevisionText+1)}, "longer than"},
		"bad floor":            {beaconWire{Version: 1, Branch: "0A", Session: "s", Count: 1, Floor: "x"}, "branch id"},
		"bad dot":              {beaconWire{Version: 1, Branch: "0A", Session: "s", Count: 1, Missing: []string{"x"}}, "dot"},
		"many dots":            {beaconWire{Version: 1, Branch: "0A", Session: "s", Count: 1, Missing: make([]string, 17)}, "limit is 16"},
		"long digest":          {beaconWire{Version: 1, Branch: "0A", Session: "s", Count: 1, Digest: strings.Repeat("a", 129)}, "longer than 128"},
		"another kind of data": {"text", "decoding beacon"},
	} {
		data, err := encodeWire("test", tc.wire)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeBeacon(data); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, tc.want)
		}
	}
	if _, err := DecodeBeacon(make([]byte, maxBeaconBytes+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("oversized: %v", err)
	}
}

func TestRequestsAndChunksRoundTrip(t *testing.T) {
	request := Request{ID: 7, From: "0A", Session: "abc", Ranges: []Range{{"0B", 1, 9}, {"0C", 4, 4}}, Credits: 16}
	data, err := EncodeRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeSync(data)
	if err != nil || cmp.Diff(Sync{Request: &request}, got) != "" {
		t.Errorf("request %+v, %v", got, err)
	}
	chunk := Chunk{ID: 7, From: "0B", Number: 3, Last: true, Body: []byte("body"), Outcomes: []Outcome{
		{Range{"0B", 1, 5}, Have}, {Range{"0B", 6, 9}, More}, {Range{"0C", 4, 4}, Unknown}, {Range{"0D", 1, 1}, BelowFloor}}}
	if data, err = EncodeChunk(chunk); err != nil {
		t.Fatal(err)
	}
	back, err := DecodeSync(data)
	if err != nil || cmp.Diff(Sync{Chunk: &chunk}, back) != "" {
		t.Errorf("chunk %+v, %v", back, err)
	}
}

func TestBadSyncMessagesAreRefusedWithWhatIsWrong(t *testing.T) {
	good, err := EncodeChunk(Chunk{ID: 1, From: "0A", Number: 1, Body: []byte("some body")})
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[bytes.Index(good, []byte("some body"))] ^= 1
	encode := func(w syncWire) []byte {
		data, err := encodeWire("test", w)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"flipped bit":   {flipped, "hash"},
		"cut off":       {good[:len(good)-1], "decoding sync message"},
		"no version":    {encode(syncWire{From: "0A", Credits: 1}), "no version"},
		"bad sender":    {encode(syncWire{Version: 1, From: "a", Credits: 1}), "branch id"},
		"bad branch":    {encode(syncWire{Version: 1, From: "0A", Credits: 1, Ranges: []rangeWire{{Branch: "x", From: 1, To: 1}}}), "branch id"},
		"empty range":   {encode(syncWire{Version: 1, From: "0A", Credits: 1, Ranges: []rangeWire{{Branch: "0A", From: 2, To: 1}}}), "is empty"},
		"from zero":     {encode(syncWire{Version: 1, From: "0A", Credits: 1, Ranges: []rangeWire{{Branch: "0A", To: 1}}}), "is empty"},
		"no number":     {encode(syncWire{Version: 1, From: "0A"}), "number 0"},
		"a high number": {encode(syncWire{Version: 1, From: "0A", Number: 1 << 40}), "number"},
		"nothing":       {nil, "decoding sync message"},
	} {
		if _, err := DecodeSync(tc.data); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, tc.want)
		}
	}
}

func TestCreditsOfARequestAreBounded(t *testing.T) {
	data, err := EncodeRequest(Request{From: "0A", Credits: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeSync(data); err != nil || got.Request.Credits != maxCredits {
		t.Errorf("%+v, %v", got, err)
	}
}

// kinds names the fields that are not nil.
func (s Sync) kinds() (out []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"request", s.Request != nil}, {"chunk", s.Chunk != nil},
		{"snapshot request", s.SnapshotRequest != nil}, {"snapshot chunk", s.SnapshotChunk != nil},
		{"digest request", s.DigestRequest != nil}, {"digest answer", s.DigestAnswer != nil},
	} {
		if f.set {
			out = append(out, f.name)
		}
	}
	return out
}

func FuzzDecodeBeacon(f *testing.F) {
	good, err := EncodeBeacon(Beacon{Branch: "0A", Session: "s", Count: 1, Revision: branch.Revision{{Branch: "0A", Seq: 3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBeacon(data)
		if err != nil {
			return
		}
		again, err := EncodeBeacon(b)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := DecodeBeacon(again); err != nil || !c.Revision.Equal(b.Revision) {
			t.Fatalf("%+v became %+v, %v", b, c, err)
		}
	})
}

func FuzzDecodeSync(f *testing.F) {
	request, err := EncodeRequest(Request{ID: 1, From: "0A", Session: "s", Ranges: []Range{{"0B", 1, 2}}, Credits: 2})
	if err != nil {
		f.Fatal(err)
	}
	chunk, err := EncodeChunk(Chunk{ID: 1, From: "0A", Number: 1, Last: true, Body: []byte("x"), Outcomes: []Outcome{{Range{"0B", 1, 2}, Have}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add(chunk)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := DecodeSync(data)
		if n := len(m.kinds()); err == nil && n != 1 {
			t.Fatalf("%d messages in one: %+v", n, m)
		}
	})
}

// woven returns a store where two branches depend on each other in turn.
func woven(t *testing.T, each int) *fakeStore {
	t.Helper()
	a, b := newFakeStore("0A"), newFakeStore("0B")
	from, to := a, b
	for i := range 2 * each {
		if _, err := from.write(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		copyAll(t, from, to)
		from, to = to, from
	}
	return a
}

// copyAll applies everything of one store to another.
func copyAll(t *testing.T, from, to *fakeStore) {
	t.Helper()
	feed, err := from.Feed(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var list []changeset.Envelope
	for _, e := range feed {
		list = append(list, e.Envelope)
	}
	if _, err := to.Apply(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersSendEachChangesetAfterAllItDependsOn(t *testing.T) {
	s := woven(t, 200)
	m, err := newMerge(t.Context(), s, []Range{{"0A", 1, 200}, {"0B", 1, 200}})
	if err != nil {
		t.Fatal(err)
	}
	to := newFakeStore("0C")
	chunks := 0
	for !m.exhausted() {
		list, err := m.chunk(1000)
		if err != nil {
			t.Fatal(err)
		}
		a, err := to.Apply(t.Context(), list)
		if err != nil || a.Pending > 0 {
			t.Fatalf("chunk %d left %d pending, %v", chunks, a.Pending, err)
		}
		chunks++
	}
	if !to.Revision().Equal(s.Revision()) || chunks < 10 {
		t.Errorf("%d chunks gave %s, want %s", chunks, to.Revision(), s.Revision())
	}
	if got := m.outcomes(); len(got) != 2 || got[0] != (Outcome{Range{"0A", 1, 200}, Have}) {
		t.Errorf("outcomes %v", got)
	}
}

func TestAnswersSayWhatTheyHaveAndWhatNot(t *testing.T) {
	s := woven(t, 10)
	s.floor = branch.Revision{{Branch: "0A", Seq: 2}}
	m, err := newMerge(t.Context(), s, []Range{{"0A", 1, 12}, {"0B", 5, 10}, {"0C", 1, 3}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := m.chunk(1) // one changeset only
	if err != nil || len(list) != 1 || list[0].Dot.String() != "0A00003" {
		t.Fatalf("first chunk %v, %v", list, err)
	}
	want := []Outcome{
		{Range{"0A", 1, 2}, BelowFloor}, {Range{"0A", 11, 12}, Unknown}, {Range{"0C", 1, 3}, Unknown},
		{Range{"0A", 3, 3}, Have}, {Range{"0A", 4, 10}, More}, {Range{"0B", 5, 10}, More},
	}
	if got := m.outcomes(); !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
}

func TestVerdictsAreNamedAsDocumented(t *testing.T) {
	for v, want := range map[Verdict]string{Have: "have", More: "more", Unknown: "unknown", BelowFloor: "below-floor", 9: "verdict 9"} {
		if v.String() != want {
			t.Errorf("%s, want %s", v, want)
		}
	}
}
