package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"vesperdb.io/vesper/internal/nodestatus"
)

// transferTries is how often in a row a transfer is taken up again without
// getting any further, and transferPause how long it waits before.
const (
	transferTries = 5
	transferPause = time.Second
)

func dumpCommand(stdout, stderr io.Writer) *cobra.Command {
	var from source
	var out string
	cmd := &cobra.Command{
		Use:   "dump --node URL --out FILE",
		Short: "Write all objects of a node to a file, as lines of JSON",
		Long: "dump writes all objects as they are at one revision to a file, each a line of JSON. load takes it.\n\n" +
			"A name that ends with .gz makes it gzip. What is there so far is in FILE.part, and the same command goes on\n" +
			"from there. For a backup with the history, take a snapshot.",
		Example: "  vesper-node dump --node http://localhost:8000 --out objects.ndjson.gz",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := from.checkNode(); err != nil {
				return err
			}
			if out == "" {
				return usageError{errors.New("give --out FILE, the file to write")}
			}
			d := dump{from: from, out: out, progress: newProgress(stderr, "objects")}
			if err := d.run(cmd.Context()); err != nil {
				return fmt.Errorf("dumping %s to %s: %w", from.node, out, err)
			}
			_, err := fmt.Fprintf(stdout, "%s holds %d objects of revision %s\n", out, d.state.Objects, d.state.Revision)
			return err
		},
	}
	addCredentials(cmd)
	cmd.Flags().StringVar(&from.node, "node", "", "the `URL` of the node, such as http://localhost:8000")
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write; it must not exist")
	return cmd
}

// checkNode demands the URL of a node.
func (f *source) checkNode() error {
	if f.node == "" {
		return usageError{errors.New("give --node URL, a running node such as http://localhost:8000")}
	}
	return f.check()
}

// dump is a download under way. Its file grows in whole members: the text is cut
// to state.Bytes before more is added, so that an interruption leaves no half line.
type dump struct {
	from     source
	out      string
	progress *progress
	state    dumpState
}

