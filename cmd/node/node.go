package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/replication/vesperwire"
	"vesperdb.io/vesper/internal/server"
	"vesperdb.io/vesper/internal/store"
)

// httpGrace is how long requests may take to finish once nothing is left to publish.
const httpGrace = 3 * time.Second

// node is one node: a store, its replication, its HTTP interface.
type node struct {
	config     nodeconfig.Config
	log        *slog.Logger
	listener   net.Listener
	store      *store.Store
	replicator *replication.Replicator
	server     *server.Server
	tls        *access.ServerTLS
	guard      *access.Guard
	audit      *access.Audit
}

// openNode opens everything a node needs; nothing runs yet. The listener is
// taken first: a port in use must not cost a start and stop of the store. The
// caller ends the node with run or close.
func openNode(ctx context.Context, c nodeconfig.Config, log *slog.Logger) (*node, error) {
	listener, err := listen(ctx, c.Listen)
	if err != nil {
		return nil, err
	}
	n := &node{config: c, log: log, listener: listener}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// listen takes the address. The error says what to do when it is taken.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return nil, fmt.Errorf("port %s is in use: another program serves %s; stop it or choose another port (listen in the file, --http-port for dev)", port, address)
	}
	if err != nil {
		return nil, fmt.Errorf("listening for HTTP on %s: %w", address, err)
	}
	return l, nil
}

func (n *node) open(ctx context.Context) error {
	c := n.config
	form := formOf(c)
	if err := n.openAccess(); err != nil {
		return err
	}
	var err error
	n.store, err = store.Open(ctx, storeOptions(c, form, n.log))
	if err != nil {
		return fmt.Errorf("opening the store of node %s: %w", c.BranchID, err)
	}
	forgetLinks(ctx, c, n.store, n.log)
	links, err := linksOf(c, n.store, form, n.log)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	for _, collector := range n.guard.Collectors() {
		if err := registry.Register(collector); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	n.replicator, err = replication.New(n.store, links, replication.Options{
		BeaconInterval: c.Beacon.Interval, DiscoveryWindow: c.Beacon.Window, Logger: n.log, Registerer: registry,
		Policy: string(c.ConflictPolicy), SnapshotDir: filepath.Join(c.StoragePath, "snapshots"),
		Retention: time.Duration(c.Retention), Members: membersOf(c.MembersFile),
	})
	if err != nil {
		return fmt.Errorf("preparing replication: %w", err)
	}
	n.server, err = server.New(server.Deps{
		Store: n.store, Config: c, Replication: n.replicator.Status, AcceptBranch: n.replicator.AcceptBranch,
		AwaitHolders: n.replicator.AwaitHolders, Holders: n.replicator.Holders, Import: n.replicator.Import, Registry: registry, Logger: n.log,
		Guard: n.guard, Audit: n.audit,
	})
	return err
}

// storeOptions say how a node opens its store.
func storeOptions(c nodeconfig.Config, form *vesperwire.Form, log *slog.Logger) store.Options {
	o := store.Options{
		Dir: c.StoragePath, Branch: c.BranchID, Trunk: c.TrunkID, Logger: log,
		ConflictPolicy: store.ConflictPolicy(c.ConflictPolicy), Indexes: c.IndexedProperties(),
	}
	if form != nil {
		o.Shape = form.Shape
	}
	if c.VolumeIdentity == nodeconfig.VolumeNone {
		o.VolumeIdentity = func(string) string { return "" }
	}
	return o
}

// close lets go of what openNode took, in case the node does not run.
func (n *node) close() error {
	var errs []error
	if n.listener != nil {
		if err := n.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(append(errs, n.audit.Close())...)
}

// url is where the node's HTTP interface is.
func (n *node) url() string {
	if n.tls != nil {
		return "https://" + n.listener.Addr().String()
	}
	return "http://" + n.listener.Addr().String()
}

// run serves until ctx ends, and then stops in order: no more writes, what is
// left is published, requests finish, the store is closed. It returns nil for
// such an end and the cause when the node cannot go on.
func (n *node) run(ctx context.Context) error {
	background := context.WithoutCancel(ctx)
	replicating, stopReplicating := context.WithCancel(background)
	defer stopReplicating()
	serving, stopServing := context.WithCancel(background)
	defer stopServing()
	maintaining, stopMaintaining := context.WithCancel(ctx)
	defer stopMaintaining()
	replicated, served, maintained := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { replicated <- n.replicator.Run(replicating) }()
	go func() { served <- n.server.Serve(serving, n.served(), httpGrace) }()
	go func() {
		defer close(maintained)
		newMaintainer(n.store, n.config.Compaction, n.log).run(maintaining)
	}()
	following := make(chan struct{})
	go func() { defer close(following); n.guard.Follow(maintaining) }()
	n.log.Info("Started the node", "url", n.url(), "storage", n.config.StoragePath,
		"links", linkTexts(n.config))

	var cause error
	select {
	case <-ctx.Done():
		n.drain(background)
	case cause = <-replicated:
		replicated <- nil
	case cause = <-served:
		served <- nil
	}
	stopServing()
	cause = errors.Join(cause, <-served)
	stopMaintaining()
	<-maintained
	<-following
	stopReplicating()
	cause = errors.Join(cause, <-replicated, n.close())
	if cause == nil {
		n.log.Info("Stopped the node")
	}
	return cause
}

// drain refuses writes and publishes what is left within the grace period.
// What cannot be published now is not lost: the next start sends it.
func (n *node) drain(ctx context.Context) {
	n.log.Info("Stopping the node", "grace", n.config.ShutdownGrace.String())
	n.server.Drain()
	n.store.RefuseWrites("the node is stopping")
	ctx, cancel := context.WithTimeout(ctx, n.config.ShutdownGrace)
	defer cancel()
	if err := n.replicator.Drain(ctx); err != nil {
		n.log.Warn("Stopped with changesets that no broker has confirmed", "error", err)
	}
}

// runConfig runs the node of a configuration file.
func runConfig(ctx context.Context, path string, logs io.Writer) error {
	c, err := nodeconfig.Load(path)
	if err != nil {
		return usageError{err}
	}
	log, err := newLogger(logs, c.Log, c.BranchID)
	if err != nil {
		return usageError{err}
	}
	limitMemory()
	collectLate()
	n, err := openNode(ctx, c, log)
	if err != nil {
		return err
	}
	return n.run(ctx)
}
