// Command vesper-node is one Vesper node: a datastore that takes writes locally
// and replicates them over a STOMP broker. "vesper-node dev" runs several, with
// a broker of their own, in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/version"
)

// The exit codes.
const (
	exitOK = 0
	// exitFailed: the node could not start, or had to stop.
	exitFailed = 1
	// exitUsage: the command line or the configuration is wrong; trying again
	// without changing it is useless. Nothing was created.
	exitUsage = 2
)

func main() {
	ctx, stop := untilSignal(context.Background())
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newCommand(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	var config *nodeconfig.Error
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(stderr, "vesper-node: interrupted before it was done")
		return exitFailed
	case errors.As(err, &config):
		_, _ = fmt.Fprintf(stderr, "vesper-node: %v\n", config)
		return exitUsage
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(stderr, "vesper-node: %v\n\"vesper-node --help\" shows what there is.\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "vesper-node: %v\n", err)
	return exitFailed
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	var config string
	root := &cobra.Command{
		Use:   "vesper-node --config FILE",
		Short: "A node of a Vesper cluster",
		Long: "vesper-node --config FILE runs one node of a Vesper cluster.\n" +
			"vesper-node dev runs three with a broker of their own: the one-minute try-out.\n" +
			"The other commands look after the data of a node: backups, checks, and files for where no network reaches.",
		Example: "  vesper-node dev\n  vesper-node --config /etc/vesper/node.yaml\n" +
			"  vesper-node snapshot --node http://localhost:8000 --out monday.snapshot",
		Args:          noArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usageError{errors.New("give --config FILE to run one node, or the command dev to try Vesper out")}
			}
			return unlessStopped(cmd.Context(), runConfig(cmd.Context(), config, stderr))
		},
	}
	root.Flags().StringVar(&config, "config", "", "the node's configuration `FILE`")
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(devCommand(stdout, stderr), checkCommand(stdout), snapshotCommand(stdout), restoreCommand(stdout),
		acceptCommand(stdout), adoptCommand(stdout), exportCommand(stdout), importCommand(stdout), dumpCommand(stdout, stderr),
		loadCommand(stdout, stderr), versionCommand(stdout))
	return root
}

// unlessStopped is the outcome of a node: to be told to stop before it is up is no
// failure of what is there to run until it is told.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is no command", args[0])}
	}
	return nil
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which release this is",
		Example: "  vesper-node version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdout, "vesper-node", version.Version)
			return err
		},
	}
}
