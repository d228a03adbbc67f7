package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/subscriptions"
	"vesperdb.io/vesper/internal/topology"
)

const (
	// subscriptionBox is how long a broker may take to drop a subscription before a
	// person is told of it. Nothing waits for that, neither before nor after.
	subscriptionBox = 2 * time.Minute
	// subscriptionAgain is how often it is tried until then; afterwards it is tried
	// when the broker becomes ready, and at most every subscriptionSeldom.
	subscriptionAgain  = 5 * time.Second
	subscriptionSeldom = time.Minute
	// maxSubscriptions is how many are remembered.
	maxSubscriptions = 256
	// maxProblem is how long a problem of one may be.
	maxProblem = 500
)

// remove deletes nodes that have drained and whose ids are retired. What they own
// goes with them; a kept volume stays.
func (s *clusterScope) remove(ctx context.Context) error {
	for _, name := range s.planned.Remove {
		node := s.nodes[name]
		if err := s.reconciler.client.Delete(ctx, node, client.Preconditions{UID: &node.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting VesperNode %s/%s: %w", s.cluster.Namespace, name, err)
		}
		s.eventOf(node, "NodeRemoved", "Remove", "Removed VesperNode %s: branch id %s is retired for ever", name, node.Spec.BranchID)
	}
	return nil
}

// leave notes the durable subscriptions of the ids that a ledger retires, with the
// ledger itself: they are known for as long as they are not dropped.
func (s *clusterScope) leave(ledger v1alpha1.BranchLedger) {
	status, now := &s.cluster.Status, metav1.Now().Rfc3339Copy()
	for _, a := range status.Ledger.Assigned {
		still := slices.ContainsFunc(ledger.Assigned, func(b v1alpha1.BranchAssignment) bool { return b.ID == a.ID })
		if still || !a.Started {
			continue
		}
		for _, left := range s.subscribed(a) {
			if len(status.Subscriptions) < maxSubscriptions {
				left.BranchID, left.Since = a.ID, &now
				status.Subscriptions = append(status.Subscriptions, left)
			}
		}
	}
}

// subscribed are the subscriptions of the node of an id: to the channel of its group,
// and over the links of a relay. Of a node that is gone nobody knows whether it
// relayed: it may have. To drop what never was does no harm.
func (s *clusterScope) subscribed(a v1alpha1.BranchAssignment) []v1alpha1.LeftSubscription {
	if node := s.nodes[topology.NodeName(s.cluster.Name, a.Group, branch.ID(a.ID))]; node != nil {
		all := []v1alpha1.LeftSubscription{{Broker: node.Spec.BrokerRef.Name, Channel: node.Spec.Channel}}
		for _, link := range node.Spec.Links {
			all = append(all, v1alpha1.LeftSubscription{Broker: link.BrokerRef.Name, Channel: link.Channel, Link: link.Name})
		}
		return all
	}
	group := s.groupNamed(a.Group)
	own := resources.GroupChannel(s.cluster, group)
	all := []v1alpha1.LeftSubscription{{Broker: own.Broker, Channel: own.Name}}
	if group.Parent != "" {
		up := resources.GroupChannel(s.cluster, s.groupNamed(group.Parent))
		all = append(all, v1alpha1.LeftSubscription{Broker: up.Broker, Channel: up.Name, Link: topology.ParentLink(group.Parent)})
	}
	return all
}

// groupNamed returns the group of a name, one that says nothing when there is none.
func (s *clusterScope) groupNamed(name string) v1alpha1.NodeGroup {
	for _, group := range s.cluster.Spec.Groups {
		if group.Name == name {
			return group
		}
	}
	return v1alpha1.NodeGroup{}
}

// drop has the brokers forget what is left of nodes that are gone, in the
// background, and keeps in the status what could not be dropped.
func (s *clusterScope) drop(ctx context.Context) error {
	kept := []v1alpha1.LeftSubscription{}
	for _, left := range s.cluster.Status.Subscriptions {
		dropped, err := s.dropOne(ctx, &left)
		if err != nil {
			return err
		}
		if !dropped {
			kept = append(kept, left)
		}
	}
	s.left = kept
	return nil
}

// dropOne reports whether there is nothing to drop any more. What a person wants to
// know of it is told when the status that says so is written.
func (s *clusterScope) dropOne(ctx context.Context, left *v1alpha1.LeftSubscription) (bool, error) {
	key := subscriptions.Key{Cluster: client.ObjectKeyFromObject(s.cluster), Broker: left.Broker, Branch: branch.ID(left.BranchID), Link: left.Link, Channel: left.Channel}
	name, user := subscriptions.Name(key.Branch, left.Channel), subscriptions.ClientID(key.Branch, left.Link)
	broker, err := readMaybe(ctx, s.reconciler.client, s.cluster.Namespace, left.Broker, &v1alpha1.VesperBroker{})
	if err != nil {
		return false, err
	}
	if broker == nil {
		s.announce(func() {
			s.reconciler.subscriptions.Forget(key)
			s.warn("SubscriptionKept", "Drop", "VesperBroker %s is gone: if the broker is not, delete its durable subscription %s of client %s there", left.Broker, name, user)
		})
		return true, nil
	}
	late := left.Since == nil || time.Since(left.Since.Time) > subscriptionBox
	running, err := s.stillRuns(ctx, left)
	if err != nil {
		return false, err
	}
	s.lookAtSubscriptions(late, running || conditions.BrokerRef{Object: broker}.Ready())
	if running && !late {
		return false, nil
	}
	outcome, ended, err := s.tryDrop(ctx, key, broker, late)
	switch {
	case err != nil || !ended:
		return false, err
	case outcome.Err == nil:
		s.announce(func() {
			s.reconciler.subscriptions.Forget(key)
			s.event("SubscriptionDropped", "Drop", "VesperBroker %s keeps no messages any more for branch %s, which is retired", left.Broker, left.BranchID)
		})
		return true, nil
	case late && left.Problem == "":
		left.Problem = clip(outcome.Err.Error(), maxProblem)
		problem := left.Problem
		s.announce(func() {
			s.warn("SubscriptionKept", "Drop", "VesperBroker %s keeps messages for branch %s, which is retired, until its durable subscription %s can be dropped: %s",
				left.Broker, left.BranchID, name, problem)
		})
	}
	return false, nil
}

// lookAtSubscriptions says when to look again: soon while the box is open, and then
// only while the broker answers.
func (s *clusterScope) lookAtSubscriptions(late, answers bool) {
	switch {
	case !late:
		s.dropAgain = subscriptionAgain
	case answers && s.dropAgain == 0:
		s.dropAgain = subscriptionSeldom
	}
}

// tryDrop has the subscription dropped in the background, and returns how the last
// attempt ended.
func (s *clusterScope) tryDrop(ctx context.Context, key subscriptions.Key, broker *v1alpha1.VesperBroker, late bool) (subscriptions.Outcome, bool, error) {
	credentials, err := s.credentials(ctx, broker)
	if err != nil {
		return subscriptions.Outcome{}, false, err
	}
	pause := subscriptionAgain
	if late {
		pause = subscriptionSeldom
	}
	outcome, ended := s.reconciler.subscriptions.Drop(key, subscriptions.Subscription{Hosts: broker.Status.Hosts, VirtualHost: broker.Status.VirtualHost,
		Flavor: string(broker.Status.Flavor), Credentials: credentials, Branch: key.Branch, Link: key.Link, Channel: key.Channel}, pause)
	return outcome, ended, nil
}

// stillRuns reports whether somebody may use the subscription: its node is there
// again, or its pod has not ended.
func (s *clusterScope) stillRuns(ctx context.Context, left *v1alpha1.LeftSubscription) (bool, error) {
	for _, node := range s.nodes {
		if node.Spec.BranchID != left.BranchID {
			continue
		}
		return true, nil
	}
	pods := &corev1.PodList{}
	if err := s.reconciler.client.List(ctx, pods, client.InNamespace(s.cluster.Namespace), client.MatchingLabels{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelCluster: s.cluster.Name, v1alpha1.LabelComponent: v1alpha1.ComponentNode}); err != nil {
		return false, fmt.Errorf("listing the pods of VesperCluster %s/%s: %w", s.cluster.Namespace, s.cluster.Name, err)
	}
	return slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool {
		group := pod.Labels[v1alpha1.LabelGroup]
		return pod.Name == resources.NodePodName(topology.NodeName(s.cluster.Name, group, branch.ID(left.BranchID)))
	}), nil
}

// credentials are those that nodes log in with at a broker; nil for no login. A
// Secret of the user's is read from the API server: the cache holds only the
// operator's own.
func (s *clusterScope) credentials(ctx context.Context, broker *v1alpha1.VesperBroker) (stomp.CredentialSource, error) {
	name := broker.Status.CredentialsSecret
	if name == "" {
		return nil, nil //nolint:nilnil // no login
	}
	secret, err := readMaybe(ctx, s.reconciler.live, broker.Namespace, name, &corev1.Secret{})
	if err != nil || secret == nil {
		return nil, err
	}
	return stomp.StaticCredentials(string(secret.Data[v1alpha1.CredentialsUsernameKey]), string(secret.Data[v1alpha1.CredentialsPasswordKey])), nil
}
