package resources

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// StompPort is where a managed broker takes STOMP connections.
const StompPort int32 = v1alpha1.DefaultStompPort

// StompPortName is the name of StompPort in pods and Services.
const StompPortName = "stomp"

// Broker is what the children of a managed broker are built from.
type Broker struct {
	// Object is the VesperBroker; its spec.activemq is not nil.
	Object *v1alpha1.VesperBroker
	// Image to run: spec.activemq.image, or what runs already, or the operator's default.
	Image string
	// VolumeSize is how much of the volume may be filled: see UsableSize.
	VolumeSize resource.Quantity
}

// BrokerName is the name of a managed broker's StatefulSet and client Service,
// and the beginning of its other children's names.
func BrokerName(broker string) string { return broker + "-broker" }

// BrokerPodName is the name of a managed broker's only pod.
func BrokerPodName(broker string) string { return BrokerName(broker) + "-0" }

// BrokerSecretName is the name of the Secret with a managed broker's credentials.
func BrokerSecretName(broker string) string { return BrokerName(broker) + "-auth" }

// BrokerConfigName is the name of a managed broker's ConfigMap.
func BrokerConfigName(broker string) string { return BrokerName(broker) + "-config" }

// BrokerClaimName is the name of a managed broker's volume claim.
func BrokerClaimName(broker string) string { return BrokerName(broker) + "-data" }

// BrokerHeadlessName is the name of the Service that gives the pod its DNS name.
func BrokerHeadlessName(broker string) string { return BrokerName(broker) + "-headless" }

// BrokerHosts are the addresses at which nodes reach a broker: the Service of a
// managed one, the hosts of an external one.
func BrokerHosts(broker *v1alpha1.VesperBroker) []string {
	if external := broker.Spec.External; external != nil {
		return external.Hosts
	}
	return []string{strings.Join([]string{BrokerName(broker.Name), broker.Namespace, "svc:61613"}, ".")}
}

// BrokerLabels are the labels of all children of a managed broker.
func BrokerLabels(broker string) map[string]string {
	labels := brokerSelector(broker)
	labels[v1alpha1.LabelInstance] = broker
	labels[v1alpha1.LabelComponent] = v1alpha1.ComponentBroker
	labels[v1alpha1.LabelPartOf] = v1alpha1.PartOfVesper
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	return labels
}

// brokerSelector selects a broker's pods. It can never change: a StatefulSet's selector is immutable.
func brokerSelector(broker string) map[string]string {
	return map[string]string{v1alpha1.LabelName: v1alpha1.AppBroker, v1alpha1.LabelBroker: broker}
}

// brokerOwner makes a child go when its broker goes.
func brokerOwner(broker *v1alpha1.VesperBroker) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("VesperBroker").
		WithName(broker.Name).WithUID(broker.UID).WithController(true).WithBlockOwnerDeletion(true)
}
