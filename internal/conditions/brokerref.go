package conditions

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// BrokerRef is what was found under a spec.brokerRef.
type BrokerRef struct {
	// Name is what the spec says.
	Name string
	// Object is nil when there is no such VesperBroker.
	Object *v1alpha1.VesperBroker
}

// Usable reports whether nodes can be told where the broker is. It need not
// answer for that: a node works without it and catches up.
func (b BrokerRef) Usable() bool { return b.Object != nil && len(b.Object.Status.Hosts) > 0 }

// ready repeats what the broker says of itself.
func (b BrokerRef) ready() judgement {
	if b.Object == nil {
		return no(v1alpha1.ReasonBrokerMissing, "there is no VesperBroker %s in this namespace: make it, or correct spec.brokerRef.name", b.Name)
	}
	condition := meta.FindStatusCondition(b.Object.Status.Conditions, v1alpha1.ConditionReady)
	if condition == nil {
		return no(v1alpha1.ReasonPending, "VesperBroker %s has no status yet", b.Name)
	}
	message := "VesperBroker " + b.Name + ": " + condition.Message
	return judgement{condition.Status, condition.Reason, message}
}

// passed reports whether a judgement is positive.
func (j judgement) passed() bool { return j.status == metav1.ConditionTrue }

// Ready reports whether the broker says that nodes can use it.
func (b BrokerRef) Ready() bool { return b.ready().passed() }
