package topology

import (
	"strings"
	"testing"
)

func TestALeavingNodeStaysUntilAllThatItWroteIsSent(t *testing.T) {
	force := "or delete VesperNode shop-core-0c to remove it without them (its volume claim data-shop-core-0c is kept)"
	for _, test := range []struct {
		name   string
		change func(*Leaver)
		want   []string // parts of the answer; none: it may go
	}{
		{"all is sent", func(*Leaver) {}, nil},
		{"never ran", func(l *Leaver) { l.Empty, l.Silent = true, "no pod" }, nil},
		{"wrote nothing itself", func(l *Leaver) { l.Wrote, l.Unsent = false, 3 }, nil},
		{"has changesets to send", func(l *Leaver) { l.Unsent = 12 }, []string{"shop-core-0c has 12 changesets to send", "bring the broker back", force}},
		{"has one to send", func(l *Leaver) { l.Unsent = 1 }, []string{"has 1 changeset to send"}},
		{"its volume would go", func(l *Leaver) { l.Unsent, l.VolumeKept = 12, false }, []string{"they are lost with volume claim data-shop-core-0c"}},
		{"does not answer", func(l *Leaver) { l.Silent = "no answer within 2s" }, []string{"shop-core-0c may have changesets to send and cannot be asked (no answer within 2s)", force}},
		{"silence counts more than an old answer", func(l *Leaver) { l.Silent, l.Unsent = "its pod does not run", 0 }, []string{"its pod does not run"}},
		{"another branch answers", func(l *Leaver) { l.Branch = "0D" }, []string{"branch 0D answers in its place", force}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := Leaver{Name: "shop-core-0c", ID: "0C", VolumeName: "data-shop-core-0c", VolumeKept: true, Branch: "0C", Wrote: true}
			test.change(&l)
			got := l.Stays()
			if len(test.want) == 0 && got != "" {
				t.Errorf("stays because %q, want it to go", got)
			}
			for _, part := range test.want {
				if !strings.Contains(got, part) {
					t.Errorf("says %q, want %q in it", got, part)
				}
			}
		})
	}
}
