package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"vesperdb.io/vesper/controllers"
	"vesperdb.io/vesper/internal/version"
)

// options are the program's flags.
type options struct {
	version bool

	namespaces  string
	nodeImage   string
	brokerImage string
	concurrency int

	metricsAddress string
	metricsSecure  bool
	probeAddress   string

	leaderElect     bool
	leaderNamespace string
	leaderIdentity  string
	leaseDuration   time.Duration
	renewDeadline   time.Duration
	retryPeriod     time.Duration

	shutdownTimeout time.Duration
	logLevel        string
	logFormat       string

	// several is set by tests, which run one manager after another in a process.
	several bool
}

// defaultNodeImage is the node of the same release.
func defaultNodeImage() string { return "vesper/node:" + version.Version }

// parse reads the command line. flag.ErrHelp means that the usage was asked for
// and written to out.
func parse(args []string, out io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("vesper-manager", flag.ContinueOnError)
	set.SetOutput(out)
	set.BoolVar(&o.version, "version", false, "print the release and end")
	set.StringVar(&o.namespaces, "namespaces", "", "namespaces to look after, separated by commas (default all; with some, Roles in them are enough)")
	set.StringVar(&o.nodeImage, "default-node-image", defaultNodeImage(), "image of nodes that name none; those that run keep theirs")
	set.StringVar(&o.brokerImage, "default-broker-image", controllers.DefaultBrokerImage, "image of managed brokers that name none; those that run keep theirs")
	set.IntVar(&o.concurrency, "concurrency", 4, "objects of each kind to work on at the same time, 1 to 64")
	set.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "host:port of /metrics; 0 for none")
	set.BoolVar(&o.metricsSecure, "metrics-secure", false, "serve metrics over TLS, to those only whom RBAC allows to get the URL /metrics")
	set.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "host:port of /healthz and /readyz")
	set.BoolVar(&o.leaderElect, "leader-elect", false, "work only while holding the Lease, so that several may run")
	set.StringVar(&o.leaderNamespace, "leader-election-namespace", "", "namespace of the Lease (default the pod's own)")
	set.StringVar(&o.leaderIdentity, "leader-election-identity", "", "name of the Lease's holder, never that of two at a time: with the pod's UID, a container that is restarted leads on at once (default a random one)")
	set.DurationVar(&o.leaseDuration, "leader-election-lease-duration", 15*time.Second, "how long others wait for a leader that is silent")
	set.DurationVar(&o.renewDeadline, "leader-election-renew-deadline", 10*time.Second, "how long a leader that cannot renew goes on; less than the lease's duration")
	set.DurationVar(&o.retryPeriod, "leader-election-retry-period", time.Second, "how often to renew or try; less than the renew deadline")
	set.DurationVar(&o.shutdownTimeout, "shutdown-timeout", 15*time.Second, "how long work in progress may take after SIGTERM")
	set.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	set.StringVar(&o.logFormat, "log-format", "json", "json or text")
	config.RegisterFlags(set) // --kubeconfig
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("argument %q is not understood: all options begin with --", set.Arg(0))
	}
	return o, o.check()
}

// check finds every option that cannot work, and names it.
func (o *options) check() error {
	var wrong []error
	complain := func(name string, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("--%s: "+format, append([]any{name}, args...)...))
	}
	for _, namespace := range o.namespaceList() {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			complain("namespaces", "%q is not the name of a namespace: %s", namespace, problems[0])
		}
	}
	if strings.Contains(o.leaderIdentity, "$(") {
		complain("leader-election-identity", "%q is what all pods would be called: the container lacks that environment variable (valueFrom fieldRef metadata.uid)", o.leaderIdentity)
	}
	if o.concurrency < 1 || o.concurrency > 64 {
		complain("concurrency", "%d is not between 1 and 64", o.concurrency)
	}
	for name, image := range map[string]string{"default-node-image": o.nodeImage, "default-broker-image": o.brokerImage} {
		if image == "" || strings.ContainsAny(image, " \t\n") {
			complain(name, "%q is not an image", image)
		}
	}
	for name, address := range map[string]string{"metrics-bind-address": o.metricsAddress, "health-probe-bind-address": o.probeAddress} {
		if _, _, err := net.SplitHostPort(address); err != nil && address != "0" {
			complain(name, "%q is not host:port, such as :8080", address)
		}
	}
	wrong = append(wrong, o.checkTimes())
	if _, err := newLogger(io.Discard, o.logLevel, o.logFormat); err != nil {
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// checkTimes finds durations that cannot work together.
func (o *options) checkTimes() error {
	if o.retryPeriod <= 0 || o.retryPeriod >= o.renewDeadline || o.renewDeadline >= o.leaseDuration {
		return fmt.Errorf("--leader-election-lease-duration: %v must be more than the renew deadline %v, and that more than the retry period %v",
			o.leaseDuration, o.renewDeadline, o.retryPeriod)
	}
	if o.shutdownTimeout <= 0 {
		return fmt.Errorf("--shutdown-timeout: %v is not a time to wait", o.shutdownTimeout)
	}
	return nil
}

// namespaceList is nil for all namespaces.
func (o *options) namespaceList() []string {
	var list []string
	for name := range strings.SplitSeq(o.namespaces, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	return list
}
