//go:build !replay

package simulation

// seedSchedule does nothing: this program has the runtime of every other one.
func seedSchedule(uint64) {}

// replays says that a seed gives the same run each time.
const replays = false
