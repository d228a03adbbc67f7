package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// cgroupLimits are the files that hold a container's memory limit, of cgroup 2 and 1.
var cgroupLimits = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// limitMemory tells the garbage collector of the container's memory limit, so
// that it works harder before the kernel kills the process. GOMEMLIMIT wins. A
// fifth is left for what the collector does not see, such as the store's pages.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, file := range cgroupLimits {
		if limit, ok := readLimit(file); ok {
			debug.SetMemoryLimit(limit / 5 * 4)
			return
		}
	}
}

// readLimit returns the limit in a file; "max" and the huge number that cgroup 1
// writes for it are none.
func readLimit(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return limit, err == nil && limit > 0 && limit < 1<<60
}

// heapFloor is up to where the heap may grow before it is collected, however
// little of it is in use. A node keeps little in memory and makes much garbage:
// left to itself, the collector runs a hundred times a second and takes a third
// of the processor from the writers.
const heapFloor = 64 << 20

// collectLate keeps the collector from working before the heap has heapFloor;
// above that it works as ever. GOGC wins, and a memory limit does over both.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(collectAt(live[0].Value.Uint64()))
	// What is garbage at once goes with the next collection, and after each the
	// share is to be worked out anew.
	type mark struct{ _ *int }
	runtime.AddCleanup(&mark{}, func(int) { collectLate() }, 0)
}

// collectAt is how much the heap may grow, in percent of what is in use of it.
func collectAt(live uint64) int {
	const least = 1 << 20 // so that an empty heap does not give a share without bound
	return max(100, int((heapFloor-int64(min(live, heapFloor)))*100/int64(max(live, least))))
}
