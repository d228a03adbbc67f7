package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"vesperdb.io/vesper/api/v1alpha1"
)

// home is where the operator runs, as in config/default.
const home = "vesper-system"

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering types: %w", err)
	}
	return scheme, nil
}

// startAPIServer runs etcd and a kube-apiserver with the CRDs, and returns the
// configuration of one who may do everything.
func startAPIServer(root string) (*envtest.Environment, *rest.Config, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, nil, errors.New("KUBEBUILDER_ASSETS does not say where kube-apiserver and etcd are: run `make scale`, or set it to what `go run ./hack/localkube assets` prints")
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	// Room for the Services of 10 000 nodes; the usual 254 addresses are soon given out.
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	cfg, err := env.Start()
	if err != nil {
		return nil, nil, fmt.Errorf("starting kube-apiserver and etcd: %w", errors.Join(err, env.Stop()))
	}
	cfg.QPS = -1
	return env, cfg, nil
}

// operatorConfig is that of the operator as it is installed: of its
// ServiceAccount, with the rights of its roles and no others.
func operatorConfig(cfg *rest.Config) *rest.Config {
	operator := rest.CopyConfig(cfg)
	operator.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + home + ":vesper-operator",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + home, "system:authenticated"}}
	return operator
}

// installRoles makes the operator's namespace and roles.
func installRoles(ctx context.Context, c client.Client, root string) error {
	if err := c.Create(ctx, namespace(home)); err != nil {
		return fmt.Errorf("making namespace %s: %w", home, err)
	}
	role, binding := &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}
	leaderRole, leaderBinding := &rbacv1.Role{}, &rbacv1.RoleBinding{}
	return errors.Join(
		install(ctx, c, root, "role.yaml", role),
		install(ctx, c, root, "role_binding.yaml", binding),
		install(ctx, c, root, "leader_election.yaml", leaderRole, leaderBinding))
}

// install makes the objects of a file of config/rbac, which has those of the given kinds.
func install(ctx context.Context, c client.Client, root, file string, into ...client.Object) error {
	f, err := os.Open(filepath.Join(root, "config", "rbac", file))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	decoder := yaml.NewYAMLOrJSONDecoder(f, 4096)
	for _, object := range into {
		if err := decoder.Decode(object); err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if err := c.Create(ctx, object); err != nil {
			return fmt.Errorf("making %T %s: %w", object, object.GetName(), err)
		}
	}
	return nil
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
