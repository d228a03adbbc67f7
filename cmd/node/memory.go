package main

import (
	"os"
	"runtime/debug"
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
