package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/replication/snapshotfile"
	"vesperdb.io/vesper/internal/store"
)

// Deps are what a server is made of. Store, Config and Registry are required.
type Deps struct {
	Store  *store.Store
	Config nodeconfig.Config
	// Replication returns what replication knows of the node's status; the
	// server adds the rest. Nil means that the node stands alone.
	Replication func() nodestatus.Status
	// AcceptBranch takes writes again under a branch that was ahead of the store,
	// or whose store is a copy. Its error says why that cannot be. Nil, without
	// replication, means that only the store has to be told.
	AcceptBranch func(context.Context) error
	// Import applies changesets of a bundle, minding branch safety. Nil means that
	// the store does.
	Import func(ctx context.Context, list []changeset.Envelope) (store.Applied, error)
	// AwaitHolders waits until so many peers are known to have a changeset of this
	// node, or the context ends, and returns those that have; Holders returns at
	// once. Nil, without replication, means that there are no peers.
	AwaitHolders func(ctx context.Context, d branch.Dot, peers int) []branch.ID
	Holders      func(d branch.Dot) []branch.ID
	// Guard says who may do what; nil lets everybody do everything.
	Guard *access.Guard
	// Audit keeps who wrote what; nil keeps nothing.
	Audit *access.Audit
	// Registry gets the server's and the store's metrics and is what /metrics shows.
	Registry *prometheus.Registry
	// Logger is slog.Default() when nil.
	Logger *slog.Logger
}

// Server is the HTTP interface of one node. It is safe for use by many goroutines.
type Server struct {
	deps           Deps
	log            *slog.Logger
	metrics        *metrics
	metricsHandler http.Handler
	handler        http.Handler
	started        time.Time
	draining       atomic.Bool
	// stopping ends when the node begins to stop.
	stopping context.Context
	stop     context.CancelFunc
	storage  storageHealth
	// spooling lets one snapshot be written at a time; patience is how long a
	// client may take for a part of one, disk the room for it.
	spooling chan struct{}
	patience time.Duration
	disk     snapshotfile.Disk
	// heartbeat is how often an event stream without events says that it lives.
	heartbeat time.Duration
	// heldAnswer is how many bytes of an answer may be held at once; bounds are
	// what a query may cost besides its rows and its time, where not the usual.
	heldAnswer int
	bounds     jsonql.Limits
	parsed     parsedQueries
	// parseTime is how long a document may take to be read, once it is here.
	parseTime time.Duration

	// plain writes objects as /v1 shows them: bare ids, types kept.
	plain *pjson.Writer
	// recorded writes statements as JSON-RPC answers do: ids as references.
	recorded *pjson.Writer
}

// New makes a server and registers its metrics. It listens nowhere yet: see
// Handler and Serve.
func New(d Deps) (*Server, error) {
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	s := &Server{deps: d, log: d.Logger, metrics: newMetrics(), started: time.Now().UTC(),
		spooling: make(chan struct{}, 1), patience: snapshotPatience, heartbeat: heartbeat, heldAnswer: heldAnswer, parseTime: parseTime}
	s.stopping, s.stop = context.WithCancel(context.Background())
	var err error
	if s.plain, err = pjson.NewWriter(pjson.Format{BareIDs: true, PreserveTypes: true, OmitEmbeddedIDs: true}); err != nil {
		return nil, fmt.Errorf("preparing the object writer: %w", err)
	}
	if s.recorded, err = pjson.NewWriter(pjson.Format{Nest: pjson.NestAll}); err != nil {
		return nil, fmt.Errorf("preparing the JSON-RPC writer: %w", err)
	}
	if err := s.register(d.Registry); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	if err := s.shelf().Clear(); err != nil { // what a crash left
		return nil, err
	}
	s.metricsHandler = metricsHandler(d.Registry)
	compressed, err := compress(access.Pace(s.mux(), readTimeout))
	if err != nil {
		return nil, err
	}
	s.handler = access.Reserve(compressed)
	return s, nil
}

// Handler returns the whole interface.
func (s *Server) Handler() http.Handler { return s.handler }

// Drain makes the server refuse writes from now on, with 503 and a reason;
// /readyz fails so that no new client is sent here. Reads go on. It cannot be
// undone.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.stop()
}

// The times a client has. They bound what a slow or dead one can hold.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 2 * time.Minute
	writeTimeout  = 5 * time.Minute
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	heartbeat     = 15 * time.Second
	parseTime     = 30 * time.Second
)

// Serve answers on the listener until ctx ends; then it takes no new
// connections, and lets requests finish within the grace period before it cuts
// them off. It closes the listener and returns nil after such an end.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       access.ConnContext,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		s.log.Warn("Cut off requests that did not finish in time", "grace", grace.String())
		_ = server.Close() // the grace is over: nothing more to wait for
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// update runs a write, unless the node is draining.
func (s *Server) update(ctx context.Context, opts store.WriteOptions, fn func(*store.Tx) error) (store.Commit, error) {
	if s.draining.Load() {
		return store.Commit{}, &store.RefusedError{Reason: drainingReason}
	}
	if name := access.Of(ctx).Name; name != "" {
		opts.Author = name
	}
	commit, err := s.audited(ctx, opts, fn)
	s.storage.note(err)
	return commit, err
}

const drainingReason = "the node is stopping; it takes writes again when it is back, and the other nodes take them now"
