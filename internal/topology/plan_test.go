package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/branch"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func shop(replicas ...int) Cluster {
	c := Cluster{Identity: Identity{Kind: "VesperCluster", Name: "shop", Created: t0, UID: "1"}, Range: NewRange(2, "", ""), Trunk: "0A"}
	for i, n := range replicas {
		c.Groups = append(c.Groups, Group{Name: []string{"core", "edge"}[i], Replicas: n})
	}
	return c
}

func nodes(group string, ids ...branch.ID) []Node {
	var out []Node
	for _, id := range ids {
		out = append(out, Node{Name: NodeName("shop", group, id), ID: id, Trunk: "0A", Group: group})
	}
	return out
}

func volumes(group string, ids ...branch.ID) []Volume {
	var out []Volume
	for _, id := range ids {
		out = append(out, Volume{Name: VolumeName(NodeName("shop", group, id)), UID: "uid-" + string(id), ID: id, Trunk: "0A", Group: group})
	}
	return out
}

func ledger(last branch.ID, retired int64, assigned ...branch.ID) Ledger {
	l := Ledger{Trunk: "0A", Last: last, Retired: retired}
	for _, id := range assigned {
		l.Assigned = append(l.Assigned, Assignment{ID: id, Group: "core", Started: true, VolumeUID: "uid-" + string(id)})
	}
	return l
}

// beside are neighbors that are to be on the only channel.
func beside(all ...Neighbor) Surroundings {
	for i := range all {
		all[i].Wanted = []Channel{{}}
	}
	return Surroundings{Neighbors: all}
}

// story writes a plan as a line that a reader can check by eye.
func story(p Plan) string {
	var b strings.Builder
	b.WriteString("last=" + string(p.Ledger.Last))
	for _, a := range p.Ledger.Assigned {
		b.WriteString(" " + string(a.ID) + "/" + a.Group)
		if a.Started {
			b.WriteString("*")
		}
	}
	b.WriteString(" |")
	for _, m := range p.Members {
		switch {
		case m.New:
			b.WriteString(" make " + m.Name)
		case m.Draining:
			b.WriteString(" drain " + m.Name)
		default:
			b.WriteString(" keep " + m.Name)
		}
	}
	for _, n := range p.Remove {
		b.WriteString(" remove " + n)
	}
	for _, n := range p.Retire {
		b.WriteString(" retire " + n)
	}
	if p.Refusal != nil {
		b.WriteString(" ! " + string(p.Refusal.Reason))
	}
	return b.String()
}

