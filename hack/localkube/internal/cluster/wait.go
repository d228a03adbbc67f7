package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// waitFor asks again and again until ok returns nil or limit has passed; its error says what was waited for and why it
// is not there. A daemon among needs that ends meanwhile ends the wait, with the last lines of its log.
func (c *Cluster) waitFor(ctx context.Context, what string, limit time.Duration, needs []string, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		if dead := c.dead(needs); dead != nil {
			return fmt.Errorf("wait for %s: %w", what, dead)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not there after %s: %w (logs: %s)", what, limit, err, c.path("log"))
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// dead returns an error about the first of the daemons that does not run.
func (c *Cluster) dead(daemons []string) error {
	for _, name := range daemons {
		if _, ok := c.place().Running(name); !ok {
			return fmt.Errorf("%s has ended; the end of %s:\n%s", name, c.place().LogFile(name), c.place().Tail(name, 8))
		}
	}
	return nil
}

// kubectl runs our kubectl as administrator and returns what it prints. The API server answers on the machine itself.
func (c *Cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return run(ctx, c.bin("kubectl"), append([]string{"--kubeconfig=" + c.Kubeconfig(), "--request-timeout=10s"}, args...)...)
}

// ctr runs containerd's client.
func (c *Cluster) ctr(ctx context.Context, args ...string) (string, error) {
	tool := c.Tools.Ctr
	if tool == "" {
		tool = "ctr"
	}
	return run(ctx, tool, append([]string{"--address", c.socket(), "--namespace", "k8s.io"}, args...)...)
}

func run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
