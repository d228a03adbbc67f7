package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameSignal is how long a repeated signal counts as the same one: terminals
// and wrappers often send it twice, to the process and to its group.
const sameSignal = time.Second

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A
// later one ends the process at once: what is acknowledged is on disk anyway.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		for first := time.Now(); time.Since(first) < sameSignal; {
			<-signals
		}
		os.Exit(exitFailed)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
