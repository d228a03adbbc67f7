package conditions

import (
	"fmt"
	"strings"

	"vesperdb.io/vesper/api/v1alpha1"
)

// moves reports whether nodes are replaced for another storage class, or are to be.
func (c Cluster) moves() bool { return c.Move.From != "" || len(c.Move.ToCome) > 0 }

// moving says how far that is, and what the next step waits for.
func (c Cluster) moving() string {
	parts := []string{"moving to volumes of storage class " + c.Class + ", one node after another"}
	if c.Move.From != "" {
		step := c.Move.To + " takes the place of " + c.Move.From
		if c.Successor != nil && !memberReady(c.Successor).passed() {
			step += " (" + successorTrouble(c.Successor) + ")"
		}
		parts = append(parts, step)
	}
	if len(c.Move.ToCome) > 0 {
		parts = append(parts, "still to come: "+list(c.Move.ToCome))
	}
	if c.Move.Why != "" {
		parts = append(parts, "waits: "+c.Move.Why)
	}
	return strings.Join(parts, "; ")
}

// successorTrouble is why a successor is not ready, with the remedy where a person
// has to act.
func successorTrouble(node *v1alpha1.VesperNode) string {
	ready := memberReady(node)
	if memberStalled(node) {
		return fmt.Sprintf("%s: %s", ready.reason, ready.message)
	}
	return ready.reason
}
