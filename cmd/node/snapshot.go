package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

func snapshotCommand(stdout io.Writer) *cobra.Command {
	var from source
	var out string
	cmd := &cobra.Command{
		Use:   "snapshot (--node URL | --data DIR) --out FILE",
		Short: "Back up all data and history of a node to a file",
		Long: "snapshot writes all data and history of a node to a file, and nothing that says whose it is.\n\n" +
			"The file has its name once it is complete, checked and on disk. restore makes a store of it.",
		Example: "  vesper-node snapshot --node http://localhost:8000 --out monday.snapshot\n" +
			"  vesper-node snapshot --data /var/lib/vesper --out monday.snapshot",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := from.check(); err != nil {
				return err
			}
			if out == "" {
				return usageError{errors.New("give --out FILE, the snapshot to write")}
			}
			return takeSnapshot(cmd.Context(), from, out, stdout)
		},
	}
	from.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write; it must not exist")
	return cmd
}

func restoreCommand(stdout io.Writer) *cobra.Command {
	var dir, from, id string
	cmd := &cobra.Command{
		Use:   "restore --data DIR --branch ID --from FILE",
		Short: "Make a new store from a snapshot",
		Long: "restore makes a new store from a snapshot, in a directory that has none.\n\n" +
			"Give it a branch id that no node ever had. Under an earlier one the node takes no writes until\n" +
			"vesper-node accept, whoever it hears: the branch may have written more than the snapshot holds.",
		Example: "  vesper-node restore --data ./data --branch 0D --from monday.snapshot",
		Args:    noArgs,
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

// takeSnapshot writes a snapshot. The file has its name once it is complete,
// checked and on disk.
func takeSnapshot(ctx context.Context, from source, out string, stdout io.Writer) error {
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("taking a snapshot: %s is there already: choose another name", out)
	}
	info, err := writeTo(ctx, from, out)
	if err != nil {
		return fmt.Errorf("taking a snapshot of %s: %w", from.what(), err)
	}
	return describeSnapshot(stdout, out, info)
}

func writeTo(ctx context.Context, from source, out string) (info store.SnapshotInfo, err error) {
	write, done, err := from.snapshot(ctx)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, done()) }()
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
	if err = errors.Join(write(w), w.Flush(), f.Sync()); err != nil {
		return info, err
	}
	if _, err = f.Seek(0, io.SeekStart); err != nil {
		return info, err
	}
	if info, err = store.ReadSnapshotInfo(bufio.NewReaderSize(f, 1<<20)); err != nil {
		return info, err
	}
	if err = os.Rename(f.Name(), out); err != nil {
		return info, err
	}
	return info, syncDir(filepath.Dir(out))
}

// snapshot returns what writes a snapshot of the source, and what is to be done afterwards.
func (f *source) snapshot(ctx context.Context) (write func(io.Writer) error, done func() error, err error) {
	if f.node != "" {
		return func(w io.Writer) error {
			return ask(ctx, http.MethodGet, f.url("/v1/snapshot"), nil, func(body io.Reader) error {
				_, err := io.Copy(w, body)
				return err
			})
		}, func() error { return nil }, nil
	}
	s, err := f.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return func(w io.Writer) error {
		_, err := s.WriteSnapshot(ctx, w)
		return err
	}, s.Close, nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
