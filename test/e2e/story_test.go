package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"vesperdb.io/vesper/hack/devcluster"
	"vesperdb.io/vesper/internal/branch"
)

// seedFromEnv is the seed of all chance in a story: E2E_SEED, or a new one.
func seedFromEnv(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1_000_000)
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("E2E_SEED: %v", err)
		}
	}
	t.Logf("E2E_SEED=%d", seed)
	return seed
}

// TestNothingAcknowledgedIsLostWhateverIsDoneToACluster is the life of one cluster,
// under writes and with an operator that is restarted at random moments throughout.
func TestNothingAcknowledgedIsLostWhateverIsDoneToACluster(t *testing.T) {
	t.Parallel()
	seed := seedFromEnv(t)
	next := nextImage(t)
	w := newCluster(t, 3)
	s := &story{world: w, load: startLoad(w, seed), chance: rand.New(rand.NewPCG(seed, 100))}
	restarts := restartOperator(t, rand.New(rand.NewPCG(seed, 200)))

	for _, step := range []struct {
		name string
		do   func()
	}{
		{"pods are killed", s.podsAreKilled},
		{"children are edited and deleted by hand", s.childrenAreEdited},
		{"StatefulSets are deleted by hand", s.statefulSetsAreDeleted},
		{"a node comes, and goes", s.aNodeComesAndGoes},
		{"a pod and its claim are deleted", s.aVolumeIsLost},
		{"an image is rolled", func() { s.anImageIsRolled(<-next) }},
		{"the cluster is deleted and made again", s.theClusterIsMadeAgain},
	} {
		start := time.Now()
		step.do()
		if t.Failed() {
			t.Fatalf("when %s", step.name)
		}
		t.Logf("%s: %.0f s", step.name, time.Since(start).Seconds())
	}
	restarts.end()
	w.keptAll(s.load, s.lost...)
}

// story is one cluster, those that write to it, and what was done to it.
type story struct {
	*world
	load   *load
	chance *rand.Rand
	// image of the nodes, "" for the operator's.
	image string
	// lost are the branch ids whose volumes were taken away.
	lost []branch.ID
}

func (s *story) someNode() string {
	nodes := s.nodes()
	return nodes[s.chance.IntN(len(nodes))]
}

// apply makes the cluster have that many replicas, and waits until it is Ready.
func (s *story) replicas(n int) {
	s.t.Helper()
	text := manifest(n)
	if s.image != "" {
		text += "  image: " + s.image + "\n"
	}
	s.apply(text)
	s.waitReady(n)
}

// identity is what makes a node that node: its branch id, the first start of its
// store, and its volume.
func (s *story) identity(node string) string {
	s.t.Helper()
	var identity string
	s.eventually(node+" to say who it is", func() error {
		status, err := s.status(node)
		if err != nil {
			return err
		}
		claim, err := kube.Kubectl(s.t.Context(), "get", "pvc", "-n", s.namespace, "data-"+node, "-o", "jsonpath={.metadata.uid}")
		identity = fmt.Sprintf("branch %s of store %s on claim %s", status.Branch, status.Incarnation, claim)
		return err
	})
	return identity
}

// identities are those of all nodes, by name.
func (s *story) identities() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, node := range s.nodes() {
		all[node] = s.identity(node)
	}
	return all
}

// sameNodes waits until the cluster is Ready, and checks that it has the nodes it had.
func (s *story) sameNodes(before map[string]string) {
	s.t.Helper()
	s.waitReady(len(before))
	for node, was := range before {
		if is := s.identity(node); is != was {
			s.t.Errorf("%s was %s, is %s", node, was, is)
		}
	}
}

// uid of an object, "" when it does not exist.
func (s *story) uid(kind, name string) string {
	s.t.Helper()
	return s.in("get", kind, name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
}

// replaced waits until there is another object of that name.
func (s *story) replaced(kind, name, uid string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("another %s %s", kind, name), func() error {
		if now := s.uid(kind, name); now == "" || now == uid {
			return fmt.Errorf("its UID was %s, is %q", uid, now)
		}
		return nil
	})
}

func (s *story) podsAreKilled() {
	before := s.identities()
	kill := func(nodes ...string) {
		uids := map[string]string{}
		args := []string{"delete", "pod", "--grace-period=0", "--force"}
		for _, node := range nodes {
			uids[node] = s.uid("pod", pod(node))
			args = append(args, pod(node))
		}
		s.in(args...)
		for node, uid := range uids {
			s.replaced("pod", pod(node), uid)
		}
	}
	kill(s.someNode())
	s.sameNodes(before)
	kill(s.nodes()...)
	s.sameNodes(before)
}

func (s *story) statefulSetsAreDeleted() {
	before, nodes := s.identities(), s.nodes()
	withPod, alone := nodes[0], nodes[1]
	sets := map[string]string{withPod: s.uid("statefulset", withPod), alone: s.uid("statefulset", alone)}
	survivor := s.uid("pod", pod(alone))
	s.in("delete", "statefulset", alone, "--cascade=orphan")
	s.in("delete", "statefulset", withPod)
	for node, uid := range sets {
		s.replaced("statefulset", node, uid)
	}
	s.sameNodes(before)
	if now := s.uid("pod", pod(alone)); now != survivor {
		s.t.Errorf("the pod of %s was %s, is %s: it need not have been restarted", alone, survivor, now)
	}
}

