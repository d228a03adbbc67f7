package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeaccess"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/resources"
)

// How old what was read of a Secret of the user's may be: while all is well, and
// while a person may be putting something right. They are not watched, so that
// the operator holds nobody's Secrets in memory but those that it uses.
const (
	accessStands    = time.Minute
	accessLookAgain = 5 * time.Second
	// accessForget is when a Secret that nothing uses any more is forgotten.
	accessForget = 5 * time.Minute
)

// accessReader finds what it takes to be heard by nodes with spec.access or spec.tls.
type accessReader struct {
	client client.Client
	live   client.Reader
	now    func() time.Time

	mu   sync.Mutex
	seen map[types.NamespacedName]seenSecret
}

// seenSecret is what a Secret held when it was read; data is nil when there was none.
type seenSecret struct {
	data     map[string][]byte
	at, used time.Time
}

// nodeAccess is how the operator is heard by a node.
type nodeAccess struct {
	// guarded says that the spec has access or tls.
	guarded bool
	// heard is how by a node that runs as its spec says.
	heard nodeclient.Access
	// problem is why the node cannot be given its access.
	problem *nodeaccess.Problem
	// token is the operator's own, recorded or new; made is what it was read from.
	token string
	made  corev1.Secret
}

// read reads the Secrets that a node's spec names, and the operator's own for it.
func (r *accessReader) read(ctx context.Context, node *v1alpha1.VesperNode, maxAge time.Duration) (a nodeAccess, err error) {
	if a.guarded = node.Spec.Access != nil || node.Spec.TLS != nil; !a.guarded {
		return a, nil
	}
	if node.Spec.Access != nil {
		key := types.NamespacedName{Namespace: node.Namespace, Name: resources.NodeOperatorSecretName(node.Name)}
		if err := r.own(ctx, key, &a.made); err != nil {
			return a, err
		}
		a.token = resources.OperatorToken(a.made.Data)
	}
	secrets := nodeaccess.Secrets{}
	for _, name := range nodeaccess.Needed(node.Spec) {
		data, err := r.secret(ctx, types.NamespacedName{Namespace: node.Namespace, Name: name}, maxAge)
		if err != nil {
			return a, err
		}
		if data != nil {
			secrets[name] = data
		}
	}
	a.heard, a.problem = nodeaccess.For(node, resources.ClusterOf(node), a.token, secrets)
	return a, nil
}

// own reads a Secret that the operator made. It asks the API server, not the
// cache alone, before it makes a new token: one must not change by itself.
func (r *accessReader) own(ctx context.Context, key types.NamespacedName, into *corev1.Secret) error {
	err := r.client.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		err = r.live.Get(ctx, key, into)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Secret %s: %w", key, err)
	}
	return nil
}

// secret reads a Secret of the user's that was not read within maxAge. It returns
// nil when there is none.
func (r *accessReader) secret(ctx context.Context, key types.NamespacedName, maxAge time.Duration) (map[string][]byte, error) {
	if known, ok := r.recall(key, maxAge); ok {
		return known, nil
	}
	secret := &corev1.Secret{}
	err := r.live.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		secret.Data = nil
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s: %w", key, err)
	case secret.Data == nil:
		secret.Data = map[string][]byte{} // it exists
	}
	r.remember(key, secret.Data)
	return secret.Data, nil
}

func (r *accessReader) recall(key types.NamespacedName, maxAge time.Duration) (map[string][]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.seen[key]
	if !ok || r.now().Sub(known.at) >= maxAge {
		return nil, false
	}
	known.used = r.now()
	r.seen[key] = known
	return known.data, true
}

// remember keeps what was read, and forgets what nothing has used for long.
func (r *accessReader) remember(key types.NamespacedName, data map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for other, known := range r.seen {
		if now.Sub(known.used) > accessForget {
			delete(r.seen, other)
		}
	}
	if r.seen == nil {
		r.seen = map[types.NamespacedName]seenSecret{}
	}
	r.seen[key] = seenSecret{data: data, at: now, used: now}
}

// as is how the operator is heard by what runs in a pod, which may have been made
// before access or tls was set, or changed.
func (a nodeAccess) as(pod *corev1.Pod) nodeclient.Access {
	heard := a.heard
	if !mounts(pod, resources.NodeAccessVolume) {
		heard.Token = ""
	}
	if !mounts(pod, resources.NodeTLSVolume) {
		heard.Roots, heard.Names, heard.Cert, heard.Key = "", "", "", ""
	}
	return heard
}

func mounts(pod *corev1.Pod, volume string) bool {
	return pod != nil && slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
}

// readAccess finds how the operator is heard by the node.
func (s *nodeScope) readAccess(ctx context.Context) (err error) {
	s.access, err = s.reconciler.access.read(ctx, s.node, s.accessAge())
	return err
}

// accessAge is how old what was read of the Secrets may be.
func (s *nodeScope) accessAge() time.Duration {
	for _, condition := range s.node.Status.Conditions {
		switch {
		case condition.Type == v1alpha1.ConditionAccessReady && condition.Status != "True",
			condition.Type == v1alpha1.ConditionReplicating && condition.Reason == v1alpha1.ReasonStatusUnknown:
			return accessLookAgain
		}
	}
	return accessStands
}

// makeOperatorSecret makes the Secret with the operator's token. A token that
// somebody changes meanwhile is not undone.
func (s *nodeScope) makeOperatorSecret(ctx context.Context) error {
	if s.node.Spec.Access == nil {
		return nil
	}
	applier := s.applier()
	applier.Seen = s.access.made.ResourceVersion
	return applyUnless(ctx, s.pause.By != "", &s.pause.Waiting, applier, resources.NodeOperatorSecret(s.desired(false), s.access.token), &corev1.Secret{})
}
