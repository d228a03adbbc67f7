package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// TestAnOperatorThatDiesAtAnyWriteIsTakenOverWithoutHarm makes a cluster, then
// scales it down and up, with an operator that dies at its k-th write, whether
// that was carried out or not, and lets another take over: the nodes and ids are
// those of an operator that did not die, and every id has its own volume.
func TestAnOperatorThatDiesAtAnyWriteIsTakenOverWithoutHarm(t *testing.T) {
	startAPIServer(t)
	step := int64(3)
	if testing.Short() {
		step = 10
	}
	for k := int64(1); k <= 30; k += step {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, carried out %v", k, lost), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				kubelet := newKubelet(t, c)
				c.readyBroker(t, "mq")
				c.makeCluster(t, "shop", 2)
				c.dieAndTakeOver(t, kubelet, k, lost)
				c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
				c.scale(t, "shop", 1)
				c.dieAndTakeOver(t, kubelet, k, lost)
				c.clusterReady(t, "shop", "shop-core-0a")
				c.scale(t, "shop", 2)
				c.dieAndTakeOver(t, kubelet, k, lost)
				c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0c")
				c.wantOwnVolumes(t)
			})
		}
	}
}

// dieAndTakeOver runs an operator until it dies at its k-th write or has nothing
// more to do, and then another, which goes on running.
func (c *cluster) dieAndTakeOver(t *testing.T, kubelet *kubelet, k int64, lost bool) {
	t.Helper()
	if c.second != nil {
		c.second.Stop()
	}
	first := &operator{dieAt: k, lostAnswer: lost}
	c.operateAs(t, first, kubelet)
	for idle, seen := 0, int64(0); idle < 12 && first.Writes() < k; idle++ {
		if now := first.Writes(); now != seen {
			idle, seen = 0, now
		}
		time.Sleep(50 * time.Millisecond)
	}
	first.Stop()
	c.second = c.operate(t, kubelet)
}

// wantOwnVolumes checks the ledger against the claims that exist.
func (c *cluster) wantOwnVolumes(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		for _, a := range c.ledger(t, "shop").Assigned {
			claim := &corev1.PersistentVolumeClaim{}
			mustGet(t, c, "data-shop-core-"+map[string]string{"0A": "0a", "0C": "0c"}[a.ID], claim)
			if a.VolumeUID != string(claim.UID) || claim.Annotations[v1alpha1.AnnotationBranchID] != a.ID {
				return fmt.Errorf("ledger has %+v for claim %s of uid %s", a, claim.Name, claim.UID)
			}
		}
		return nil
	})
}
