// Localkube runs one real Kubernetes node on a Linux machine, without Docker and without pulling an image: for
// development, the demo and the end-to-end tests. It builds everything from Go modules, keeps the cluster in a network
// namespace of its own that has no way out, and leaves nothing behind when it is taken down.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "localkube:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "localkube",
		Short:         "One real Kubernetes node on this machine, for development and tests",
		SilenceUsage:  true,
		SilenceErrors: true,
		Long: `One real Kubernetes node on this machine, for development and tests.

Environment:
  LOCALKUBE_DIR    where the cluster keeps its state (default /var/tmp/localkube)
  LOCALKUBE_CACHE  where the programs it builds are kept (default localkube in $XDG_CACHE_HOME or ~/.cache)`,
	}
	root.AddCommand(append(clusterCommands(), buildCommand(), assetsCommand())...)
	return root
}