func (s *story) aNodeComesAndGoes() {
	before := s.identities()
	s.replicas(4)
	nodes := s.nodes()
	added, id := nodes[3], s.branchOf(nodes[3])
	s.load.use(nodes)
	s.hasAllOf(added, nodes[0])
	s.replicas(3)
	s.load.use(s.nodes())
	s.sameNodes(before)
	s.retired(id)
}

// hasAllOf waits until a node has what another one has now.
func (s *story) hasAllOf(node, other string) {
	s.t.Helper()
	want, err := s.status(other)
	if err != nil {
		s.t.Fatal(err)
	}
	s.eventually(node+" to have all that "+other+" has", func() error {
		status, err := s.status(node)
		if err == nil && !status.Revision.CoversAll(want.Revision) {
			err = fmt.Errorf("it is at %s, not at %s", status.Revision, want.Revision)
		}
		return err
	})
}

// retired checks that an id is behind the ledger's high-water mark and nobody's.
func (s *story) retired(id branch.ID) {
	s.t.Helper()
	last := s.in("get", "vespercluster", "shop", "-o", "jsonpath={.status.ledger.lastBranchID}")
	for _, node := range s.nodes() {
		if s.branchOf(node) == id {
			s.t.Errorf("%s has id %s, which is retired", node, id)
		}
	}
	if last < string(id) {
		s.t.Errorf("the ledger's last id is %s: %s could be given out again", last, id)
	}
}

func (s *story) aVolumeIsLost() {
	node := s.someNode()
	id := s.branchOf(node)
	s.load.spare(node)
	s.hasPassedOn(node)
	s.lost = append(s.lost, id)
	s.in("delete", "pvc", "data-"+node, "--wait=false")
	s.in("delete", "pod", pod(node), "--grace-period=0", "--force")
	s.eventually(node+" to be replaced by one with a fresh id", func() error {
		if nodes := s.nodes(); slices.Contains(nodes, node) {
			return fmt.Errorf("nodes are %v", nodes)
		}
		return nil
	})
	s.load.use(slices.DeleteFunc(s.nodes(), func(n string) bool { return n == node }))
	s.load.spare("")
	s.waitReady(3)
	s.load.use(s.nodes())
	s.retired(id)
}

// hasPassedOn waits until the other nodes have all that a node had when it was asked.
func (s *story) hasPassedOn(node string) {
	s.t.Helper()
	for _, peer := range s.nodes() {
		s.hasAllOf(peer, node)
	}
}

func (s *story) theClusterIsMadeAgain() {
	before, claims := s.identities(), s.pvcs()
	s.in("delete", "vespercluster", "shop", "--timeout=2m")
	s.eventually("the nodes' pods to be gone", func() error {
		if pods := s.in("get", "pods", "-l", "app.kubernetes.io/name=vesper-node", "-o", "name"); pods != "" {
			return fmt.Errorf("still there: %s", pods)
		}
		return nil
	})
	s.replicas(3)
	s.sameNodes(before)
	for claim, volume := range claims {
		if now := s.pvcs()[claim]; now != volume {
			s.t.Errorf("claim %s had volume %s, has %q", claim, volume, now)
		}
	}
}

// nextImage builds the node as another version beside what else goes on, and gives
// its image; "" on a cluster of the user's own, which is given no images.
func nextImage(t *testing.T) <-chan string {
	image := make(chan string, 1)
	if kube.Choice == devcluster.Current {
		image <- ""
		return image
	}
	go func() {
		defer close(image)
		if err := kube.LoadVersion(t.Context(), devcluster.Version{Tag: nextTag, Programs: []string{"node"}}); err != nil {
			t.Errorf("bringing another version of the node into the cluster: %v", err)
			return
		}
		image <- devcluster.NodeImage(nextTag)
	}()
	return image
}

// nextTag is the tag, and what it says of itself, of another version of the node.
const nextTag = "next"

// disturbance is something that goes on beside a test until it is ended.
type disturbance struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (d *disturbance) end() {
	d.cancel()
	<-d.done
}

// restartOperator ends the operator's pod at random moments, now and then without a
// chance to say goodbye: then the next one waits for its Lease to expire. Each gets
// some time to work before it is the next one's turn.
func restartOperator(t *testing.T, chance *rand.Rand) *disturbance {
	ctx, cancel := context.WithCancel(t.Context())
	d := &disturbance{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		restarts := 0
		for {
			select {
			case <-ctx.Done():
				t.Logf("the operator was restarted %d times", restarts)
				return
			case <-time.After(time.Duration(2+chance.IntN(30)) * time.Second):
			}
			args := []string{"delete", "pod", "-n", devcluster.OperatorNamespace, "-l", "app.kubernetes.io/name=vesper-operator", "--wait=false"}
			if chance.IntN(6) == 0 {
				args = append(args, "--grace-period=0", "--force")
			}
			_, err := kube.Kubectl(ctx, args...)
			if err == nil {
				restarts++
				_, err = kube.Kubectl(ctx, "rollout", "status", "deployment/vesper-operator", "-n", devcluster.OperatorNamespace, "--timeout=1m")
			}
			if err != nil && ctx.Err() == nil {
				t.Logf("restarting the operator: %v", err)
			}
		}
	}()
	t.Cleanup(d.end)
	return d
}
