package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/version"
)

// devOptions are the flags of dev.
type devOptions struct {
	nodes    int
	host     string
	httpPort int
	stomp    string
	data     string
	logLevel string
}

// devChannel is the channel of development nodes.
const devChannel = "VESPER_DEV"

// maxDevNodes is what one process is good for.
const maxDevNodes = 26

// devReady is how long to wait for the nodes to be ready before saying that
// they are not.
const devReady = 10 * time.Second

func devCommand(stdout, stderr io.Writer) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:     "dev",
		Example: "  vesper-node dev\n  vesper-node dev --nodes 5 --data ./try",
		Short:   "Run several nodes and a broker in this process, to try Vesper out",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return usageError{err}
			}
			return unlessStopped(cmd.Context(), runDev(cmd.Context(), o, stdout, stderr))
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.nodes, "nodes", 3, "how many nodes to run")
	flags.StringVar(&o.host, "host", "127.0.0.1", "the address to serve HTTP on")
	flags.IntVar(&o.httpPort, "http-port", nodeconfig.DefaultHTTPPort, "the first node's HTTP `PORT`; the others take the next ones (0: any free ones)")
	flags.StringVar(&o.stomp, "stomp", "", "an outside broker, `HOST:PORT,...`, instead of the embedded one")
	flags.StringVar(&o.data, "data", "", "keep the stores in this `DIR` (default: a temporary one, removed at the end)")
	flags.StringVar(&o.logLevel, "log-level", "error", "what to log to stderr: debug, info, warn or error")
	return cmd
}

func (o devOptions) check() error {
	switch {
	case o.nodes < 1 || o.nodes > maxDevNodes:
		return fmt.Errorf("--nodes %d: it must be 1 to %d", o.nodes, maxDevNodes)
	case o.httpPort < 0 || o.httpPort+o.nodes-1 > 65535:
		return fmt.Errorf("--http-port %d: there are no %d ports from there", o.httpPort, o.nodes)
	}
	return nil
}

// configs returns the nodes' configurations: branch ids from 0A, ports from
// --http-port, one directory each.
func (o devOptions) configs(hosts []string, dir string) ([]nodeconfig.Config, error) {
	var configs []nodeconfig.Config
	id := branch.First(branch.MinWidth)
	for i := range o.nodes {
		c := nodeconfig.Default()
		c.BranchID, c.TrunkID = id, branch.First(branch.MinWidth)
		c.StoragePath = filepath.Join(dir, string(id))
		port := o.httpPort
		if port != 0 {
			port += i
		}
		c.Listen = net.JoinHostPort(o.host, strconv.Itoa(port))
		c.ReplicationHosts, c.ReplicationChannel = hosts, devChannel
		// A person waits for these nodes: look around no longer than is safe, hurry at the end.
		c.Beacon = nodeconfig.Beacon{Interval: 2 * time.Second, Window: nodeconfig.MinBeaconWindow}
		c.ShutdownGrace = 3 * time.Second
		c.Log = nodeconfig.Log{Level: o.logLevel, Format: "text"}
		if err := c.Validate(); err != nil {
			return nil, usageError{err}
		}
		configs = append(configs, c)
		id, _ = id.Next()
	}
	return configs, nil
}

// runDev runs the nodes until ctx ends.
func runDev(ctx context.Context, o devOptions, stdout, stderr io.Writer) (err error) {
	dir, removeData, err := o.dataDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeData()) }()
	hosts, closeBroker, err := o.broker()
	if err != nil {
		return err
	}
	defer closeBroker()
	nodes, err := o.open(ctx, hosts, dir, stderr)
	if err != nil {
		return err
	}
	return runNodes(ctx, nodes, func() { announce(ctx, stdout, o, nodes, hosts, dir) })
}

// dataDir returns where the stores go, and what to do about it at the end.
func (o devOptions) dataDir() (string, func() error, error) {
	if o.data != "" {
		return o.data, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "vesper-dev-")
	if err != nil {
		return "", nil, fmt.Errorf("making a temporary directory for the stores: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

func (o devOptions) broker() (hosts []string, closeBroker func(), err error) {
	if o.stomp != "" {
		for host := range strings.SplitSeq(o.stomp, ",") {
			hosts = append(hosts, strings.TrimSpace(host))
		}
		return hosts, func() {}, nil
	}
	b, err := broker.Start(broker.Options{Version: version.Version})
	if err != nil {
		return nil, nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	return []string{b.Addr()}, b.Close, nil
}

// open opens all nodes or none.
func (o devOptions) open(ctx context.Context, hosts []string, dir string, stderr io.Writer) ([]*node, error) {
	configs, err := o.configs(hosts, dir)
	if err != nil {
		return nil, err
	}
	var nodes []*node
	for _, c := range configs {
		n, err := o.openOne(ctx, c, stderr)
		if err != nil {
			for _, n := range nodes {
				err = errors.Join(err, n.close())
			}
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (o devOptions) openOne(ctx context.Context, c nodeconfig.Config, stderr io.Writer) (*node, error) {
	log, err := newLogger(stderr, c.Log, c.BranchID)
	if err != nil {
		return nil, usageError{err}
	}
	return openNode(ctx, c, log)
}

// runNodes runs all nodes until ctx ends or one of them fails.
func runNodes(ctx context.Context, nodes []*node, running func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(nodes))
	for _, n := range nodes {
		go func() { ended <- n.run(ctx) }()
	}
	running()
	var errs []error
	for range nodes {
		errs = append(errs, <-ended)
		cancel()
	}
	return errors.Join(errs...)
}
