package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
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

func TestHeapGrowsToTheFloorBeforeItIsCollected(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 6400, 1 << 20: 6300, 4 << 20: 1500, 16 << 20: 300, 32 << 20: 100, 64 << 20: 100, 1 << 40: 100,
	} {
		if got := collectAt(live); got != want {
			t.Errorf("with %d bytes in use the heap may grow by %d %%, want %d", live, got, want)
		}
	}
}

// kept makes a heap that is larger than the floor.
var kept []byte

func TestCollectorIsToldAnewAfterEachCollection(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	collectLate()
	if got := debug.SetGCPercent(100); got <= 100 {
		t.Fatalf("with a small heap the share is %d %%, want more than 100", got)
	}
	kept = make([]byte, 2*heapFloor)
	defer func() { kept = nil }()
	// Whoever sets it to 77 here sees it set to 100 again by a collection.
	debug.SetGCPercent(77)
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		if got := debug.SetGCPercent(77); got == 100 {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("after collections of a large heap the share is %d %%, want 100", got)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestGOGCWins(t *testing.T) {
	t.Setenv("GOGC", "50")
	before := debug.SetGCPercent(50)
	defer debug.SetGCPercent(before)
	collectLate()
	if got := debug.SetGCPercent(50); got != 50 {
		t.Errorf("the share is %d %%, want the 50 of GOGC", got)
	}
}
