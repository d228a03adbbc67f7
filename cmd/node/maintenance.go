package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/store"
)

const (
	// maintenanceEvery is how often the store's file is looked at.
	maintenanceEvery = time.Minute
	// maintenancePause follows a compaction that failed: a disk that was too full
	// for it will be so for a while.
	maintenancePause = 15 * time.Minute
)

// compactable is what maintenance needs of a store.
type compactable interface {
	FreePages() (free, size int64, err error)
	Compact(ctx context.Context, bytesPerSecond int64) (store.Compacted, error)
}

// maintainer rewrites the store's file when enough of it is free.
type maintainer struct {
	store  compactable
	config nodeconfig.Compaction
	log    *slog.Logger
	every  time.Duration
	pause  time.Duration
}

func newMaintainer(s compactable, c nodeconfig.Compaction, log *slog.Logger) *maintainer {
	return &maintainer{store: s, config: c, log: log, every: maintenanceEvery, pause: maintenancePause}
}

// run looks after the file until the context ends.
func (m *maintainer) run(ctx context.Context) {
	if m.config.Threshold <= 0 {
		return
	}
	timer := time.NewTimer(m.every)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(m.once(ctx))
	}
}

// once compacts the file if that is due, and returns how long to wait for the
// next look at it.
func (m *maintainer) once(ctx context.Context) time.Duration {
	free, size, err := m.store.FreePages()
	if err != nil {
		m.log.Warn("Could not look for free pages in the store's file", "error", err)
		return m.pause
	}
	if free < m.config.MinFree || float64(free) < m.config.Threshold*float64(size) {
		return m.every
	}
	_, err = m.store.Compact(ctx, m.config.Rate)
	if _, closed := errors.AsType[*store.ClosedError](err); err == nil || closed || ctx.Err() != nil {
		return m.every
	}
	m.log.Warn("Could not compact the store's file, which goes on as it is", "free", free, "size", size, "next", m.pause.String(), "error", err)
	return m.pause
}
