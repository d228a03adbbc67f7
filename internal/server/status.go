package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
	"vesperdb.io/vesper/internal/version"
)

// storageHealth remembers whether the last write met a failing disk.
type storageHealth struct {
	mu      sync.Mutex
	failure string
	full    bool
	// probing is set while a try is under way, tried when the last began.
	probing bool
	tried   time.Time
}

const (
	// probeEvery is how often a disk that failed is tried, while somebody asks.
	probeEvery = 2 * time.Second
	// probeRoom is how much room a disk that was full must have before it is
	// tried: the file grows by so much at a time.
	probeRoom = 32 << 20
)

// note takes the outcome of a write. Errors that are not the disk's say nothing
// about it.
func (h *storageHealth) note(err error) {
	var failed *store.StorageError
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.failure = ""
	case errors.As(err, &failed):
		h.failure, h.full = failed.Error(), failed.DiskFull()
	}
}

// due reports whether to try the disk now, and marks that as begun.
func (h *storageHealth) due(now time.Time, free int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failure == "" || h.probing || now.Sub(h.tried) < probeEvery || h.full && free < probeRoom {
		return false
	}
	h.probing, h.tried = true, now
	return true
}

func (h *storageHealth) probed(err error) {
	h.note(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probing = false
}

// tryStorage finds out in the background whether a disk that failed works
// again: without it, a node that is not ready gets no write that would show it.
func (s *Server) tryStorage() {
	if s.storage.message() == "" || !s.storage.due(time.Now(), s.deps.Store.Stats().FreeBytes) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
		defer cancel()
		s.storage.probed(s.deps.Store.Probe(ctx))
	}()
}

func (h *storageHealth) message() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure
}

// status says how the node is.
func (s *Server) status() nodestatus.Status {
	st := s.deps.Store
	s.tryStorage()
	draining := st.Draining() // before the revision is read: it then has all that was written
	stats := st.Stats()
	status := s.replicationStatus()
	status.Draining = draining
	status.Version = version.Version
	status.Trunk = s.deps.Config.TrunkID
	status.Objects, status.Conflicts = stats.Objects, stats.Conflicts
	status.Started = s.started
	status.Storage = nodestatus.Storage{Bytes: stats.FileBytes, Free: stats.FreeBytes, Volume: stats.VolumeBytes}
	for _, i := range st.Indexes() {
		status.Indexes = append(status.Indexes, nodestatus.Index{Property: i.Property, Built: i.Built})
	}
	if kept, err := st.Evidence(context.Background()); err == nil {
		status.Quarantine = len(kept)
	}
	if s.deps.Guard != nil {
		status.Access = s.deps.Guard.Trouble()
	}
	s.overrule(&status)
	return status
}

func (s *Server) replicationStatus() nodestatus.Status {
	if s.deps.Replication != nil {
		return s.deps.Replication()
	}
	st := s.deps.Store
	revision, digest := st.Snapshot()
	return nodestatus.Status{
		Branch: st.Branch(), Incarnation: st.Incarnation(), Revision: revision, Digest: digest.String(),
		Ready: true, Reason: nodestatus.ReasonStandalone, Writable: true,
	}
}

// overrule puts what the server knows above what replication knows.
func (s *Server) overrule(status *nodestatus.Status) {
	if reason := s.deps.Store.WritesRefused(); reason != "" {
		status.Writable, status.WritesRefused = false, reason
	}
	if failure := s.storage.message(); failure != "" {
		status.Ready, status.Reason, status.Message = false, nodestatus.ReasonStorageFailed, failure
		status.Writable, status.WritesRefused = false, failure
	}
	if s.draining.Load() {
		status.Ready, status.Reason, status.Message = false, nodestatus.ReasonDraining, drainingReason
		status.Writable, status.WritesRefused = false, drainingReason
	}
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	answer(w, http.StatusOK, s.status())
	return nil
}

// health is the body of /healthz and /readyz.
type health struct {
	OK bool `json:"ok"`
	// Reason says why not; empty when OK.
	Reason string `json:"reason,omitempty"`
}

// healthPatience is how long the store may take to show that it is alive.
const healthPatience = 5 * time.Second

// healthz fails only when a restart is the remedy: the store does not answer.
// A node that is behind, cut off, draining or out of disk is healthy.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	return s.answerHealth(w, s.alive(r.Context()))
}

func (s *Server) alive(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.deps.Store.View(ctx, func(*store.Reader) error { return nil }) }()
	select {
	case err := <-done:
		if err != nil {
			return "the store cannot be read: " + err.Error()
		}
		return ""
	case <-ctx.Done():
		return "the store did not answer within " + healthPatience.String()
	}
}

// readyz says whether clients should be sent here: the node does all of its job,
// which is to read and to write. So it is not ready before it has once been
// caught up (if there is anybody to catch up with), while it refuses writes, as
// every node does for some seconds after its start, while its disk fails, and
// when it stops. A node that lost its broker goes on serving.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	var reason string
	switch {
	case s.draining.Load():
		reason = drainingReason
	case s.deps.Replication != nil && !s.deps.Store.Bootstrapped():
		reason = "the node has never been caught up with its peers: " + s.status().Message
	default:
		if reason = s.alive(r.Context()); reason == "" {
			reason = s.noWrites()
		}
	}
	return s.answerHealth(w, reason)
}

// noWrites is why writes are not taken now.
func (s *Server) noWrites() string {
	s.tryStorage()
	if failure := s.storage.message(); failure != "" {
		return failure
	}
	if reason := s.deps.Store.WritesRefused(); reason != "" {
		return "writes are refused: " + reason
	}
	return ""
}

func (s *Server) answerHealth(w http.ResponseWriter, reason string) error {
	status := http.StatusOK
	if reason != "" {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, health{OK: reason == "", Reason: reason})
	return nil
}

// answer sends a JSON document that must not be cached.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	writeJSON(w, v)
}
