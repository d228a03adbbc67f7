package conditions

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// Pause is what spec.paused does to one object; the zero Pause does nothing.
type Pause struct {
	// By says whose spec.paused it is, "" for nobody's.
	By string
	// Waiting names what would be changed otherwise, such as "StatefulSet shop-core-0a".
	Waiting []string
}

// condition is there while the operator changes nothing.
func (p Pause) condition() []metav1.Condition {
	if p.By == "" {
		return nil
	}
	message := "nothing is changed while " + p.By + " is set; nothing waits for that"
	if len(p.Waiting) > 0 {
		message = "nothing is changed while " + p.By + " is set; this waits for its end: " + list(p.Waiting)
	}
	return []metav1.Condition{yes(v1alpha1.ReasonPaused, "%s", message).named(v1alpha1.ConditionPaused)}
}

// behind is what a pause makes of an object whose spec was not carried out.
func (p Pause) behind() (judgement, bool) {
	return no(v1alpha1.ReasonPaused, "the spec is not carried out while %s is set: %s", p.By, strings.Join(p.Waiting[:min(len(p.Waiting), maxNamed)], ", ")),
		p.By != "" && len(p.Waiting) > 0
}

// nodeSuspended says that a node is stopped on purpose.
func nodeSuspended(n Node) judgement {
	if n.Pod != nil {
		return no(v1alpha1.ReasonSuspended, "suspended by spec.suspended: pod %s is ending", n.Pod.Name)
	}
	return no(v1alpha1.ReasonSuspended, "suspended by spec.suspended: no pod runs; branch id and volume are kept")
}
