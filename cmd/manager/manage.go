package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/controllers"
	"vesperdb.io/vesper/internal/version"
)

// The API server's own fairness is the real bound; these keep one operator from
// taking all of a small server at its start.
const (
	apiQPS   = 100
	apiBurst = 200
)

// manage runs the controllers until ctx ends.
func manage(ctx context.Context, o *options, logger *slog.Logger) error {
	cfg, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server (give --kubeconfig outside of a cluster): %w", err)
	}
	cfg.QPS, cfg.Burst, cfg.UserAgent = apiQPS, apiBurst, "vesper-manager/"+version.Version
	mgr, err := newManager(cfg, o, logger)
	if err != nil {
		return err
	}
	logger.Info("Starting", "version", version.Version, "namespaces", o.namespaceList(), "leaderElection", o.leaderElect)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the controllers: %w", err)
	}
	return nil
}

func newManager(cfg *rest.Config, o *options, logger *slog.Logger) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering types: %w", err)
	}
	lock, err := lease(cfg, o)
	if err != nil {
		return nil, err
	}
	warm := true // one that waits to lead fills its caches, so that it works as soon as it leads
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                              scheme,
		Logger:                              logr.FromSlogHandler(logger.Handler()),
		Cache:                               controllers.CacheOptions(o.namespaceList()),
		Client:                              controllers.ClientOptions(o.namespaceList()),
		Controller:                          ctrlconfig.Controller{MaxConcurrentReconciles: o.concurrency, SkipNameValidation: &o.several, EnableWarmup: &warm},
		Metrics:                             metricsOptions(o),
		HealthProbeBindAddress:              o.probeAddress,
		LeaderElection:                      o.leaderElect,
		LeaderElectionReleaseOnCancel:       true, // main ends right after
		LeaderElectionResourceLockInterface: lock,
		LeaseDuration:                       &o.leaseDuration,
		RenewDeadline:                       &o.renewDeadline,
		RetryPeriod:                         &o.retryPeriod,
		GracefulShutdownTimeout:             &o.shutdownTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return mgr, errors.Join(addControllers(mgr, o), addChecks(mgr))
}

func metricsOptions(o *options) metricsserver.Options {
	options := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure}
	if o.metricsSecure {
		options.FilterProvider = guardMetrics
	}
	return options
}

func addControllers(mgr manager.Manager, o *options) error {
	return errors.Join(
		(&controllers.VesperBrokerReconciler{Image: o.brokerImage}).SetupWithManager(mgr),
		(&controllers.VesperClusterReconciler{NodeImage: o.nodeImage}).SetupWithManager(mgr),
		(&controllers.VesperNodeReconciler{NodeImage: o.nodeImage}).SetupWithManager(mgr),
	)
}

// addChecks makes the program alive when it serves, and ready when what it
// watches can be listed. Not being the leader is ready.
func addChecks(mgr manager.Manager) error {
	return errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("caches", func(r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			if !mgr.GetCache().WaitForCacheSync(ctx) {
				return errors.New("caches are not filled: are the CRDs installed, and may the operator list their objects?")
			}
			return nil
		}),
	)
}
