package controllers

import (
	"math"
	"time"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// lagSteps are the seconds that a lag is rounded down to.
var lagSteps = func() (steps []int64) {
	for _, unit := range []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		for _, n := range []int64{1, 2, 5, 10, 20, 30} {
			if step := n * int64(unit.Seconds()); len(steps) == 0 || step > steps[len(steps)-1] {
				steps = append(steps, step)
			}
		}
	}
	return steps
}()

// coarseSeconds rounds a lag down to a step, so that one that only grows older is
// seldom written.
func coarseSeconds(seconds float64) (coarse int64) {
	for _, step := range lagSteps {
		if seconds >= float64(step) {
			coarse = step
		}
	}
	return coarse
}

// fillVolume copies how full the volume is. What others write on the same disk moves
// all the time: the percentage is written when it is off by one.
func fillVolume(status *v1alpha1.VesperNodeStatus, storage nodestatus.Storage) {
	used, known := storage.UsedPercent()
	if !known {
		status.VolumeBytes, status.VolumeUsedPercent = nil, nil
		return
	}
	volume := storage.Volume
	status.VolumeBytes = &volume
	if status.VolumeUsedPercent == nil || math.Abs(used-float64(*status.VolumeUsedPercent)) >= 1 {
		percent := int32(math.Round(used))
		status.VolumeUsedPercent = &percent
	}
}
