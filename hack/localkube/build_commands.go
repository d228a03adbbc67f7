package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"vesperdb.io/vesper/hack/localkube/internal/build"
)

func buildCommand() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build Kubernetes, etcd, CoreDNS, kubectl and helm (skips what is up to date)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := build.DefaultCache()
			if err != nil {
				return err
			}
			return build.Builder{Cache: cache, Out: cmd.OutOrStdout()}.Build(cmd.Context(), only)
		},
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, `build only these programs; "envtest" is what integration tests need`)
	return cmd
}

func assetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "assets",
		Short: "Print the directory of kube-apiserver, etcd and kubectl (KUBEBUILDER_ASSETS)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := build.DefaultCache()
			if err != nil {
				return err
			}
			missing, err := cache.Missing("envtest")
			if err != nil {
				return err
			}
			if len(missing) > 0 {
				return fmt.Errorf("%s not built yet: run `localkube build --only envtest`", strings.Join(missing, ", "))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), cache.Bin())
			return err
		},
	}
}
