// Command vesper-manager is the operator: it makes VesperBrokers, VesperClusters
// and VesperNodes be what their specs say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	ctrl "sigs.k8s.io/controller-runtime"

	"vesperdb.io/vesper/internal/version"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// garbage is how much of its memory, in percent of what is in use, the program
// lets become garbage before it collects. Go's own 100 would save some processor
// time, of which an operator needs little; the variable GOGC overrules this.
const garbage = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	os.Exit(run(ctrl.SetupSignalHandler(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It ends when ctx does, and a second signal ends it at once.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "vesper-manager:", err)
		return exitUsage
	case o.version:
		fmt.Fprintln(stdout, version.Version)
		return exitOK
	}
	logger, err := newLogger(stderr, o.logLevel, o.logFormat)
	if err != nil {
		fmt.Fprintln(stderr, "vesper-manager:", err)
		return exitUsage
	}
	logThrough(logger)
	if err := manage(ctx, o, logger); err != nil {
		logger.Error("Failed", "error", err.Error())
		return exitFailed
	}
	logger.Info("Stopped")
	return exitOK
}
