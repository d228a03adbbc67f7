package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestMemoryLimitFollowsTheContainers(t *testing.T) {
	files, before := cgroupLimits, debug.SetMemoryLimit(-1)
	t.Cleanup(func() { cgroupLimits = files; debug.SetMemoryLimit(before) })
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		v2, v1, environment string
		want                int64
	}{
		"cgroup 2":            {"1000000000\n", "", "", 800_000_000},
		"cgroup 2, unlimited": {"max\n", "", "", math.MaxInt64},
		"cgroup 1":            {"", "500000000\n", "", 400_000_000},
		"cgroup 1, unlimited": {"", "9223372036854771712\n", "", math.MaxInt64},
		"none":                {"", "", "", math.MaxInt64},
		"GOMEMLIMIT wins":     {"1000000000\n", "", "2GiB", math.MaxInt64},
		"nonsense":            {"-5\n", "x", "", math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			debug.SetMemoryLimit(math.MaxInt64)
			t.Setenv("GOMEMLIMIT", tt.environment)
			cgroupLimits = []string{write(t, dir, "v2", tt.v2), write(t, dir, "v1", tt.v1)}
			limitMemory()
			if got := debug.SetMemoryLimit(-1); got != tt.want {
				t.Errorf("the limit is %d, want %d", got, tt.want)
			}
		})
	}
}

// write writes a file, or removes it when there is no text.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	_ = os.Remove(file) // it may not exist
	if text != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}
