package controllers

import (
	"testing"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// TestALagThatOnlyGrowsOlderIsSeldomAnotherFigure: in a month, a few dozen times.
func TestALagThatOnlyGrowsOlderIsSeldomAnotherFigure(t *testing.T) {
	for seconds, want := range map[float64]int64{0: 0, 0.9: 0, 1: 1, 4.9: 2, 59: 30, 60: 60, 119: 60, 3599: 1800, 3600: 3600, 86400: 72000, 172800: 172800, 1e9: 2592000} {
		if got := coarseSeconds(seconds); got != want {
			t.Errorf("%v seconds are written as %d, want %d", seconds, got, want)
		}
	}
	figures := map[int64]bool{}
	for second := range 30 * 24 * 3600 {
		figures[coarseSeconds(float64(second))] = true
	}
	if len(figures) > 24 {
		t.Errorf("a lag of a month is written %d times", len(figures))
	}
}

// TestWhatOthersWriteOnTheSameDiskIsNotWrittenAllTheTime.
func TestWhatOthersWriteOnTheSameDiskIsNotWrittenAllTheTime(t *testing.T) {
	const gib = 1 << 30
	status := &v1alpha1.VesperNodeStatus{}
	for _, step := range []struct {
		used float64
		want int32
	}{{41.6, 42}, {42.4, 42}, {41.1, 42}, {42.9, 42}, {43.1, 43}, {42.2, 43}, {41.9, 42}, {100, 100}} {
		fillVolume(status, nodestatus.Storage{Volume: 100 * gib, Free: int64((100 - step.used) * gib)})
		if *status.VolumeUsedPercent != step.want || *status.VolumeBytes != 100*gib {
			t.Errorf("%v %% used is written as %d of %d, want %d", step.used, *status.VolumeUsedPercent, *status.VolumeBytes, step.want)
		}
	}
	fillVolume(status, nodestatus.Storage{Free: gib})
	if status.VolumeUsedPercent != nil || status.VolumeBytes != nil {
		t.Error("of a node that does not tell it something is known")
	}
}
