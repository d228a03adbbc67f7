package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/store"
)

// fakeFile is a store's file with so much free.
type fakeFile struct {
	free, size int64
	err        error
	rates      []int64
}

func (f *fakeFile) FreePages() (int64, int64, error) { return f.free, f.size, nil }

func (f *fakeFile) Compact(_ context.Context, rate int64) (store.Compacted, error) {
	f.rates = append(f.rates, rate)
	return store.Compacted{}, f.err
}

// TestFileIsCompactedWhenEnoughOfItIsFree: a part of it, and a number of bytes.
func TestFileIsCompactedWhenEnoughOfItIsFree(t *testing.T) {
	config := nodeconfig.Compaction{Threshold: 0.5, MinFree: 100, Rate: 7}
	for name, test := range map[string]struct {
		free, size int64
		compacts   bool
	}{
		"little is free":        {free: 40, size: 1000},
		"a small part is free":  {free: 400, size: 1000},
		"a small file":          {free: 90, size: 100},
		"half of it is free":    {free: 500, size: 1000, compacts: true},
		"nearly all of it":      {free: 999, size: 1000, compacts: true},
		"just enough, and half": {free: 100, size: 200, compacts: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeFile{free: test.free, size: test.size}
			m := newMaintainer(f, config, slog.New(slog.DiscardHandler))
			if wait := m.once(t.Context()); wait != maintenanceEvery {
				t.Errorf("waits %s", wait)
			}
			if compacts := len(f.rates) == 1 && f.rates[0] == 7; compacts != test.compacts {
				t.Errorf("compacted with %v", f.rates)
			}
		})
	}
}

func TestFailedCompactionIsLoggedAndTriedAgainLater(t *testing.T) {
	var log bytes.Buffer
	f := &fakeFile{free: 9, size: 10, err: errors.New("the disk is full")}
	m := newMaintainer(f, nodeconfig.Compaction{Threshold: 0.5}, slog.New(slog.NewTextHandler(&log, nil)))
	if wait := m.once(t.Context()); wait != maintenancePause || !strings.Contains(log.String(), "the disk is full") {
		t.Errorf("waits %s, logs %s", wait, &log)
	}
	log.Reset()
	f.err = &store.ClosedError{}
	if m.once(t.Context()); log.Len() > 0 {
		t.Errorf("logs of a closed store: %s", &log)
	}
}

func TestMaintenanceEndsWithItsContextAndIsOffWithoutAThreshold(t *testing.T) {
	f := &fakeFile{free: 9, size: 10}
	m := newMaintainer(f, nodeconfig.Compaction{Threshold: 0.5}, slog.New(slog.DiscardHandler))
	m.every = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	m.run(ctx)
	if len(f.rates) < 2 {
		t.Errorf("compacted %d times in a hundred looks", len(f.rates))
	}
	f.rates = nil
	m.config.Threshold = 0
	m.run(t.Context()) // returns at once
	if len(f.rates) > 0 {
		t.Error("compacted though that is off")
	}
}
