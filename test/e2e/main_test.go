// Package e2e proves the whole on a real Kubernetes with a real ActiveMQ: what
// a user applies becomes a cluster that replicates, and stays one when pods,
// the broker or the user misbehave.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"vesperdb.io/vesper/hack/devcluster"
)

// kube is the Kubernetes all tests share; each test has a namespace of its own.
var kube *devcluster.Cluster

// parallel is how many tests run at the same time: most of their time they wait for
// containers to start, so it is more than a small machine has processors.
const parallel = "3"

func TestMain(m *testing.M) {
	os.Exit(runAll(m))
}

// runAll brings up the Kubernetes that E2E_CLUSTER chooses (current, kind,
// localkube; by default kind if installed, else localkube) and takes it down
// again, unless E2E_KEEP is set or it is the user's own.
func runAll(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
	defer cancel()
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	choice := devcluster.Choice(os.Getenv("E2E_CLUSTER"))
	if choice == devcluster.Auto || choice == devcluster.Localkube {
		if os.Geteuid() != 0 {
			fmt.Println("e2e: localkube needs root: run as root, or set E2E_CLUSTER=kind or current")
			return 1
		}
	}
	if os.Getenv("E2E_KEEP") == "" {
		defer func() {
			if err := devcluster.Down(context.WithoutCancel(ctx), choice); err != nil {
				fmt.Println("e2e: taking the cluster down:", err)
			}
		}()
	}
	var err error
	if kube, err = devcluster.Up(ctx, choice); err == nil {
		if err = kube.LoadImages(ctx); err == nil {
			err = kube.InstallOperator(ctx)
		}
	}
	if err != nil {
		fmt.Println("e2e: bringing the cluster up:", err)
		return 1
	}
	return m.Run()
}
