// Command scale measures the operator with as many nodes as it is told: the real
// cmd/manager over a real kube-apiserver and etcd, with everything else that a
// cluster has played by this program. Its last line is one JSON object.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitOK     = 0
	exitBroken = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the program's flags.
type options struct {
	nodes   int
	perNS   int
	manager string
	args    string
	root    string
	logs    string
	settle  time.Duration
	after   time.Duration
	quiet   time.Duration
	pending time.Duration
	patient time.Duration
}

// clusterSize is how many nodes a cluster has, unless there are fewer in all.
const clusterSize = 10

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("scale", flag.ContinueOnError)
	set.SetOutput(out)
	set.IntVar(&o.nodes, "nodes", 100, "VesperNodes, in clusters of ten, 1 to 10000")
	set.IntVar(&o.perNS, "per-namespace", 10, "clusters in a namespace")
	set.StringVar(&o.manager, "manager", "bin/vesper-manager", "the operator's program")
	set.StringVar(&o.args, "manager-args", "", "more arguments of it, separated by blanks")
	set.StringVar(&o.root, "root", ".", "the checkout, where config/ is")
	set.StringVar(&o.logs, "logs", "build/scale", "folder for the operator's logs and its kubeconfig")
	set.DurationVar(&o.settle, "settle", 70*time.Second, "how long nothing may be written before the operator counts as done with a phase; figures are written a minute late")
	set.DurationVar(&o.after, "after", 70*time.Second, "the same after a restart, a change of the leader and a rolling change")
	set.DurationVar(&o.quiet, "quiet", 10*time.Minute, "how long nothing may be written at rest")
	set.DurationVar(&o.pending, "pending", time.Minute, "how long to watch while nodes are not ready")
	set.DurationVar(&o.patient, "patience", 40*time.Minute, "how long a phase may take")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case set.NArg() > 0:
		return nil, fmt.Errorf("argument %q is not understood: all options begin with -", set.Arg(0))
	case o.nodes < 1 || o.nodes > 10000:
		return nil, fmt.Errorf("-nodes: %d is not between 1 and 10000", o.nodes)
	case o.perNS < 1:
		return nil, fmt.Errorf("-per-namespace: %d is not at least 1", o.perNS)
	}
	return o, nil
}

// run measures and returns an exit code. A promise that is broken is an error; a
// goal that is missed is not.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "scale:", err)
		return exitUsage
	}
	if o.logs, err = filepath.Abs(o.logs); err != nil {
		fmt.Fprintln(stderr, "scale:", err)
		return exitUsage
	}
	figures, err := measure(ctx, o, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "scale:", err)
		return exitBroken
	}
	if err := figures.print(stdout); err != nil {
		fmt.Fprintln(stderr, "scale:", err)
		return exitBroken
	}
	if len(figures.Broken) > 0 {
		return exitBroken
	}
	return exitOK
}

// measure takes a fleet through its life.
func measure(ctx context.Context, o *options, out io.Writer) (figures *Figures, err error) {
	w, err := newWorld(ctx, o, out)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, phase := range []func(context.Context) error{w.create, w.rest, w.notReady, w.restart, w.changeLeader, w.roll} {
		if err := phase(ctx); err != nil {
			return nil, err
		}
	}
	return w.conclude(), nil
}
