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
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

func adoptCommand(stdout io.Writer) *cobra.Command {
	var dir, id string
	cmd := &cobra.Command{
		Use:   "adopt --data DIR --branch NEW",
		Short: "Give the store of a stopped node another branch id; its data stay",
		Long: "adopt gives the store of a stopped node another branch id; its data and history stay.\n\n" +
			"It is the safe way to go on with a copied or restored volume, or one that is behind its branch: what the\n" +
			"branch wrote so far keeps its names, peers get what they lack of it, and the next write is the first of the\n" +
			"new branch. Take an id that no node ever had, and put it into the node's configuration (branchId). A node\n" +
			"that finds the new id in use at its peers takes no writes.",
		Example: "  vesper-node adopt --data /var/lib/vesper --branch 0D",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" || id == "" {
				return usageError{errors.New("give --data DIR, the directory of a stopped node's store, and --branch NEW, an id that no node ever had")}
			}
			b, err := branch.ParseID(id)
			if err != nil {
				return usageError{err}
			}
			return adoptStore(cmd.Context(), dir, b, stdout)
		},
	}
	cmd.Flags().StringVar(&dir, "data", "", "the `DIR`ectory of a stopped node's store")
	cmd.Flags().StringVar(&id, "branch", "", "the `NEW` branch id")
	return cmd
}

func adoptStore(ctx context.Context, dir string, id branch.ID, stdout io.Writer) error {
	file := filepath.Join(dir, store.FileName)
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("giving a store another branch id: %w", err)
	}
	s, err := openAny(ctx, dir)
	if err != nil {
		return fmt.Errorf("giving %s another branch id: %w", file, err)
	}
	was := s.Branch()
	if err := errors.Join(replication.Adopt(ctx, s, id), s.Close()); err != nil {
		return fmt.Errorf("giving %s another branch id: %w", file, err)
	}
	_, err = fmt.Fprintf(stdout, "%s is of branch %s now, and was of %s; it is at revision %s. Set branchId: %s before the node starts\n",
		file, id, was, s.Revision(), id)
	return err
}
