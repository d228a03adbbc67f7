package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is how many nodes M11 runs; one of them is watched for idleSpan, which
// is two beacons of everybody.
const (
	crowd    = 10
	idleSpan = 20 * time.Second
)

// measureIdle is M11.
func measureIdle(w *world) error {
	dir, free, err := w.fresh("idle")
	if err != nil {
		return err
	}
	defer free()
	count, err := newCounter(w.ctx, w.mq().Addr())
	if err != nil {
		return err
	}
	defer count.close()
	channel := newChannel()
	nodes := make([]*node, crowd)
	errs := make([]error, crowd)
	var all sync.WaitGroup
	for i := range nodes {
		all.Go(func() {
			hosts := w.mq().Addr()
			if i == 0 {
				hosts = count.address()
			}
			home := filepath.Join(dir, strconv.Itoa(i))
			if errs[i] = os.Mkdir(home, 0o755); errs[i] == nil {
				nodes[i], errs[i] = w.startNode(home, fmt.Sprintf("0%c", 'A'+i), channel, hosts)
			}
		})
	}
	all.Wait()
	defer func() {
		for _, n := range nodes {
			if n != nil {
				all.Go(n.stop)
			}
		}
		all.Wait()
	}()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return w.watch(nodes[0], count)
}

// watch notes what a node costs that has nothing to do.
func (w *world) watch(n *node, count *counter) error {
	pause(w.ctx, 2*time.Second) // the answers to the hello of the last one
	used, err := processorTime(n.cmd.Process.Pid)
	if err != nil {
		return err
	}
	bytes, start := count.bytes.Load(), time.Now()
	pause(w.ctx, idleSpan)
	after, err := processorTime(n.cmd.Process.Pid)
	if err != nil {
		return err
	}
	elapsed := time.Since(start)
	w.figures.Add("M11-cpu", 100*float64(after-used)/float64(elapsed))
	w.figures.Add("M11-bytes", float64(count.bytes.Load()-bytes)/elapsed.Seconds())
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// processorTime is what a process has computed so far, to the nanosecond.
func processorTime(pid int) (sum time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("reading the processor time of process %d: %w", pid, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		ran, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// counter is a relay of TCP connections that counts the bytes of both ways.
type counter struct {
	listener net.Listener
	target   string
	bytes    atomic.Int64
	running  sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func newCounter(ctx context.Context, target string) (*counter, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{listener: l, target: target}
	c.running.Go(func() { c.accept(ctx) })
	return c, nil
}

func (c *counter) address() string { return c.listener.Addr().String() }

func (c *counter) accept(ctx context.Context) {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		out, err := new(net.Dialer).DialContext(ctx, "tcp", c.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		c.running.Go(func() { c.pass(in, out) })
		c.running.Go(func() { c.pass(out, in) })
	}
}

// pass copies one way until either end closes.
func (c *counter) pass(to, from net.Conn) {
	_, _ = io.Copy(io.MultiWriter(to, c), from)
	_ = to.Close()
	_ = from.Close()
}

// Write counts.
func (c *counter) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return len(p), nil
}

func (c *counter) close() {
	_ = c.listener.Close()
	c.mu.Lock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.running.Wait()
}
