package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"vesperdb.io/vesper/hack/localkube/internal/cluster"
	"vesperdb.io/vesper/hack/localkube/internal/provision"
)

// onCluster makes a command that works on the cluster of the environment.
func onCluster(use, short string, args cobra.PositionalArgs, do func(*cobra.Command, *cluster.Cluster, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cluster.New()
			if err != nil {
				return err
			}
			return do(cmd, c, args)
		},
	}
}

func clusterCommands() []*cobra.Command {
	run := onCluster("exec -- COMMAND...", "Run a command inside the cluster's network, with KUBECONFIG and PATH set", cobra.MinimumNArgs(1),
		func(_ *cobra.Command, c *cluster.Cluster, args []string) error { return c.Exec(args) })
	run.Flags().SetInterspersed(false)
	return []*cobra.Command{
		onCluster("up", "Start the cluster (does nothing if it runs)", cobra.NoArgs,
			func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				return c.Up(cmd.Context(), cmd.OutOrStdout())
			}),
		onCluster("down", "Stop the cluster and remove everything it made", cobra.NoArgs,
			func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				return c.Down(cmd.Context(), cmd.OutOrStdout())
			}),
		onCluster("load ARCHIVE...", "Load images from docker-archives or OCI archives", cobra.MinimumNArgs(1),
			func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
				return c.Load(cmd.Context(), args, cmd.OutOrStdout())
			}),
		onCluster("status", "Show what runs; fails unless the node is ready", cobra.NoArgs,
			func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				return c.Status(cmd.Context(), cmd.OutOrStdout())
			}),
		onCluster("kubeconfig", "Print the path of the administrator's kubeconfig", cobra.NoArgs,
			func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
				return err
			}),
		run,
		provisionerCommand(),
	}
}

// provisionerCommand is the daemon that `up` starts to serve claims of local volumes.
func provisionerCommand() *cobra.Command {
	var kubeconfig, directory, node string
	cmd := &cobra.Command{
		Use: "provisioner", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return provision.Serve(cmd.Context(), kubeconfig, directory, node, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the cluster")
	cmd.Flags().StringVar(&directory, "directory", "", "directory of the volumes")
	cmd.Flags().StringVar(&node, "node", "", "name of the node the directory is on")
	return cmd
}
