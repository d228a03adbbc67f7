package main

import (
	"bufio"
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

func snapshotCommand(stdout io.Writer) *cobra.Command {
	var dir, out string
	cmd := &cobra.Command{
		Use:   "snapshot --data DIR --out FILE",
		Short: "Write all data and history of a store to a file; its node must be stopped",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" || out == "" {
				return usageError{errors.New("give --data DIR, the directory of the store, and --out FILE, the snapshot to write")}
			}
			return takeSnapshot(cmd.Context(), dir, out, stdout)
		},
	}
	cmd.Flags().StringVar(&dir, "data", "", "the `DIR`ectory of the store")
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write; it must not exist")
	return cmd
}

func restoreCommand(stdout io.Writer) *cobra.Command {
	var dir, from, id string
	cmd := &cobra.Command{
		Use:   "restore --data DIR --branch ID --from FILE",
		Short: "Make a new store from a snapshot",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" || from == "" || id == "" {
				return usageError{errors.New("give --data DIR, a directory without a store, --branch ID, the node's branch id, and --from FILE, the snapshot")}
			}
			b, err := branch.ParseID(id)
			if err != nil {
				return usageError{err}
			}
			return restoreSnapshot(cmd.Context(), dir, b, from, stdout)
		},
	}
	cmd.Flags().StringVar(&dir, "data", "", "the `DIR`ectory of the new store")
	cmd.Flags().StringVar(&id, "branch", "", "the branch `ID` of the node that will run on it")
	cmd.Flags().StringVar(&from, "from", "", "the snapshot `FILE`")
	return cmd
}

// takeSnapshot writes a snapshot. The file has its name once it is complete and
// on disk.
func takeSnapshot(ctx context.Context, dir, out string, stdout io.Writer) error {
	file := filepath.Join(dir, store.FileName)
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("taking a snapshot: %w", err)
	}
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("taking a snapshot: %s is there already: choose another name", out)
	}
	s, err := openAny(ctx, dir)
	if err != nil {
		return fmt.Errorf("taking a snapshot of %s: %w", file, err)
	}
	info, err := writeTo(ctx, s, out)
	if err = errors.Join(err, s.Close()); err != nil {
		return fmt.Errorf("taking a snapshot of %s: %w", file, err)
	}
	return describeSnapshot(stdout, out, info)
}

func writeTo(ctx context.Context, s *store.Store, out string) (info store.SnapshotInfo, err error) {
	f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if err != nil {
		return info, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // half a snapshot is of no use
		}
	}()
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if info, err = s.WriteSnapshot(ctx, w); err != nil {
		return info, err
	}
	if err = errors.Join(w.Flush(), f.Sync()); err != nil {
		return info, err
	}
	return info, os.Rename(f.Name(), out)
}

func describeSnapshot(stdout io.Writer, file string, info store.SnapshotInfo) error {
	floor := ""
	if len(info.Floor) > 0 {
		floor = fmt.Sprintf(", history from %s on", info.Floor)
	}
	_, err := fmt.Fprintf(stdout, "%s holds revision %s, %d objects, %d changesets%s\n",
		file, info.Revision, info.Objects, info.Changesets, floor)
	return err
}

func restoreSnapshot(ctx context.Context, dir string, id branch.ID, from string, stdout io.Writer) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("restoring a snapshot: %w", err)
	}
	info, err := store.RestoreSnapshot(ctx, bufio.NewReaderSize(f, 1<<20), store.Options{Dir: dir, Branch: id})
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is restored: branch %s, revision %s, %d objects, %d changesets\n",
		filepath.Join(dir, store.FileName), id, info.Revision, info.Objects, info.Changesets)
	return err
}
