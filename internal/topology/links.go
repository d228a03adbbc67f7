package topology

import (
	"slices"

	"vesperdb.io/vesper/internal/branch"
)

// Channel is one channel of one broker: what is written on one is read by all.
type Channel struct{ Broker, Name string }

// String writes the channel for people.
func (c Channel) String() string { return "channel " + c.Name + " of broker " + c.Broker }

// Link is a channel that a node joins beside that of its group.
type Link struct {
	// Name is unique in the node, and stays as long as the parent is the same: the
	// node remembers under it what it published.
	Name string
	Channel
}

// defaultRelays is how many nodes of a group with a parent relay.
const defaultRelays = 1

// ParentLink is the name of the link over which a relay joins the channel of a group.
func ParentLink(group string) string { return "parent-" + group }

// relays is how many of the group's nodes join the parent's channel too.
func (g Group) relays() int {
	switch {
	case g.Parent == "":
		return 0
	case g.Relays == 0:
		return defaultRelays
	}
	return g.Relays
}

// find returns the group of a name; false when there is none.
func (c Cluster) find(name string) (Group, bool) {
	i := slices.IndexFunc(c.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return c.Groups[i], true
}

// relay reports whether an assigned id is one of those that relay for its group:
// the oldest, so that as long as they last no other has to be restarted for it.
func (p *planner) relay(id branch.ID, group Group) bool {
	older := 0
	for other, a := range p.assigned {
		if a.Group == group.Name && other < id {
			older++
		}
	}
	return older < group.relays()
}

// connect fills in where a member is linked to.
func (p *planner) connect(m *Member, node Node) {
	group, known := p.Cluster.find(m.Group)
	if (m.Draining || !known) && len(node.Channels) > 0 {
		m.Channel, m.Links, m.Parent, m.Intermittent = node.Channels[0], node.Links, group.Parent, group.Intermittent
		return // who leaves stays where it is
	}
	m.Channel, m.Parent, m.Intermittent = group.Channel, group.Parent, group.Intermittent
	parent, known := p.Cluster.find(group.Parent)
	if known && p.relay(m.ID, group) {
		m.Links = []Link{{Name: ParentLink(parent.Name), Channel: parent.Channel}}
	}
}

// Channels are all channels that the member joins.
func (m Member) Channels() []Channel {
	all := []Channel{m.Channel}
	for _, link := range m.Links {
		all = append(all, link.Channel)
	}
	return all
}

// moves reports whether a member is to join a channel that its node is not on.
func (m Member) moves(node Node) bool {
	return !m.Draining && len(node.Channels) > 0 && slices.ContainsFunc(m.Channels(), func(c Channel) bool { return !slices.Contains(node.Channels, c) })
}
