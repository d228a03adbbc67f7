package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// sqlite is a process of Python, whose module sqlite3 is SQLite's own C library:
// it is given queries, and times them inside, so that what it is told and answers
// does not count. (A translation of SQLite to Go would be slower than what
// people use, and a driver in C needs a compiler.)
type sqlite struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	version string
}

func startSQLite(ctx context.Context, dir string) (*sqlite, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return nil, errors.New("install python3 with its module sqlite3")
	}
	s := &sqlite{cmd: exec.CommandContext(ctx, python, "sqlite.py", filepath.Join(dir, "objects.sqlite"))}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	return s, s.cmd.Start()
}

func (s *sqlite) stop() {
	_ = s.in.Close() // ends it
	_ = s.cmd.Wait()
}

type sqliteReply struct {
	Error, Version string
	Rows           []any
	Calls          int
	Seconds        float64
}

func (s *sqlite) ask(what map[string]any) (reply sqliteReply, err error) {
	line, err := json.Marshal(what)
	if err != nil {
		return reply, err
	}
	if _, err := s.in.Write(append(line, '\n')); err != nil {
		return reply, err
	}
	answer, err := s.out.ReadBytes('\n')
	if err != nil {
		return reply, fmt.Errorf("the process of SQLite has ended: %w", err)
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return reply, err
	}
	if reply.Error != "" {
		err = errors.New(reply.Error)
	}
	return reply, err
}

// fill makes the table. The file is mapped as bbolt's is, so that both read from
// the kernel's memory.
func (s *sqlite) fill(file string) error {
	reply, err := s.ask(map[string]any{"script": []string{
		"PRAGMA journal_mode = WAL", "PRAGMA mmap_size = 8589934592", "PRAGMA cache_size = -65536",
		"CREATE TABLE objects (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
	}})
	if err != nil {
		return err
	}
	s.version = reply.Version
	if _, err := s.ask(map[string]any{"load": file}); err != nil {
		return err
	}
	_, err = s.ask(map[string]any{"script": sqliteIndexes})
	return err
}

func (s *sqlite) rows(q question, params []any) ([]any, error) {
	reply, err := s.ask(map[string]any{"rows": q.sqlite, "params": append([]any{}, params...)})
	return reply.Rows, err
}

func (s *sqlite) time(q question, calls [][]any, d time.Duration) (float64, error) {
	list := make([][]any, len(calls))
	for i := range calls {
		list[i] = append([]any{}, calls[i]...) // an empty list, not null
	}
	reply, err := s.ask(map[string]any{"time": q.sqlite, "calls": list, "seconds": d.Seconds()})
	return reply.Seconds / float64(max(reply.Calls, 1)), err
}
