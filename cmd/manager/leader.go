package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the Lease that the leader holds; the leader-election Role names it.
const leaseName = "vesper-operator"

// namespaceFile is where a pod finds its own namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// lease is the lock that the leader holds, nil without leader election. With an
// identity that a pod keeps when its container is restarted, one that ended
// without a word goes on at once in place of waiting for its own Lease to expire.
func lease(cfg *rest.Config, o *options) (resourcelock.Interface, error) {
	if !o.leaderElect {
		return nil, nil
	}
	namespace := o.leaderNamespace
	if namespace == "" {
		own, err := os.ReadFile(namespaceFile)
		if errors.Is(err, os.ErrNotExist) {
			return nil, errors.New("--leader-elect outside of a pod needs --leader-election-namespace: the namespace of the Lease")
		}
		if err != nil {
			return nil, fmt.Errorf("finding the namespace of the Lease: %w", err)
		}
		namespace = strings.TrimSpace(string(own))
	}
	identity := o.leaderIdentity
	if identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("finding a name for the holder of the Lease: %w", err)
		}
		identity = host + "_" + string(uuid.NewUUID())
	}
	cfg = rest.AddUserAgent(cfg, "leader-election")
	cfg.Timeout = max(o.renewDeadline/2, time.Second) // one request that hangs must not cost the lead
	events, err := corev1.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a client for events of the Lease: %w", err)
	}
	leases, err := coordinationv1.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a client for the Lease: %w", err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, leaseName, events, leases, resourcelock.ResourceLockConfig{Identity: identity})
	if err != nil {
		return nil, fmt.Errorf("preparing the Lease %s/%s: %w", namespace, leaseName, err)
	}
	return lock, nil
}
