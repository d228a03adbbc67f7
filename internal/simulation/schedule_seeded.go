//go:build replay

package simulation

import _ "unsafe" // for go:linkname

// seedSchedule gives the order in which goroutines run, and all other chance of
// the runtime, to a seed; 0 gives it back. The runtime that can do so is made by
// hack/simulate.
//
//go:linkname seedSchedule runtime.simulate
func seedSchedule(seed uint64)

// replays says that a seed gives the same run each time.
const replays = true
