package conditions

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// BrokerRef is what was found under a spec.brokerRef.
type BrokerRef struct {
	// Name is what the spec says, Field where; "" is spec.brokerRef.name.
	Name, Field string
	// Object is nil when there is no such VesperBroker.
	Object *v1alpha1.VesperBroker
}

// Usable reports whether nodes can be told where the broker is. It need not
// answer for that: a node works without it and catches up.
func (b BrokerRef) Usable() bool { return b.Object != nil && len(b.Object.Status.Hosts) > 0 }

// ready repeats what the broker says of itself.
func (b BrokerRef) ready() judgement {
	if b.Object == nil {
		return no(v1alpha1.ReasonBrokerMissing, "there is no VesperBroker %s in this namespace: make it, or correct %s", b.Name, cmp.Or(b.Field, "spec.brokerRef.name"))
	}
	condition := meta.FindStatusCondition(b.Object.Status.Conditions, v1alpha1.ConditionReady)
	if condition == nil {
		return no(v1alpha1.ReasonPending, "VesperBroker %s has no status yet", b.Name)
	}
	message := "VesperBroker " + b.Name + ": " + condition.Message
	return judgement{condition.Status, condition.Reason, message}
}

// BrokerRefs are the brokers that something needs.
type BrokerRefs []BrokerRef

// Usable reports whether nodes can be told where all of them are.
func (all BrokerRefs) Usable() bool {
	return !slices.ContainsFunc(all, func(b BrokerRef) bool { return !b.Usable() })
}

// Ready reports whether all of them say that nodes can use them.
func (all BrokerRefs) Ready() bool { return all.ready().passed() }

// ready repeats what the first says that is not ready, else what all say.
func (all BrokerRefs) ready() judgement {
	if i := all.notReady(); i >= 0 {
		return all[i].ready()
	}
	var messages []string
	for _, b := range all {
		messages = append(messages, b.ready().message)
	}
	return judgement{metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, strings.Join(messages, "; ")}
}

// notReady is the index of the first that is not ready, -1 for none.
func (all BrokerRefs) notReady() int {
	return slices.IndexFunc(all, func(b BrokerRef) bool { return !b.ready().passed() })
}

// stalled reports whether the first that is not ready waits for a person.
func (all BrokerRefs) stalled() bool {
	i := all.notReady()
	return i >= 0 && all[i].Object != nil && meta.IsStatusConditionTrue(all[i].Object.Status.Conditions, v1alpha1.ConditionStalled)
}

// passed reports whether a judgement is positive.
func (j judgement) passed() bool { return j.status == metav1.ConditionTrue }

// Ready reports whether the broker says that nodes can use it.
func (b BrokerRef) Ready() bool { return b.ready().passed() }
