package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// Exec replaces this program by another one that runs inside the cluster's network namespace, with KUBECONFIG set and
// the cluster's programs first in PATH. It returns only if that fails.
func (c *Cluster) Exec(args []string) error {
	if err := checkRoot(os.Geteuid()); err != nil {
		return err
	}
	if !netns.Exists(Name) {
		return errors.New("the cluster does not run: start it with `localkube up`")
	}
	for name, value := range map[string]string{"KUBECONFIG": c.Kubeconfig(), "PATH": c.Cache.Bin() + ":" + os.Getenv("PATH")} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("run in the cluster's network: %w", err)
	}
	if err := netns.Enter(Name); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", program, syscall.Exec(program, args, os.Environ()))
}