func TestPlanOfEachSituation(t *testing.T) {
	leaving := func(n []Node) []Node { n[len(n)-1].Leaving = true; return n }
	drained := func(n []Node) []Node { n[len(n)-1].Drained = true; return n }
	without := func(c Cluster, ids ...branch.ID) Cluster { c.Groups[0].Remove = ids; return c }
	swapped := func(v []Volume) []Volume { v[len(v)-1].UID = "another"; return v }
	retired := func(v []Volume) []Volume { v[len(v)-1].Retired = true; return v }
	going := func(v []Volume) []Volume { v[len(v)-1].Leaving = true; return v }
	copied := func(v []Volume) []Volume { v[len(v)-1].Copied = true; return v }
	narrow := shop(3)
	narrow.Range = NewRange(2, "0C", "0D")
	late := shop(1)
	late.Range = NewRange(2, "1A", "1Z")
	unstarted := ledger("0B", 0, "0A", "0B")
	unstarted.Assigned[1].Started = false
	for _, test := range []struct {
		name  string
		state State
		want  string
	}{
		{"a new cluster gets the lowest ids, trunk first", State{Cluster: shop(3)},
			"last=0C 0A/core 0B/core 0C/core | make shop-core-0a make shop-core-0b make shop-core-0c"},
		{"groups get ids in their order", State{Cluster: shop(1, 2)},
			"last=0C 0A/core 0B/edge 0C/edge | make shop-core-0a make shop-edge-0b make shop-edge-0c"},
		{"what was recorded and not made is made under the recorded ids", State{Cluster: shop(2), Ledger: unstarted, Nodes: nodes("core", "0A")},
			"last=0B 0A/core* 0B/core | keep shop-core-0a make shop-core-0b"},
		{"at rest everything is kept", State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A", "0B"), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* 0B/core* | keep shop-core-0a keep shop-core-0b"},
		{"scaling up gives a fresh id above all that were used", State{Cluster: shop(2), Ledger: ledger("0D", 3, "0A"), Nodes: nodes("core", "0A")},
			"last=0E 0A/core* 0E/core | keep shop-core-0a make shop-core-0e"},
		{"scaling down drains the newest and keeps its id until it has", State{Cluster: shop(1), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A", "0B"), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* 0B/core* | keep shop-core-0a drain shop-core-0b"},
		{"one that has drained is retired, removed, and its volume marked", State{Cluster: shop(1), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: drained(nodes("core", "0A", "0B")), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* | keep shop-core-0a remove shop-core-0b retire data-shop-core-0b"},
		{"one that drains and is deleted by hand is retired without more ado", State{Cluster: shop(1), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: leaving(nodes("core", "0A", "0B")), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* | keep shop-core-0a retire data-shop-core-0b"},
		{"scaling up again takes the decision back", State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: drained(nodes("core", "0A", "0B")), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* 0B/core* | keep shop-core-0a keep shop-core-0b"},
		{"who is named leaves in place of the newest", State{Cluster: without(shop(2), "0B"), Ledger: ledger("0C", 0, "0A", "0B", "0C"), Nodes: nodes("core", "0A", "0B", "0C"), Volumes: volumes("core", "0A", "0B", "0C")},
			"last=0C 0A/core* 0B/core* 0C/core* | keep shop-core-0a drain shop-core-0b keep shop-core-0c"},
		{"who is named while the replicas stay is replaced, first come then go", State{Cluster: without(shop(2), "0A"), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A", "0B"), Volumes: volumes("core", "0A", "0B")},
			"last=0C 0A/core* 0B/core* 0C/core | drain shop-core-0a keep shop-core-0b make shop-core-0c"},
		{"who was named and has gone may stay named", State{Cluster: without(shop(2), "0A"), Ledger: ledger("0C", 1, "0B", "0C"), Nodes: nodes("core", "0B", "0C"), Volumes: volumes("core", "0B", "0C")},
			"last=0C 0B/core* 0C/core* | keep shop-core-0b keep shop-core-0c"},
		{"an id that is named before it was given out is skipped", State{Cluster: without(shop(2), "0B"), Ledger: ledger("0A", 0, "0A"), Nodes: nodes("core", "0A"), Volumes: volumes("core", "0A")},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c"},
		{"the kept volume of a named id is not adopted", State{Cluster: without(shop(1), "0B"), Volumes: volumes("core", "0B")},
			"last=0C 0C/core | make shop-core-0c retire data-shop-core-0b"},
		{"scaled to zero, all drain", State{Cluster: shop(0), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A", "0B"), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* 0B/core* | drain shop-core-0a drain shop-core-0b"},
		{"scaled to zero, ids are remembered as used", State{Cluster: shop(0), Ledger: ledger("0B", 0, "0A", "0B")},
			"last=0B |"},
		{"a group that is gone drains its nodes", State{Cluster: shop(1), Ledger: ledger("0B", 0, "0A"), Nodes: append(nodes("core", "0A"), nodes("old", "0C")...), Volumes: append(volumes("core", "0A"), volumes("old", "0C")...)},
			"last=0C 0A/core* 0C/old* | keep shop-core-0a drain shop-old-0c"},
		{"a node deleted by hand comes back with its id while its volume is there",
			State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A"), Volumes: volumes("core", "0A", "0B")},
			"last=0B 0A/core* 0B/core* | keep shop-core-0a make shop-core-0b"},
		{"a node deleted with its volume is replaced under a fresh id",
			State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A"), Volumes: volumes("core", "0A")},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c"},
		{"a node whose volume is on its way out is replaced under a fresh id",
			State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A"), Volumes: going(volumes("core", "0A", "0B"))},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c"},
		{"a node whose volume was replaced by another of its name is replaced under a fresh id",
			State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A"), Volumes: swapped(volumes("core", "0A", "0B"))},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c retire data-shop-core-0b"},
		{"a node that lost its volume is replaced under a fresh id while another has the data",
			State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A", "0B"), Volumes: volumes("core", "0A")},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c remove shop-core-0b"},
		{"a node in whose volume's place is another is replaced under a fresh id, and the other is marked",
			State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A", "0B"), Volumes: swapped(volumes("core", "0A", "0B"))},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c remove shop-core-0b retire data-shop-core-0b"},
		{"the last node that has data is left to a person",
			State{Cluster: shop(1), Ledger: ledger("0A", 0, "0A"), Nodes: nodes("core", "0A")},
			"last=0A 0A/core* | keep shop-core-0a"},
		{"a copied volume is not taken up, and its id is not given out",
			State{Cluster: shop(1), Volumes: copied(volumes("core", "0B"))}, "last=0C 0C/core | make shop-core-0c retire data-shop-core-0b"},
		{"ids that somebody who is gone used are skipped",
			State{Cluster: shop(2), Spent: []branch.ID{"0A", "0C", "00D"}}, "last=0D 0B/core 0D/core | make shop-core-0b make shop-core-0d"},
		{"a node that is being deleted is waited for", State{Cluster: shop(2), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: leaving(nodes("core", "0A", "0B"))},
			"last=0B 0A/core* 0B/core* | keep shop-core-0a"},
		{"a lost ledger is restored from the nodes", State{Cluster: shop(2), Nodes: nodes("core", "0C", "0F")},
			"last=0F 0C/core* 0F/core* | keep shop-core-0c keep shop-core-0f"},
		{"a lost ledger and lost nodes are restored from the volumes", State{Cluster: shop(2), Volumes: volumes("core", "0B", "0D")},
			"last=0D 0B/core* 0D/core* | make shop-core-0b make shop-core-0d"},
		{"retired volumes restore the high-water mark and no node", State{Cluster: shop(1), Volumes: retired(volumes("core", "0B", "0D"))},
			"last=0D 0B/core* | make shop-core-0b"},
		{"no more kept volumes come back than replicas are asked for, and the rest are retired", State{Cluster: shop(1), Volumes: volumes("core", "0B", "0D")},
			"last=0D 0B/core* | make shop-core-0b retire data-shop-core-0d"},
		{"a kept volume of an id that the ledger retired never comes back", State{Cluster: shop(2), Ledger: ledger("0B", 1, "0A"), Nodes: nodes("core", "0A"), Volumes: volumes("core", "0A", "0B")},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c retire data-shop-core-0b"},
		{"a node of an id that the ledger retired drains before it is removed", State{Cluster: shop(2), Ledger: ledger("0B", 1, "0A"), Nodes: nodes("core", "0A", "0B")},
			"last=0C 0A/core* 0C/core | keep shop-core-0a drain shop-core-0b make shop-core-0c"},
		{"a node of an id that the ledger retired is removed when it has drained", State{Cluster: shop(2), Ledger: ledger("0B", 1, "0A"), Nodes: drained(nodes("core", "0A", "0B"))},
			"last=0C 0A/core* 0C/core | keep shop-core-0a make shop-core-0c remove shop-core-0b"},
		{"a node above an old ledger is kept, not removed", State{Cluster: shop(2), Ledger: ledger("0A", 0, "0A"), Nodes: nodes("core", "0A", "0B")},
			"last=0B 0A/core* 0B/core* | keep shop-core-0a keep shop-core-0b"},
		{"a copied volume under another name only shows that its id was used",
			State{Cluster: shop(1), Volumes: []Volume{{Name: "data-shop-core-0a", ID: "0E", Trunk: "0A", Group: "core"}}},
			"last=0F 0F/core | make shop-core-0f"},
		{"a range is used from its start", State{Cluster: late}, "last=1A 1A/core | make shop-core-1a"},
		{"a used-up range makes what it can and says so", State{Cluster: narrow},
			"last=0D 0C/core 0D/core | make shop-core-0c make shop-core-0d ! BranchIDsExhausted"},
		{"ids of a neighbor are skipped", State{Cluster: shop(2), Surroundings: beside(Neighbor{
			Identity: Identity{Kind: "VesperNode", Name: "pin", Created: t0.Add(time.Hour), UID: "2"}, Range: Range{"0A", "0A"}, Trunk: "0A", Used: []branch.ID{"0A"}})},
			"last=0C 0B/core 0C/core | make shop-core-0b make shop-core-0c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, story(Make(test.state))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExhaustionNamesTheRangeAndTheRemedy(t *testing.T) {
	c := shop(3)
	c.Range = NewRange(2, "0A", "0B")
	got := Make(State{Cluster: c}).Refusal
	want := "1 more nodes are asked for and the branch ids 0A to 0B are used up (the last one given out is 0B; none is ever used twice): " +
		"raise spec.branchIDs.to, or lower the replicas"
	if got == nil || got.Reason != Exhausted || got.Message != want {
		t.Errorf("refusal is %+v, want %q", got, want)
	}
	c.Range = NewRange(2, "ZY", "")
	if got := Make(State{Cluster: c}).Refusal; got == nil || !strings.Contains(got.Message, "larger spec.branchIDs.width") {
		t.Errorf("refusal at the very end is %+v, want the wider cluster as remedy", got)
	}
}

func TestOfTwoClustersThatMeetTheOlderGoesOn(t *testing.T) {
	older := Neighbor{Identity: Identity{Kind: "VesperCluster", Name: "first", Created: t0.Add(-time.Hour), UID: "0"}, Range: NewRange(2, "", ""), Trunk: "0A"}
	younger := older
	younger.Identity = Identity{Kind: "VesperCluster", Name: "second", Created: t0.Add(time.Hour), UID: "2"}
	if p := Make(State{Cluster: shop(1), Surroundings: beside(younger)}); p.Refusal != nil || len(p.Members) != 1 {
		t.Errorf("beside a younger one: %s, want it to go on", story(p))
	}
	p := Make(State{Cluster: shop(1), Surroundings: beside(older)})
	if got := story(p); got != "last= | ! ChannelShared" {
		t.Errorf("beside an older one: %s, want nothing started", got)
	}
	want := "VesperCluster first uses the same broker and channel, and its branch ids (0A to ZZ) meet those of this VesperCluster (0A to ZZ): " +
		"use another channel, or give each its own ids with spec.branchIDs.from and to"
	if p.Refusal != nil && p.Refusal.Message != want {
		t.Errorf("message is %q, want %q", p.Refusal.Message, want)
	}
}

func TestClash(t *testing.T) {
	me := Identity{Kind: "VesperCluster", Name: "me", Created: t0, UID: "5"}
	mine := NewRange(2, "1A", "1Z")
	for _, test := range []struct {
		name    string
		created time.Time
		uid     string
		ids     Range
		trunk   branch.ID
		want    Reason
	}{
		{"older, same ids", t0.Add(-1), "9", mine, "0A", ChannelShared},
		{"younger, same ids", t0.Add(1), "1", mine, "0A", ""},
		{"same age, lower uid", t0, "1", mine, "0A", ChannelShared},
		{"same age, higher uid", t0, "9", mine, "0A", ""},
		{"one id in common", t0.Add(-1), "9", NewRange(2, "1Z", "2A"), "0A", ChannelShared},
		{"below", t0.Add(-1), "9", NewRange(2, "0A", "0Z"), "0A", ""},
		{"above", t0.Add(-1), "9", NewRange(2, "2A", ""), "0A", ""},
		{"another width", t0.Add(-1), "9", NewRange(3, "", ""), "00A", ChannelShared},
		{"another trunk", t0.Add(-1), "9", NewRange(2, "0A", "0Z"), "0B", TrunkConflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got Reason
			n := Neighbor{Identity: Identity{Kind: "VesperCluster", Name: "other", Created: test.created, UID: test.uid}, Range: test.ids, Trunk: test.trunk}
			s := beside(n)
			if r := s.clash(Neighbor{Identity: me, Party: s.Neighbors[0].Party, Range: mine, Trunk: "0A"}, s.Neighbors[0]); r != nil {
				got = r.Reason
				if !strings.Contains(r.Message, "VesperCluster other") {
					t.Errorf("message %q does not name the other", r.Message)
				}
			}
			if got != test.want {
				t.Errorf("reason is %q, want %q", got, test.want)
			}
		})
	}
}

func TestARefusedClusterKeepsWhatRunsAndMakesNothing(t *testing.T) {
	older := Neighbor{Identity: Identity{Kind: "VesperCluster", Name: "first", Created: t0.Add(-1), UID: "0"}, Range: NewRange(2, "", ""), Trunk: "0A"}
	state := State{Cluster: shop(3), Ledger: ledger("0B", 0, "0A", "0B"), Nodes: nodes("core", "0A"), Volumes: volumes("core", "0A", "0B"), Surroundings: beside(older)}
	want := "last=0B 0A/core* 0B/core* | keep shop-core-0a ! ChannelShared"
	if got := story(Make(state)); got != want {
		t.Errorf("plan is %s, want %s", got, want)
	}
}

func TestKeptDataOfAnotherTrunkIsNotAdopted(t *testing.T) {
	v := volumes("core", "0B")
	v[0].Trunk = "00"
	p := Make(State{Cluster: shop(1), Volumes: v})
	if p.Refusal == nil || p.Refusal.Reason != TrunkConflict || len(p.Members) != 0 {
		t.Errorf("plan is %s, want TrunkConflict and no node", story(p))
	}
	n := nodes("core", "0B")
	n[0].Trunk = "0B"
	p = Make(State{Cluster: shop(1), Nodes: n})
	if p.Refusal == nil || len(p.Members) != 1 || p.Members[0].Trunk != "0B" {
		t.Errorf("plan is %+v, want the running node kept with its own trunk", p)
	}
}

func TestRange(t *testing.T) {
	if r := NewRange(3, "", ""); r.From != "00A" || r.To != "ZZZ" || r.String() != "00A to ZZZ" {
		t.Errorf("the whole range of width 3 is %v", r)
	}
	r := NewRange(2, "0B", "0D")
	for id, want := range map[branch.ID]bool{"0A": false, "0B": true, "0D": true, "0E": false} {
		if r.Contains(id) != want {
			t.Errorf("%v contains %s = %v, want %v", r, id, !want, want)
		}
	}
	if (Range{"0C", "0C"}).String() != "0C" {
		t.Error("a range of one id is written as that id")
	}
}
