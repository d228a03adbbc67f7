package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/api/v1alpha1"
)

// paceSteps is how long the steps of an object on its way (pod missing, pod
// starting, one of three ready, two of three ...) are gathered before they are
// written. What a person waits for or must act on is written at once.
const paceSteps = 2 * time.Second

// pacer remembers when statuses were last written. Its zero value is ready.
type pacer struct {
	mu   sync.Mutex
	last map[types.UID]time.Time
}

// wait says how long the write of a status should wait; zero is not at all.
func (p *pacer) wait(uid types.UID, before, after []metav1.Condition, now time.Time) time.Duration {
	if urgent(before, after) {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.last[uid]
	if !known {
		return 0
	}
	return max(0, paceSteps-now.Sub(last))
}

// wrote notes that a status was written.
func (p *pacer) wrote(uid types.UID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[types.UID]time.Time{}
	}
	p.last[uid] = now
	if len(p.last) > 4096 { // of objects that are long gone, too
		for old, at := range p.last {
			if now.Sub(at) > paceSteps {
				delete(p.last, old)
			}
		}
	}
}

// urgent reports whether an object became or ceased to be Ready, or a person
// has to act now and had not to before, or for another reason.
func urgent(before, after []metav1.Condition) bool {
	return meta.IsStatusConditionTrue(before, v1alpha1.ConditionReady) != meta.IsStatusConditionTrue(after, v1alpha1.ConditionReady) ||
		reasonOf(before, v1alpha1.ConditionStalled) != reasonOf(after, v1alpha1.ConditionStalled)
}
