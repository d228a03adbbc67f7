package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

func TestTakenPortIsRefusedWithTheRemedy(t *testing.T) {
	ns := fmt.Sprintf("lkport-%d", os.Getpid())
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	const port = 6443
	if err := checkPort(t.Context(), ns, port); err != nil {
		t.Errorf("a free port: %v", err)
	}
	err := netns.Do(ns, func() error {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		return checkPort(t.Context(), ns, port)
	})
	// the test itself listens, but as a process it is not in the namespace: the port and the remedy must be there anyway
	if err == nil || !strings.Contains(err.Error(), "port 6443 is taken") || !strings.Contains(err.Error(), "localkube down") {
		t.Errorf("error = %v", err)
	}
}