// dumpState is how far a dump has come. It lies beside the file, on disk before it counts.
type dumpState struct {
	Revision string `json:"revision"`
	// After is the id of the last object; empty before the first.
	After   string `json:"after"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// exportedID returns the id of the object in a line. The last line of an export
// that breaks off is an *answerError.
func exportedID(line []byte) (id string, err error) {
	var members map[string]json.RawMessage
	var problem struct {
		Status int
		Detail string
	}
	switch {
	case json.Unmarshal(line, &members) != nil:
	case json.Unmarshal(members["id"], &id) == nil:
		return id, nil
	case json.Unmarshal(members["problem"], &problem) == nil && problem.Status > 0:
		return "", &answerError{status: problem.Status, detail: problem.Detail}
	}
	return "", fmt.Errorf("the node sent a line that is no object: %.80q", bytes.TrimSpace(line))
}

// dumpStep is how many objects are in the file before that is noted.
const dumpStep = 5000

func (d *dump) partName() string  { return d.out + ".part" }
func (d *dump) stateName() string { return d.out + ".part.json" }

func (d *dump) run(ctx context.Context) error {
	if _, err := os.Lstat(d.out); err == nil {
		return errors.New("the file is there already: choose another name")
	}
	if text, err := os.ReadFile(d.stateName()); err == nil {
		if err := json.Unmarshal(text, &d.state); err != nil {
			return fmt.Errorf("%s is damaged: remove it to begin anew: %w", d.stateName(), err)
		}
	}
	if total := d.count(ctx); total > 0 {
		d.progress.part = func(done int64) float64 { return float64(done) / float64(total) }
	}
	f, err := os.OpenFile(d.partName(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = again(ctx, d.progress, func() int64 { return d.state.Objects }, func() error { return d.fetch(ctx, f) })
	d.progress.end(d.state.Objects)
	if err != nil && ctx.Err() != nil {
		_ = f.Close() // what counts of it is on disk
		return fmt.Errorf("interrupted after %d objects: give the same command again to go on from there", d.state.Objects)
	}
	if gone, ok := errors.AsType[*answerError](err); ok && gone.status == http.StatusGone {
		err = fmt.Errorf("%w; what there is of it cannot be completed any more: remove %s and %s, and dump anew", err, d.partName(), d.stateName())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := errors.Join(os.Rename(d.partName(), d.out), os.Remove(d.stateName())); err != nil {
		return err
	}
	return nil
}

// count asks how many objects there are, for the progress alone; 0 if that is not told.
func (d *dump) count(ctx context.Context) int64 {
	resp, err := request(ctx, http.MethodGet, d.from.url("/v1/status"), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var status nodestatus.Status
	if json.NewDecoder(resp.Body).Decode(&status) != nil {
		return 0
	}
	return status.Objects
}

// again runs a transfer until it succeeds, as long as it gets further.
func again(ctx context.Context, p *progress, done func() int64, try func() error) error {
	for tries := 0; ; {
		before := done()
		err := try()
		var answered *answerError
		if err == nil || ctx.Err() != nil || errors.As(err, &answered) && !answered.later() {
			return err
		}
		if tries++; done() > before {
			tries = 0
		}
		if tries == transferTries {
			return fmt.Errorf("no further after %d tries: %w", tries, err)
		}
		p.say("broke off (%v); going on", err)
		select {
		case <-time.After(transferPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fetch asks for what is missing and appends it.
func (d *dump) fetch(ctx context.Context, f *os.File) error {
	if err := f.Truncate(d.state.Bytes); err != nil {
		return err
	}
	if _, err := f.Seek(d.state.Bytes, io.SeekStart); err != nil {
		return err
	}
	params := url.Values{}
	if d.state.Revision != "" {
		params.Set("at", d.state.Revision)
	}
	if d.state.After != "" {
		params.Set("after", d.state.After)
	}
	resp, err := request(ctx, http.MethodGet, d.from.url("/v1/export?"+params.Encode()), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	d.state.Revision = resp.Header.Get("Vesper-Revision")
	if err := d.append(f, bufio.NewReaderSize(resp.Body, 1<<20)); err != nil {
		return err
	}
	if resp.Trailer.Get("Vesper-Objects") == "" {
		return errors.New("the node's answer broke off")
	}
	return nil
}

func (d *dump) append(f *os.File, body *bufio.Reader) error {
	for {
		member, err := d.member(f, body)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if saved := d.save(f, member); saved != nil || err != nil {
			return saved
		}
	}
}

// member writes up to dumpStep lines, as one member of the file if that is gzip.
// It returns what the state is after it, and io.EOF at the end of the answer.
func (d *dump) member(f *os.File, body *bufio.Reader) (next dumpState, err error) {
	next = d.state
	plain := bufio.NewWriterSize(f, 1<<20)
	var w io.Writer = plain
	var z *gzip.Writer
	if strings.HasSuffix(d.out, ".gz") {
		z = gzip.NewWriter(plain)
		w = z
	}
	for range dumpStep {
		line, err := body.ReadBytes('\n')
		if err == nil {
			id, err := exportedID(line)
			if _, broke := errors.AsType[*answerError](err); broke {
				return next, errors.Join(d.finish(plain, z, f, &next), err, d.save(f, next))
			}
			if err != nil {
				return next, err
			}
			if _, err := w.Write(line); err != nil {
				return next, err
			}
			next.After, next.Objects = id, next.Objects+1
			continue
		}
		if !errors.Is(err, io.EOF) {
			return next, errors.Join(d.finish(plain, z, f, &next), err, d.save(f, next))
		}
		return next, errors.Join(d.finish(plain, z, f, &next), err)
	}
	return next, d.finish(plain, z, f, &next)
}

func (d *dump) finish(plain *bufio.Writer, z *gzip.Writer, f *os.File, next *dumpState) error {
	var err error
	if z != nil {
		err = z.Close()
	}
	if err = errors.Join(err, plain.Flush()); err != nil {
		return err
	}
	next.Bytes, err = f.Seek(0, io.SeekCurrent)
	return err
}

// save notes how far the file goes, once it is on disk.
func (d *dump) save(f *os.File, next dumpState) error {
	if err := f.Sync(); err != nil {
		return err
	}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.stateName()+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(d.stateName()+".new", d.stateName()); err != nil {
		return err
	}
	d.state = next
	d.progress.at(next.Objects)
	return nil
}

// answerError is an answer of a node that is no success.
type answerError struct {
	status int
	detail string
	// done is, of an import that failed, how many lines are done.
	done int64
}

// Error says what the node said.
func (e *answerError) Error() string {
	return fmt.Sprintf("the node answered %d: %s", e.status, e.detail)
}

// later reports whether the same request may succeed later.
func (e *answerError) later() bool {
	return e.status == http.StatusServiceUnavailable || e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests
}

// request sends a request and returns a successful answer.
func request(ctx context.Context, method, address string, body io.Reader, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := clientOf(ctx).Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the node: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()                                       //nolint:errcheck // only read
	text, _ := io.ReadAll(io.LimitReader(resp.Body, acceptBytes)) // what there is of it
	var p struct {
		Detail   string
		Imported struct{ Lines int64 }
	}
	if json.Unmarshal(text, &p) != nil || p.Detail == "" {
		p.Detail = string(text)
	}
	return nil, &answerError{status: resp.StatusCode, detail: p.Detail, done: p.Imported.Lines}
}
