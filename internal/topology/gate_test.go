package topology

import (
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

func TestAdmitOfEachSituation(t *testing.T) {
	own := func(change func(*Candidate)) Candidate {
		c := Candidate{Identity: Identity{Kind: "VesperNode", Name: "shop-core-0b", Created: t0, UID: "5"}, ID: "0B", Trunk: "0A", Cluster: "shop",
			Assigned: &Assignment{ID: "0B", Group: "core", Started: true}, VolumeName: "data-shop-core-0b"}
		change(&c)
		return c
	}
	pinned := func(change func(*Candidate)) Candidate {
		return own(func(c *Candidate) { c.Cluster, c.Assigned = "", nil; change(c) })
	}
	volume := func(change func(*Volume)) *Volume {
		v := &Volume{Name: "data-shop-core-0b", UID: "u1", ID: "0B", Trunk: "0A"}
		change(v)
		return v
	}
	good := volume(func(*Volume) {})
	olderCluster := Neighbor{Identity: Identity{Kind: "VesperCluster", Name: "shop", Created: t0.Add(-time.Hour), UID: "1"}, Range: NewRange(2, "", ""), Trunk: "0A"}
	for _, test := range []struct {
		name     string
		node     Candidate
		decision Decision
		reason   Reason
		says     string
	}{
		{"a recorded node may start", own(func(*Candidate) {}), Run, "", ""},
		{"a kept volume of its own is used again", own(func(c *Candidate) { c.Volume = good }), Run, "", ""},
		{"its recorded volume is there", own(func(c *Candidate) { c.Volume, c.VolumeUIDs = good, []string{"", "u1", "u1"} }), Run, "", ""},
		{"not recorded yet", own(func(c *Candidate) { c.Assigned = nil }), Hold, Recording, "cluster shop"},
		{"recorded and not started yet", own(func(c *Candidate) { c.Assigned.Started = false }), Hold, Recording, "branch id 0B"},
		{"set up before, and the cluster's status was lost", own(func(c *Candidate) { c.Assigned, c.Started = nil, true }), Run, "", ""},
		{"its volume is gone", own(func(c *Candidate) { c.Started, c.VolumeUIDs = true, []string{"u1"} }), Stop, VolumeLost, "Delete VesperNode shop-core-0b: cluster shop then makes a new node"},
		{"its volume is gone and it never ran", own(func(c *Candidate) { c.VolumeUIDs = []string{"u1"} }), Stop, VolumeLost, "is gone"},
		{"its volume was replaced", own(func(c *Candidate) {
			c.VolumeUIDs = []string{"", "u0"}
			c.Volume = good
		}), Stop, VolumeLost, "uid u0"},
		{"two records of its volume disagree", own(func(c *Candidate) { c.VolumeUIDs, c.Volume = []string{"u1", "u0"}, good }), Stop, VolumeLost, "was replaced"},
		{"the volume is another branch's", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.ID = "0C" }) }), Stop, BranchMismatch, "holds the data of branch 0C"},
		{"the volume is another system's", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.Trunk = "00" }) }), Stop, BranchMismatch, "trunk 00"},
		{"the volume lost its annotations", own(func(c *Candidate) {
			c.VolumeUIDs, c.Volume = []string{"u1"}, volume(func(v *Volume) { v.ID, v.Trunk = "", "" })
		}), Run, "", ""},
		{"a volume that nothing says is its own", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.ID, v.Trunk = "", "" }) }), Stop, VolumeNotOwn, "does not say whose data it holds"},
		{"a clone with its annotation", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.Copied = true }) }), Stop, VolumeNotOwn, "was made from another volume or a snapshot"},
		{"a clone with another's annotation", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.Copied, v.ID = true, "0A" }) }), Stop, BranchMismatch, "holds the data of branch 0A"},
		{"a restored snapshot in place of its volume", own(func(c *Candidate) {
			c.VolumeUIDs, c.Volume = []string{"u0"}, volume(func(v *Volume) { v.Copied = true })
		}), Stop, VolumeLost, "was replaced"},
		{"its own volume, which once was a copy", own(func(c *Candidate) {
			c.VolumeUIDs, c.Volume = []string{"u1"}, volume(func(v *Volume) { v.Copied = true })
		}), Run, "", ""},
		{"the volume was retired", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.Retired = true }) }), Hold, VolumeRetired, "retired for ever"},
		{"the volume was retired under a running node", own(func(c *Candidate) { c.Started, c.Volume = true, volume(func(v *Volume) { v.Retired = true }) }), Run, "", ""},
		{"the volume is on its way out", own(func(c *Candidate) { c.Volume = volume(func(v *Volume) { v.Leaving = true }) }), Hold, VolumeTerminating, "being deleted"},
		{"the volume is on its way out under a running node", own(func(c *Candidate) { c.Started, c.Volume = true, volume(func(v *Volume) { v.Leaving = true }) }), Run, "", ""},
		{"a pinned id alone on its channel", pinned(func(*Candidate) {}), Run, "", ""},
		{"a pinned id within an older cluster's range", pinned(func(c *Candidate) { c.Party, c.Surroundings = Party{Wanted: []Channel{{}}}, beside(olderCluster) }), Hold, ChannelShared, "VesperCluster shop"},
		{"a pinned id of a running node stays", pinned(func(c *Candidate) {
			c.Party, c.Surroundings, c.Started = Party{Wanted: []Channel{{}}}, beside(olderCluster), true
		}), Run, "", ""},
		{"a pinned id of a running node does not move to a broker where it clashes", pinned(func(c *Candidate) {
			c.Party, c.Surroundings, c.Started, c.Moved = Party{Wanted: []Channel{{}}}, beside(olderCluster), true, true
		}), Hold, ChannelShared, "VesperCluster shop"},
		{"a cluster's own node does not clash with its cluster", own(func(c *Candidate) { c.Party, c.Surroundings = Party{Wanted: []Channel{{}}}, beside(olderCluster) }), Run, "", ""},
		{"a pinned id lost its volume", pinned(func(c *Candidate) { c.VolumeUIDs = []string{"u1"} }), Stop, VolumeLost, "a branch id that was never used"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Admit(test.node)
			if got.Decision != test.decision || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
				t.Errorf("verdict is %+v, want decision %d, reason %q, saying %q", got, test.decision, test.reason, test.says)
			}
		})
	}
}

func TestTheYoungerOfTwoNodesWithOnePinnedIDIsHeld(t *testing.T) {
	me := Candidate{Identity: Identity{Kind: "VesperNode", Name: "b", Created: t0, UID: "2"}, ID: "0B", Trunk: "0A"}
	for id, want := range map[branch.ID]Decision{"0B": Hold, "0C": Run} {
		me.Party, me.Surroundings = Party{Wanted: []Channel{{}}}, beside(Neighbor{Identity: Identity{Kind: "VesperNode", Name: "a", Created: t0, UID: "1"}, Range: Range{id, id}, Trunk: "0A"})
		if got := Admit(me); got.Decision != want {
			t.Errorf("beside an older node with id %s: %+v, want decision %d", id, got, want)
		}
	}
}
