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

	"github.com/spf13/cobra"
)

const (
	// loadLines and loadBytes are how much is sent at a time; then it is noted.
	loadLines = 2000
	loadBytes = 8 << 20
)

func loadCommand(stdout, stderr io.Writer) *cobra.Command {
	var to source
	var mode string
	var anew bool
	cmd := &cobra.Command{
		Use:   "load --node URL FILE",
		Short: "Write the objects of a file of lines of JSON to a node",
		Long: "load writes the objects of a file, each a line of JSON, to a node: those that are there become what the file says.\n\n" +
			"A name that ends with .gz is read as gzip. How far it is stands in FILE.loading, and the same command goes on\n" +
			"from there; doing it twice changes nothing. A bad line is named, and nothing after it is written.",
		Example: "  vesper-node load --node http://localhost:8000 objects.ndjson.gz",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("give one FILE, the lines to load")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := to.checkNode(); err != nil {
				return err
			}
			l := load{to: to, file: args[0], mode: mode, progress: newProgress(stderr, "lines")}
			if anew {
				_ = os.Remove(l.stateName()) // it may not be there
			}
			if err := l.run(cmd.Context()); err != nil {
				return fmt.Errorf("loading %s into %s: %w", args[0], to.node, err)
			}
			_, err := fmt.Fprintf(stdout, "loaded %d lines: the node is at revision %s\n", l.state.Lines, l.revision)
			return err
		},
	}
	addCredentials(cmd)
	cmd.Flags().StringVar(&to.node, "node", "", "the `URL` of the node, such as http://localhost:8000")
	cmd.Flags().StringVar(&mode, "mode", "replace", "what becomes of an object that is there: replace, update or add")
	cmd.Flags().BoolVar(&anew, "anew", false, "begin at the first line, whatever an earlier try has done")
	return cmd
}

// load is an upload under way.
type load struct {
	to         source
	file, mode string
	progress   *progress
	state      loadState
	revision   string
	// read counts the bytes of the file that are read.
	read int64
}

// loadState is how far a load is, of which file into which node.
type loadState struct {
	Node  string `json:"node"`
	Mode  string `json:"mode"`
	Size  int64  `json:"size"`
	Lines int64  `json:"lines"`
}

func (l *load) stateName() string { return l.file + ".loading" }

func (l *load) run(ctx context.Context) error {
	info, err := os.Stat(l.file)
	if err != nil {
		return err
	}
	want := loadState{Node: l.to.node, Mode: l.mode, Size: info.Size()}
	if text, err := os.ReadFile(l.stateName()); err == nil {
		if json.Unmarshal(text, &l.state) != nil || l.state.Node != want.Node || l.state.Mode != want.Mode || l.state.Size != want.Size {
			return fmt.Errorf("%s is of another file, node or mode: give --anew to begin at the first line", l.stateName())
		}
		l.progress.say("going on after line %d", l.state.Lines)
	}
	want.Lines = l.state.Lines
	l.state = want
	l.progress.part = func(int64) float64 { return float64(l.read) / float64(max(info.Size(), 1)) }
	err = again(ctx, l.progress, func() int64 { return l.state.Lines }, func() error { return l.send(ctx) })
	l.progress.end(l.state.Lines)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted after line %d: give the same command again to go on from there", l.state.Lines)
	}
	if err != nil {
		return err
	}
	if err := os.Remove(l.stateName()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// send sends what is not done yet, a part at a time.
func (l *load) send(ctx context.Context) error {
	f, err := os.Open(l.file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	l.read = 0
	var in io.Reader = counting{f, &l.read}
	if strings.HasSuffix(l.file, ".gz") {
		if in, err = gzip.NewReader(bufio.NewReaderSize(in, 1<<20)); err != nil {
			return &answerError{detail: fmt.Sprintf("%s is no gzip: %v", l.file, err)}
		}
	}
	lines := bufio.NewReaderSize(in, 1<<20)
	for skip := l.state.Lines; skip > 0; skip-- {
		if _, err := lines.ReadBytes('\n'); err != nil {
			return fmt.Errorf("going on after line %d: %w", l.state.Lines, err)
		}
	}
	for first := true; ; first = false {
		part, count, err := nextPart(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading after line %d: %w", l.state.Lines+count, err)
		}
		if count > 0 || first {
			if err := l.post(ctx, part, count); err != nil {
				return err
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the file
		}
	}
}

// counting counts what is read.
type counting struct {
	io.Reader
	n *int64
}

// Read implements io.Reader.
func (c counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	*c.n += int64(n)
	return n, err
}

// nextPart reads whole lines: as many as are sent at a time.
func nextPart(lines *bufio.Reader) (part []byte, count int64, err error) {
	for count < loadLines && len(part) < loadBytes {
		line, err := lines.ReadBytes('\n')
		if part = append(part, line...); len(line) > 0 {
			count++
		}
		if err != nil {
			return part, count, err
		}
	}
	return part, count, nil
}

// post sends a part. What the node says is done is noted, also when it failed.
func (l *load) post(ctx context.Context, part []byte, count int64) error {
	base := l.state.Lines
	address := l.to.url(fmt.Sprintf("/v1/import?mode=%s&first=%d", url.QueryEscape(l.mode), base+1))
	resp, err := request(ctx, http.MethodPost, address, bytes.NewReader(part), "Content-Type", "application/x-ndjson")
	if failed, ok := errors.AsType[*answerError](err); ok {
		return errors.Join(err, l.note(max(base, failed.done)))
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	l.revision = resp.Header.Get("Vesper-Revision")
	return l.note(base + count)
}

func (l *load) note(lines int64) error {
	l.state.Lines = lines
	l.progress.at(lines)
	text, err := json.Marshal(l.state)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.stateName()+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(l.stateName()+".new", l.stateName())
}
