package main

import (
	"fmt"
	"io"
	"log/slog"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
)

// newLogger makes a logger whose every line names the node.
func newLogger(w io.Writer, c nodeconfig.Log, id branch.ID) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("log level %q: %w", c.Level, err)
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if c.Format == "text" {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(handler).With("branch", string(id)), nil
}
