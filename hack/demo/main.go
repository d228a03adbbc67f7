// Command demo shows what this project is for, on a real Kubernetes: it
// installs the operator, applies the samples, writes on one node and reads on
// the others.
//
//	demo up     everything, and again as often as wanted
//	demo down   removes what up made
//
// DEMO_CLUSTER chooses the Kubernetes: current (that of KUBECONFIG), kind, or
// localkube. Unset, it is kind if that is installed, else localkube. With
// current, images are not loaded: push them to a registry of yours and say
// where in DEMO_HELM_ARGS, such as
//
//	DEMO_HELM_ARGS="--set image.repository=r.example.org/vesper/manager --set nodeImage=r.example.org/vesper/node:dev"
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"vesperdb.io/vesper/hack/devcluster"
)

// limit bounds the whole demo: a cold build of a Kubernetes takes most of it.
const limit = 45 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	s := &script{out: os.Stdout, started: time.Now()}
	choice := devcluster.Choice(os.Getenv("DEMO_CLUSTER"))
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "up":
		err = up(ctx, s, choice)
	case len(os.Args) == 2 && os.Args[1] == "down":
		err = down(ctx, s, choice)
	default:
		err = fmt.Errorf("usage: demo up | demo down")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1) //nolint:gocritic // the deferred calls only release the signal handler
	}
}
