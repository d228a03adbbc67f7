package simulation

import (
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

// trace is a running hash over everything that happens in a run, with its
// virtual time: two runs with the same trace were the same run.
type trace struct {
	mu  sync.Mutex
	sum uint64
	n   int
	// keep, when not nil, gets every line: to see where two runs part.
	keep func(string)
}

func (t *trace) note(format string, args ...any) {
	line := fmt.Sprintf("%d "+format, append([]any{time.Now().UnixNano()}, args...)...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum = t.sum*0x100000001b3 ^ checksum([]byte(line))
	t.n++
	if t.keep != nil {
		t.keep(line)
	}
}

func checksum(data []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(data) // never fails
	return h.Sum64()
}
