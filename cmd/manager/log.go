package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// newLogger makes the program's only logger.
func newLogger(out io.Writer, level, format string) (*slog.Logger, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	at, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("--log-level: %q is not debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: at}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), nil
	default:
		return nil, fmt.Errorf("--log-format: %q is not json or text", format)
	}
}

// logThrough makes the libraries log to the same place in the same form.
func logThrough(logger *slog.Logger) {
	bridge := logr.FromSlogHandler(logger.Handler())
	ctrl.SetLogger(bridge)
	klog.SetLogger(bridge)
}
