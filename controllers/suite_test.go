package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"vesperdb.io/vesper/api/v1alpha1"
)

// apiServer is the one kube-apiserver and etcd that the tests of this package
// share, each in a namespace of its own. It is started by the first test that
// needs it.
var apiServer struct {
	once sync.Once
	env  *envtest.Environment
	cfg  *rest.Config
	err  error
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if apiServer.env != nil {
		if err := apiServer.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping kube-apiserver and etcd:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func testScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		panic(err)
	}
	return scheme
}

// startAPIServer returns the configuration of the shared API server, which has
// the project's CRDs. It skips the test when the binaries are not there.
func startAPIServer(t *testing.T) *rest.Config {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("needs a kube-apiserver: run `make integration`, which sets KUBEBUILDER_ASSETS")
	}
	apiServer.once.Do(func() {
		apiServer.env = &envtest.Environment{
			CRDDirectoryPaths:     []string{filepath.Join("..", "config", "crd", "bases")},
			ErrorIfCRDPathMissing: true,
		}
		// All tests share it, and their Services stay: the usual /24 would run out of addresses.
		apiServer.env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.96.0.0/16")
		apiServer.cfg, apiServer.err = apiServer.env.Start()
	})
	if apiServer.err != nil {
		t.Fatalf("starting kube-apiserver and etcd from %s: %v", os.Getenv("KUBEBUILDER_ASSETS"), apiServer.err)
	}
	cfg := rest.CopyConfig(apiServer.cfg)
	cfg.QPS = -1
	return cfg
}

// cluster is one test's namespace on the shared API server, with a client that
// asks the server itself.
type cluster struct {
	client.Client
	Namespace string
	cfg       *rest.Config
	also      []string  // more namespaces that operators run for
	second    *operator // of a test in which one operator takes over from another
	brokers   *dropper  // what is asked of brokers
}

// newCluster makes a namespace for the test.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	cfg := startAPIServer(t)
	c, err := client.New(cfg, client.Options{Scheme: testScheme()})
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	return &cluster{Client: client.NewNamespacedClient(c, ns.Name), Namespace: ns.Name, cfg: cfg, brokers: &dropper{}}
}

// operator is a running manager whose requests are counted.
type operator struct {
	// dieAt is the number of the request that changes something at which the
	// operator dies, 0 for never: that one and all after it fail. lostAnswer:
	// that one is carried out, and only its answer is lost.
	dieAt      int64
	lostAnswer bool
	// lag is how late its caches hear of anything.
	lag time.Duration

	writes atomic.Int64
	mu     sync.Mutex
	log    []string
	stop   func()
}

// RoundTripper that counts requests which change something, events and all.
type countingTransport struct {
	next http.RoundTripper
	op   *operator
}

func (c countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return c.next.RoundTrip(r)
	}
	n := c.op.writes.Add(1)
	c.op.mu.Lock()
	c.op.log = append(c.op.log, r.Method+" "+r.URL.Path)
	c.op.mu.Unlock()
	if c.op.dieAt == 0 || n < c.op.dieAt {
		return c.next.RoundTrip(r)
	}
	if c.op.lostAnswer && n == c.op.dieAt {
		if response, err := c.next.RoundTrip(r); err == nil {
			_ = response.Body.Close()
		}
	}
	return nil, errors.New("the operator is dead")
}

// Writes is the number of requests so far that were not reads.
func (o *operator) Writes() int64 { return o.writes.Load() }

// WritesSince lists the requests after the first n that were not reads.
func (o *operator) WritesSince(n int64) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.log[min(int(n), len(o.log)):]...)
}

// Stop ends the manager and waits for it. It may be called twice.
func (o *operator) Stop() { o.stop() }

// run starts a manager restricted to the test's namespace, with the caches of
// the real one, and stops it with the test.
func (c *cluster) run(t *testing.T, setup ...func(manager.Manager) error) *operator {
	t.Helper()
	op := &operator{}
	c.runAs(t, op, setup...)
	return op
}

// runAs is run for an operator that dies on the way.
func (c *cluster) runAs(t *testing.T, op *operator, setup ...func(manager.Manager) error) {
	t.Helper()
	cfg := rest.CopyConfig(c.cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return countingTransport{next, op} })
	if op.lag > 0 {
		cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return laggingTransport{next, op.lag} })
	}
	skip, namespaces := true, append([]string{c.Namespace}, c.also...)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:     testScheme(),
		Cache:      CacheOptions(namespaces),
		Client:     ClientOptions(namespaces),
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
		Logger:     logr.Discard(),
	})
	if err != nil {
		t.Fatalf("making a manager: %v", err)
	}
	for _, f := range setup {
		if err := f(mgr); err != nil {
			t.Fatalf("setting up a controller: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	op.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("running the manager: %v", err)
		}
	})
	t.Cleanup(op.Stop)
}

// eventually polls check until it returns nil, and fails with its last error
// after a generous time.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 2 minutes: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// quietFor returns the requests that changed something in a whole period d with
// nothing to do. It waits first until a period of that length brought none, at
// most for two minutes, so that work in progress does not count.
func (o *operator) quietFor(d time.Duration) []string {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		before := o.Writes()
		time.Sleep(d)
		if after := o.WritesSince(before); len(after) == 0 || time.Now().After(deadline) {
			return after
		}
	}
}

// wantRefused fails unless err is the API server's refusal with the message.
func wantRefused(t *testing.T, err error, message string) {
	t.Helper()
	if err == nil {
		t.Errorf("was accepted, want it refused with %q", message)
	} else if !strings.Contains(err.Error(), message) {
		t.Errorf("was refused with %q, want %q in it", err, message)
	}
}
