package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"vesperdb.io/vesper/internal/stomp/broker"
)

// world is all that there is around the operator, and what was found out about it.
type world struct {
	options    *options
	out        io.Writer
	began      time.Time
	env        *envtest.Environment
	client     client.Client
	proxy      *proxy
	counter    *counter
	kubeconfig string
	broker     *broker.Broker
	fleet      *fleet
	nodes      *nodes
	kubelet    *kubelet
	end        context.CancelFunc
	cacheEnded chan error

	started  int // operators
	managers []*manager
	leader   *manager
	tries    int // probes
	figures  Figures

	mu     sync.Mutex
	broken []string
}

// newWorld starts everything but the operator.
func newWorld(ctx context.Context, o *options, out io.Writer) (_ *world, err error) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	w := &world{options: o, out: out, began: time.Now(), cacheEnded: make(chan error, 1), counter: newCounter()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err := os.MkdirAll(o.logs, 0o750); err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	w.say("starting etcd and kube-apiserver")
	env, cfg, err := startAPIServer(o.root)
	if err != nil {
		return nil, err
	}
	w.env = env
	if w.client, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if err := errors.Join(installRoles(ctx, w.client, o.root), w.startBroker()); err != nil {
		return nil, err
	}
	if err := w.watch(cfg, scheme); err != nil {
		return nil, err
	}
	if w.proxy, err = startProxy(operatorConfig(cfg), scheme, w.counter); err != nil {
		return nil, err
	}
	w.kubeconfig = filepath.Join(o.logs, "kubeconfig")
	return w, w.proxy.kubeconfig(w.kubeconfig)
}

// startBroker starts the broker that the operator asks for a login. Nothing is sent over it.
func (w *world) startBroker() (err error) {
	if w.broker, err = broker.Start(broker.Options{MaxConnections: 100000}); err != nil {
		return fmt.Errorf("starting a broker: %w", err)
	}
	return nil
}

// watch starts what lives from watches: what is known of the fleet, and the kubelet.
func (w *world) watch(cfg *rest.Config, scheme *runtime.Scheme) error {
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	watched, err := cache.New(cfg, cache.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("making a cache: %w", err)
	}
	w.fleet = newFleet(w.breaks)
	w.nodes = newNodes(w.fleet)
	go func() { w.cacheEnded <- watched.Start(ctx) }()
	if err := w.fleet.watch(ctx, watched, w.counter.saw); err != nil {
		return err
	}
	w.kubelet, err = startKubelet(ctx, w.client, watched, w.nodes, w.breaks)
	return err
}

// close ends all that newWorld and the phases started.
func (w *world) close() error {
	var failed []error
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, m := range w.managers {
		if m.running() {
			failed = append(failed, m.signal(ctx, syscall.SIGTERM))
		}
	}
	if w.end != nil {
		w.end()
		failed = append(failed, <-w.cacheEnded)
	}
	if w.nodes != nil {
		failed = append(failed, w.nodes.close())
	}
	if w.proxy != nil {
		failed = append(failed, w.proxy.close())
	}
	if w.broker != nil {
		w.broker.Close()
	}
	if w.env != nil {
		failed = append(failed, w.env.Stop())
	}
	return errors.Join(failed...)
}

// say tells how far the run is.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(w.out, "%6.0f s  %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

// breaks notes that a promise was broken.
func (w *world) breaks(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.broken) < 100 && !slices.Contains(w.broken, message) {
		w.broken = append(w.broken, message)
	}
}

// Phase is what the operator did and took in a part of its life.
type Phase struct {
	Seconds float64 `json:"seconds"`
	Counts
	// Asked is how many questions the nodes were asked.
	Asked int64 `json:"asked"`
	// RSS is the memory of the operator at the end and Peak the most in between, in
	// MiB. Program is the part of RSS that is pages of the program's file.
	RSS     float64 `json:"rssMiB"`
	Program float64 `json:"programMiB"`
	Peak    float64 `json:"peakMiB"`
	// CPU is its processor time in seconds.
	CPU float64 `json:"cpuSeconds"`
}

// meter measures a phase.
type meter struct {
	world  *world
	at     time.Time
	counts Counts
	asked  int64
	leader *manager
	usage  usage
}

// begin begins to measure. A leader that is not started yet has taken nothing.
func (w *world) begin() (*meter, error) {
	m := &meter{world: w, at: time.Now(), counts: w.counter.now(), asked: w.nodes.asked.Load(), leader: w.leader}
	if w.leader == nil {
		return m, nil
	}
	if err := w.leader.restartPeak(); err != nil {
		return nil, err
	}
	var err error
	m.usage, err = w.leader.usage()
	return m, err
}

// end returns what was measured.
func (m *meter) end() (Phase, error) {
	p := Phase{Seconds: time.Since(m.at).Seconds(), Counts: m.world.counter.now().since(m.counts), Asked: m.world.nodes.asked.Load() - m.asked}
	now, err := m.world.leader.usage()
	if m.leader != m.world.leader {
		m.usage = usage{}
	}
	p.RSS, p.Program, p.Peak, p.CPU = now.rss, now.program, now.peak, now.cpu-m.usage.cpu
	return p, err
}

// settle waits until nothing was written for a while.
func (w *world) settle(ctx context.Context, quiet time.Duration) error {
	before, last := w.counter.now().Writes, time.Now()
	return until(ctx, w.options.patient, "the operator to write nothing", func() (bool, string) {
		if now := w.counter.now().Writes; now != before {
			before, last = now, time.Now()
		}
		return time.Since(last) >= quiet, fmt.Sprintf("%d writes so far", before)
	})
}
