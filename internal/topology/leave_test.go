package topology

import (
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/branch"
)

// TestALeavingNodeStaysUntilAllThatItWroteIsOnItsPeers: day-one list, point 7.
func TestALeavingNodeStaysUntilAllThatItWroteIsOnItsPeers(t *testing.T) {
	revision := func(text string) branch.Revision {
		r, err := branch.ParseRevision(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	has := func(l *Leaver, peer int, text string) { l.Peers[peer].Revision = revision(text) }
	force := "or delete VesperNode shop-core-0c to remove it without them (its volume claim data-shop-core-0c is kept)"
	for _, test := range []struct {
		name          string
		change        func(*Leaver)
		drained, hung bool
		want          []string
	}{
		{"all have all", func(*Leaver) {}, true, false, []string{"takes no writes any more, and all that it wrote is on shop-core-0a, shop-core-0b"}},
		{"never ran", func(l *Leaver) { l.Empty, l.Silent = true, "no pod" }, true, false, []string{"never ran, or its volume is lost"}},
		{"does not answer", func(l *Leaver) { l.Silent = "no answer within 2s" }, false, false, []string{"cannot be asked (no answer within 2s): make it run", force}},
		{"another branch answers", func(l *Leaver) { l.Branch = "0D" }, false, false, []string{"branch 0D answers in its place", force}},
		{"takes writes still", func(l *Leaver) { l.Draining = false }, false, false, []string{"is being told to take no more writes"}},
		{"cannot be told", func(l *Leaver) { l.Draining, l.Refused = false, "it answered 404 Not Found" }, false, false, []string{"cannot be told to stop that (it answered 404 Not Found): give it an image that can", force}},
		{"what the broker has confirmed is not enough", func(l *Leaver) { has(l, 1, "0A00007,0B00002,0C00001") }, false, false, []string{"waits for shop-core-0b (lacks 11 changesets)", "bring them or the broker back", force}},
		{"one lacks one", func(l *Leaver) { has(l, 0, "0A00007,0B00002,0C00011") }, false, false, []string{"shop-core-0a (lacks 1 changeset)"}},
		{"a peer that was not heard counts", func(l *Leaver) { l.Peers[0].Heard = false }, false, false, []string{"waits for shop-core-0a (not heard)"}},
		{"a suspended peer does not", func(l *Leaver) { l.Peers[0].Excused = true; has(l, 0, "") }, true, false, []string{"is on shop-core-0b"}},
		{"what a peer wrote itself need not be with the others", func(l *Leaver) { has(l, 1, "0A00003,0B00002,0C00012") }, true, false, nil},
		{"what a suspended peer wrote must", func(l *Leaver) { l.Peers[0].Excused = true; has(l, 1, "0A00003,0B00002,0C00012") }, false, false,
			[]string{"waits for shop-core-0b (lacks 4 changesets)"}},
		{"what somebody wrote who has left must", func(l *Leaver) { l.Revision = revision("0A00007,0B00002,0C00012,0D00005") }, false, false,
			[]string{"shop-core-0a (lacks 5 changesets), shop-core-0b (lacks 5 changesets)"}},
		{"the last one, its volume kept", func(l *Leaver) { l.Peers = nil }, true, false, []string{"nobody else is left, and volume claim data-shop-core-0c keeps the data"}},
		{"the last one has something to send", func(l *Leaver) { l.Peers, l.Unsent = nil, 12 }, false, false, []string{"12 changesets to send that the broker has not confirmed, and nobody else is left", force}},
		{"the last one, and its volume would go", func(l *Leaver) { l.Peers, l.VolumeKept = nil, false }, false, true,
			[]string{"would be lost with it, since nobody else is left and deletionPolicy is Delete: suspend it", "set deletionPolicy to Retain", "they are lost with volume claim data-shop-core-0c"}},
		{"all others are suspended", func(l *Leaver) { l.Peers, l.VolumeKept = []Peer{{Name: "shop-core-0a", Excused: true}}, false }, false, true, []string{"all others are suspended"}},
		{"the last one has no data", func(l *Leaver) { l.Peers, l.Revision, l.VolumeKept = nil, nil, false }, true, false, []string{"has no data"}},
		{"many are not heard", func(l *Leaver) {
			l.Peers = nil
			for id := branch.ID("1A"); len(l.Peers) < 9; id, _ = id.Next() {
				l.Peers = append(l.Peers, Peer{Name: string(id), ID: id})
			}
		}, false, false, []string{"1E (not heard), 4 more"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := Leaver{Name: "shop-core-0c", ID: "0C", VolumeName: "data-shop-core-0c", VolumeKept: true, Branch: "0C", Draining: true,
				Revision: revision("0A00007,0B00002,0C00012"), Peers: []Peer{
					{Name: "shop-core-0a", ID: "0A", Heard: true, Revision: revision("0A00008,0B00002,0C00012")},
					{Name: "shop-core-0b", ID: "0B", Heard: true, Revision: revision("0A00007,0B00002,0C00012")}}}
			test.change(&l)
			got := l.Departure()
			if got.Drained != test.drained || got.Stalled != test.hung {
				t.Errorf("drained %v, stalled %v; want %v, %v: %s", got.Drained, got.Stalled, test.drained, test.hung, got.Message)
			}
			for _, part := range test.want {
				if !strings.Contains(got.Message, part) {
					t.Errorf("says %q, want %q in it", got.Message, part)
				}
			}
		})
	}
}
