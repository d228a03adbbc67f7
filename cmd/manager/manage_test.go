package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/api/v1alpha1"
)

// home is where the operator runs in these tests, as in config/default.
const home = "vesper-system"

// operatorLog is where the operators of all tests log: the libraries keep the
// logger that they are given first.
var (
	operatorLog lockedBuffer
	logOnce     sync.Once
)

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// startAPIServer runs a kube-apiserver with the CRDs, the operator's namespace
// and account, and returns a configuration with all rights.
func startAPIServer(t *testing.T) (*rest.Config, client.Client) {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("needs a kube-apiserver: run `make integration`, or set KUBEBUILDER_ASSETS to what `go run ./hack/localkube assets` prints")
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	cfg, err := env.Start()
	if err != nil {
		t.Fatalf("starting kube-apiserver and etcd: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping kube-apiserver and etcd: %v", err)
		}
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{home, "shop"} {
		create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return cfg, c
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil {
		t.Fatalf("making %T %s: %v", object, object.GetName(), err)
	}
}

// install makes the objects of a file of config/rbac.
func install(t *testing.T, c client.Client, file string, into ...client.Object) {
	t.Helper()
	text, err := os.ReadFile("../../config/rbac/" + file)
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(strings.TrimPrefix(string(text), "---\n"), "\n---\n")
	if len(documents) != len(into) {
		t.Fatalf("%s has %d objects, want %d", file, len(documents), len(into))
	}
	for i, document := range documents {
		if err := yaml.UnmarshalStrict([]byte(document), into[i]); err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		if c != nil {
			create(t, c, into[i])
		}
	}
}

// operator is a manager that runs as the installed ServiceAccount, with the
// rights of its roles and no others.
type operator struct {
	probe string
}

func startOperator(t *testing.T, cfg *rest.Config, args ...string) *operator {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	operatorLog.Reset()
	op := &operator{probe: l.Addr().String()}
	_ = l.Close()
	o, err := parse(append([]string{"--leader-elect", "--leader-election-namespace=" + home, "--metrics-bind-address=0",
		"--health-probe-bind-address=" + op.probe, "--log-level=debug"}, args...), &operatorLog)
	if err != nil {
		t.Fatal(err)
	}
	logger, err := newLogger(&operatorLog, o.logLevel, o.logFormat)
	if err != nil {
		t.Fatal(err)
	}
	logOnce.Do(func() { logThrough(logger) }) // what is left of an operator that has ended may still log
	o.several = true
	cfg = rest.CopyConfig(cfg)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + home + ":vesper-operator",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"}}
	mgr, err := newManager(cfg, o, logger)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("running the manager: %v", err)
		}
		if t.Failed() {
			t.Logf("the operator's log:\n%s", operatorLog.String())
		}
	})
	return op
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (op *operator) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+op.probe+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz answers %s", answer.Status)
	}
	return nil
}

// liveThrough takes a broker and a cluster through their lives and fails if the
// operator lacked a right at any point.
func liveThrough(t *testing.T, c client.Client, op *operator) {
	t.Helper()
	eventually(t, "the operator to be ready", func() error { return op.ready(t.Context()) })
	create(t, c, &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: "mq", Namespace: "shop"},
		Spec: v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{DeletionPolicy: v1alpha1.DeletionDelete}}})
	three := int32(3)
	cluster := &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: "shop"},
		Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: "mq"},
			Groups: []v1alpha1.NodeGroup{{Name: "core", Replicas: &three}}}}
	create(t, c, cluster)
	sets := func(want int) func() error {
		return func() error {
			var list appsv1.StatefulSetList
			if err := c.List(t.Context(), &list, client.InNamespace("shop")); err != nil {
				return err
			}
			if len(list.Items) < want {
				return fmt.Errorf("%d StatefulSets, want %d", len(list.Items), want)
			}
			return nil
		}
	}
	eventually(t, "the broker and three nodes", sets(4))
	eventually(t, "the cluster to lose a node", func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return err
		}
		two := int32(2)
		cluster.Spec.Groups[0].Replicas = &two
		return c.Update(t.Context(), cluster)
	})
	eventually(t, "two nodes to be left", func() error {
		var list v1alpha1.VesperNodeList
		if err := c.List(t.Context(), &list, client.InNamespace("shop")); err != nil {
			return err
		}
		if len(list.Items) != 2 {
			return fmt.Errorf("%d nodes", len(list.Items))
		}
		return nil
	})
	if log := operatorLog.String(); strings.Contains(log, "is forbidden") {
		t.Errorf("the operator lacks a right:\n%s", lines(log, "is forbidden"))
	}
}

func lines(log, with string) string {
	var found []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestTheInstalledRolesAreEnough(t *testing.T) {
	cfg, c := startAPIServer(t)
	install(t, c, "role.yaml", &rbacv1.ClusterRole{})
	install(t, c, "role_binding.yaml", &rbacv1.ClusterRoleBinding{})
	install(t, c, "leader_election.yaml", &rbacv1.Role{}, &rbacv1.RoleBinding{})
	op := startOperator(t, cfg)
	liveThrough(t, c, op)
	var lease coordinationv1.Lease
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: home, Name: leaseName}, &lease); err != nil || lease.Spec.HolderIdentity == nil {
		t.Errorf("no one holds the Lease: %v", err)
	}
}

func TestRolesInTheNamespacesAreEnoughForThem(t *testing.T) {
	cfg, c := startAPIServer(t)
	var everywhere rbacv1.ClusterRole
	install(t, nil, "role.yaml", &everywhere)
	create(t, c, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "vesper-operator", Namespace: "shop"}, Rules: everywhere.Rules})
	create(t, c, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "vesper-operator", Namespace: "shop"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "vesper-operator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "vesper-operator", Namespace: home}}})
	install(t, c, "leader_election.yaml", &rbacv1.Role{}, &rbacv1.RoleBinding{})
	liveThrough(t, c, startOperator(t, cfg, "--namespaces=shop"))
}

func TestWithoutRightsTheOperatorIsNotReadyAndSaysWhatItLacks(t *testing.T) {
	cfg, c := startAPIServer(t)
	install(t, c, "leader_election.yaml", &rbacv1.Role{}, &rbacv1.RoleBinding{})
	op := startOperator(t, cfg)
	eventually(t, "the log to name what may not be listed", func() error {
		if !strings.Contains(operatorLog.String(), "vesperbrokers.vesperdb.io is forbidden") {
			return fmt.Errorf("log: %s", operatorLog.String())
		}
		return nil
	})
	if err := op.ready(t.Context()); err == nil {
		t.Error("the operator says that it is ready")
	}
}
