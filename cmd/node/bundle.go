package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/bundle"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

// source is where a command takes its data from, or puts it: a node that runs,
// or the store of one that is stopped.
type source struct {
	node, data string
}

func (f *source) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.node, "node", "", "the `URL` of a running node, such as http://localhost:8000")
	addCredentials(cmd)
	cmd.Flags().StringVar(&f.data, "data", "", "or the `DIR`ectory of a stopped node's store")
}

func (f *source) check() error {
	if (f.node == "") == (f.data == "") {
		return usageError{errors.New("give --node URL of a running node, or --data DIR of a stopped one")}
	}
	if u, err := url.Parse(f.node); f.node != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return usageError{fmt.Errorf("--node %q is no URL of a node: write it like http://localhost:8000", f.node)}
	}
	return nil
}

// url is that of a path of the running node.
func (f *source) url(path string) string { return strings.TrimSuffix(f.node, "/") + path }

// what names the source in errors.
func (f *source) what() string {
	if f.node != "" {
		return f.node
	}
	return filepath.Join(f.data, store.FileName)
}

// open opens the store of a stopped node.
func (f *source) open(ctx context.Context) (*store.Store, error) {
	if _, err := os.Stat(filepath.Join(f.data, store.FileName)); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return openAny(ctx, f.data)
}

// bundleFlags are what export and import have in common: which node, of which system.
type bundleFlags struct {
	source
	trunk string
}

func (f *bundleFlags) add(cmd *cobra.Command) {
	f.source.add(cmd)
	cmd.Flags().StringVar(&f.trunk, "trunk", "", "with --data: the system's trunk `ID` (default: the first of the width)")
}

// open opens the store of a stopped node.
func (f *bundleFlags) open(ctx context.Context) (*store.Store, branch.ID, error) {
	s, err := f.source.open(ctx)
	if err != nil {
		return nil, "", err
	}
	trunk := branch.ID(f.trunk)
	if trunk == "" {
		trunk = branch.First(s.Branch().Width())
	}
	return s, trunk, nil
}

func exportCommand(stdout io.Writer) *cobra.Command {
	var f bundleFlags
	var since, out string
	var all bool
	cmd := &cobra.Command{
		Use:   "export (--node URL | --data DIR) (--since REVISION | --all) --out FILE",
		Short: "Write changesets to a file, for a node that no network reaches",
		Long: "export writes changesets to a file, for a node that no network reaches; import applies them there.\n" +
			"The revision that the other node has stands in its status; it is left out of the file.",
		Example: "  vesper-node export --node http://localhost:8000 --since 0A00017,0B00003 --out to-ship.bundle\n" +
			"  vesper-node export --data /var/lib/vesper --all --out all.bundle",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if (since == "") != all || out == "" {
				return usageError{errors.New("give --out FILE, and --all or --since REVISION: what the other node has, as its status says")}
			}
			revision, err := branch.ParseRevision(since)
			if err != nil {
				return usageError{fmt.Errorf("--since: %w", err)}
			}
			return exportBundle(cmd.Context(), f, revision, out, stdout)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&since, "since", "", "leave out what this `REVISION` covers")
	cmd.Flags().BoolVar(&all, "all", false, "leave out nothing")
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write; it must not exist")
	return cmd
}

// exportBundle writes a bundle. The file has its name once it is complete and on disk.
func exportBundle(ctx context.Context, f bundleFlags, since branch.Revision, out string, stdout io.Writer) (err error) {
	if _, err := os.Stat(out); err == nil {
		return fmt.Errorf("exporting: %s is there already: remove it, or name another file", out)
	}
	partial := out + ".part"
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("exporting: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(partial)
		}
	}()
	err = errors.Join(f.export(ctx, since, file), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(partial, out)
	}
	if err != nil {
		return fmt.Errorf("exporting to %s: %w", out, err)
	}
	_, err = fmt.Fprintf(stdout, "wrote %s\n", out)
	return err
}

func (f *bundleFlags) export(ctx context.Context, since branch.Revision, w io.Writer) error {
	if f.node != "" {
		path := f.url("/v1/bundle?since=" + url.QueryEscape(since.String()))
		return ask(ctx, http.MethodGet, path, nil, func(body io.Reader) error {
			_, err := io.Copy(w, body)
			return err
		})
	}
	s, trunk, err := f.open(ctx)
	if err != nil {
		return err
	}
	_, err = bundle.Export(ctx, w, s, trunk, since, nil)
	return errors.Join(err, s.Close())
}

func importCommand(stdout io.Writer) *cobra.Command {
	var f bundleFlags
	var from string
	cmd := &cobra.Command{
		Use:   "import (--node URL | --data DIR) --from FILE",
		Short: "Apply a file of changesets that export wrote; it may be repeated",
		Long: "import applies a file of changesets that export wrote.\n" +
			"It may be repeated: it goes on where an earlier one ended, and changes nothing the second time.",
		Example: "  vesper-node import --node http://localhost:8000 --from to-ship.bundle\n" +
			"  vesper-node import --data /var/lib/vesper --from to-ship.bundle",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if from == "" {
				return usageError{errors.New("give --from FILE, the bundle")}
			}
			if err := f.load(cmd.Context(), from, stdout); err != nil {
				return fmt.Errorf("importing %s: %w", from, err)
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "the `FILE` to read")
	return cmd
}

func (f *bundleFlags) load(ctx context.Context, from string, stdout io.Writer) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	if f.node != "" {
		return ask(ctx, http.MethodPost, f.url("/v1/bundle"), file, func(body io.Reader) error {
			_, err := io.Copy(stdout, body)
			return err
		})
	}
	s, trunk, err := f.open(ctx)
	if err != nil {
		return err
	}
	got, err := importInto(ctx, s, trunk, file)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d changesets: %d applied, %d were here, %d wait for others, %d refused; revision %s\n",
		got.Changesets, got.Applied, got.Duplicate, got.Pending, got.Rejected, got.Revision)
	return err
}

// importInto applies a bundle as a running node does, mindful of its own branch.
func importInto(ctx context.Context, s *store.Store, trunk branch.ID, file io.Reader) (bundle.Imported, error) {
	r, err := replication.New(s, nil, replication.Options{})
	if err != nil {
		return bundle.Imported{}, err
	}
	return bundle.Import(ctx, file, s, trunk, r.Import)
}

// ask sends a request to a node. A problem it answers becomes the error.
func ask(ctx context.Context, method, path string, body io.Reader, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", bundle.ContentType)
	}
	resp, err := clientOf(ctx).Do(req)
	if err != nil {
		return fmt.Errorf("asking the node: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, acceptBytes)) // what there is of it
		return fmt.Errorf("the node answered %s: %s", resp.Status, text)
	}
	return read(resp.Body)
}
