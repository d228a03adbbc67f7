package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

func checkCommand(stdout io.Writer) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "check --data DIR",
		Example: "  vesper-node check --data /var/lib/vesper",
		Short:   "Read a whole store and say whether it is sound; its node must be stopped",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usageError{errors.New("give --data DIR: the directory of the store")}
			}
			return checkStore(cmd.Context(), dir, stdout)
		},
	}
	cmd.Flags().StringVar(&dir, "data", "", "the `DIR`ectory of the store")
	return cmd
}

// checkStore opens the store of a directory and checks it.
func checkStore(ctx context.Context, dir string, stdout io.Writer) error {
	file := filepath.Join(dir, "vesper.db")
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("checking a store: %w", err)
	}
	s, err := openAny(ctx, dir)
	if err != nil {
		return fmt.Errorf("checking %s: %w", file, err)
	}
	stats := s.Stats()
	if err := errors.Join(s.Check(ctx), s.Close()); err != nil {
		return fmt.Errorf("checking %s: %w", file, err)
	}
	_, err = fmt.Fprintf(stdout, "%s is sound: branch %s, revision %s, %d objects, %d changesets\n",
		file, s.Branch(), s.Revision(), stats.Objects, stats.Changesets)
	return err
}

// openAny opens a store whose branch id is not known: a store that is opened
// under another id names its own.
func openAny(ctx context.Context, dir string) (*store.Store, error) {
	id := branch.First(branch.MinWidth)
	s, err := store.Open(ctx, store.Options{Dir: dir, Branch: id})
	if other, ok := errors.AsType[*store.BranchError](err); ok {
		return store.Open(ctx, store.Options{Dir: dir, Branch: other.File})
	}
	return s, err
}
