package controllers

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/api/v1alpha1"
)

func TestStepsAreGatheredAndWhatMattersIsWrittenAtOnce(t *testing.T) {
	is := func(kind string, status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: status, Reason: reason}}
	}
	starting := is(v1alpha1.ConditionReady, metav1.ConditionFalse, "PodStarting")
	ready := is(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready")
	lost, shared := is(v1alpha1.ConditionStalled, metav1.ConditionTrue, "VolumeLost"), is(v1alpha1.ConditionStalled, metav1.ConditionTrue, "ChannelShared")
	now := time.Now()
	for _, test := range []struct {
		name          string
		before, after []metav1.Condition
		age, want     time.Duration
	}{
		{"another step", starting, starting, time.Second / 2, paceSteps - time.Second/2},
		{"another step, late", starting, starting, paceSteps, 0},
		{"becomes ready", starting, ready, 0, 0},
		{"ceases to be ready", ready, starting, 0, 0},
		{"stays ready", ready, ready, 0, paceSteps},
		{"stalls", starting, lost, 0, 0},
		{"stalls for another reason", lost, shared, 0, 0},
		{"goes on", lost, starting, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p pacer
			if got := p.wait("u", test.before, test.after, now); got != 0 {
				t.Errorf("the first write waits %v", got)
			}
			p.wrote("u", now.Add(-test.age))
			if got := p.wait("u", test.before, test.after, now); got != test.want {
				t.Errorf("waits %v, want %v", got, test.want)
			}
		})
	}
}

func TestThePacerForgetsObjectsThatAreGone(t *testing.T) {
	var p pacer
	now := time.Now()
	for i := range 5000 {
		p.wrote(types.UID(fmt.Sprint(i)), now)
		now = now.Add(time.Millisecond)
	}
	if len(p.last) > 4097 {
		t.Errorf("remembers %d objects", len(p.last))
	}
}
