package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// anImageIsRolled gives the nodes another image: each runs it in the end, is who it
// was, and at no time were two of them away. Without an image, on a cluster of the
// user's own, the pods get a label.
func (s *story) anImageIsRolled(image string) {
	before := s.identities()
	pods := map[string]string{}
	for node := range before {
		pods[node] = s.uid("pod", pod(node))
	}
	order := watchPods(s.world)
	if image == "" {
		s.in("patch", "vespercluster", "shop", "--type=merge", "-p", `{"spec":{"podTemplate":{"metadata":{"labels":{"rolled":"yes"}}}}}`)
	} else {
		s.image = image
		s.replicas(3)
	}
	for node, uid := range pods {
		s.replaced("pod", pod(node), uid)
		if image == "" {
			continue
		}
		s.eventually(node+" to run "+image, func() error {
			status, err := s.status(node)
			if err == nil && status.Version != nextTag {
				err = fmt.Errorf("it runs version %s", status.Version)
			}
			return err
		})
	}
	s.sameNodes(before)
	order.end()
}

// podsAway knows from every change of the pods of a cluster which of them are away: from
// the moment that they are told to end, until their successors are ready for the first
// time, and Services send somebody there.
type podsAway struct {
	t      *testing.T
	away   map[string]bool
	closed chan struct{}
	cancel context.CancelFunc
}

// watchPods complains if two pods of the cluster are away at the same time.
func watchPods(w *world) *podsAway {
	w.t.Helper()
	config, err := kube.Config()
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	p := &podsAway{t: w.t, away: map[string]bool{}, closed: make(chan struct{}), cancel: cancel}
	selector := metav1.ListOptions{LabelSelector: "vesperdb.io/cluster=shop,app.kubernetes.io/name=vesper-node"}
	list, err := client.CoreV1().Pods(w.namespace).List(ctx, selector)
	if err != nil {
		w.t.Fatal(err)
	}
	selector.ResourceVersion = list.ResourceVersion
	events, err := client.CoreV1().Pods(w.namespace).Watch(ctx, selector)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.closed)
		for event := range events.ResultChan() {
			if ctx.Err() == nil { // the end of the watch is an event too
				p.see(event)
			}
		}
		if ctx.Err() == nil {
			w.t.Error("the watch of the pods ended before the roll did")
		}
	}()
	w.t.Cleanup(p.end)
	return p
}

func (p *podsAway) see(event watch.Event) {
	pod, ok := event.Object.(*corev1.Pod)
	if !ok {
		p.t.Errorf("watching pods: %v", event.Object)
		return
	}
	switch {
	case event.Type == watch.Deleted || pod.DeletionTimestamp != nil:
		p.away[pod.Name] = true
	case ready(pod):
		delete(p.away, pod.Name)
	}
	if len(p.away) > 1 {
		p.t.Errorf("%s: pods %v are away at the same time", time.Now().Format(time.TimeOnly), p.away)
	}
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (p *podsAway) end() {
	p.cancel()
	<-p.closed
}
