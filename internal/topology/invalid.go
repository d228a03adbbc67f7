package topology

import (
	"fmt"
	"slices"
	"strings"
)

// invalid returns why the groups cannot hang together as the spec says, nil when
// they can. The CRD refuses most of it before; this refuses it all.
func (p *planner) invalid() *Refusal {
	for _, rule := range []func(Group) string{p.unknownParent, p.circle, p.strayRelays, p.sameChannel} {
		for _, group := range p.Cluster.Groups {
			if message := rule(group); message != "" {
				return &Refusal{Reason: Invalid, Message: message}
			}
		}
	}
	if message := p.island(); message != "" {
		return &Refusal{Reason: Invalid, Message: message}
	}
	return nil
}

func (p *planner) unknownParent(g Group) string {
	if _, known := p.Cluster.find(g.Parent); g.Parent == "" || known {
		return ""
	}
	return fmt.Sprintf("group %s has the parent %s, and there is no such group in this cluster: write the name of one that there is, or add it", g.Name, g.Parent)
}

// circle follows the parents of a group until one has none, or they come back to it.
func (p *planner) circle(g Group) string {
	path := []string{g.Name}
	for at := g; at.Parent != ""; {
		next, known := p.Cluster.find(at.Parent)
		if !known {
			return ""
		}
		path = append(path, next.Name)
		if next.Name == g.Name {
			return fmt.Sprintf("the parents of groups go round in a circle (%s): leave out the parent of the one that is to be at the top", strings.Join(path, " to "))
		}
		if slices.Contains(path[:len(path)-1], next.Name) {
			return "" // a circle that g only leads into is told by those who are in it
		}
		at = next
	}
	return ""
}

func (p *planner) strayRelays(g Group) string {
	switch {
	case g.Relays > 0 && g.Parent == "":
		return fmt.Sprintf("group %s has relays and no parent: name the group whose channel they join, or leave out relays", g.Name)
	case g.Replicas > 0 && g.Relays > g.Replicas:
		return fmt.Sprintf("group %s has %d relays and %d replicas: relays are some of the group's nodes; raise replicas, or lower relays", g.Name, g.Relays, g.Replicas)
	}
	return ""
}

func (p *planner) sameChannel(g Group) string {
	parent, known := p.Cluster.find(g.Parent)
	if !known || p.Brokers.Real(parent.Channel) != p.Brokers.Real(g.Channel) {
		return ""
	}
	if parent.Channel.Broker != g.Channel.Broker {
		return fmt.Sprintf("groups %s and %s are on one channel, %s: VesperBrokers %s and %s have an address in common and are one broker; give %s another broker or channel, or leave out its parent",
			g.Name, parent.Name, g.Channel.Name, g.Channel.Broker, parent.Channel.Broker, g.Name)
	}
	return fmt.Sprintf("group %s is on the same channel as its parent %s (%s), where there is nothing to relay: give it a brokerRef or a channel of its own, or leave out its parent",
		g.Name, parent.Name, g.Channel)
}

// island finds a group that changesets of the first one never come to.
func (p *planner) island() string {
	if len(p.Cluster.Groups) == 0 {
		return ""
	}
	var relays [][]Channel
	for _, g := range p.Cluster.Groups {
		if parent, known := p.Cluster.find(g.Parent); known {
			relays = append(relays, []Channel{g.Channel, parent.Channel})
		}
	}
	first := p.Cluster.Groups[0]
	reached := p.Brokers.Reach([]Channel{first.Channel}, relays)
	for _, g := range p.Cluster.Groups {
		if !p.Brokers.Meets(reached, []Channel{g.Channel}) {
			return fmt.Sprintf("nothing connects group %s (%s) with group %s (%s): give one of them the other as parent, or make it a cluster of its own",
				g.Name, g.Channel, first.Name, first.Channel)
		}
	}
	return ""
}
