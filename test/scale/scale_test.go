//go:build scale

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTenNodesCostNoWriteThatChangesNothingAndNoneAtRest(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("needs a kube-apiserver: run `make integration`, or set KUBEBUILDER_ASSETS to what `go run ./hack/localkube assets` prints")
	}
	program := filepath.Join(t.TempDir(), "vesper-manager")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/manager").CombinedOutput(); err != nil {
		t.Fatalf("building the operator: %v\n%s", err, out)
	}
	var out, failed bytes.Buffer
	code := run(t.Context(), []string{"-nodes=10", "-root=../..", "-manager=" + program, "-logs=" + t.TempDir(),
		"-settle=65s", "-after=5s", "-quiet=10s", "-pending=10s", "-patience=5m"}, &out, &failed)
	if code != exitOK {
		t.Errorf("ended with %d, want %d: %s", code, exitOK, failed.String())
	}
	f := lastLine(t, out.String())
	if f.Nodes != 10 || f.Clusters != 1 || len(f.Broken) != 0 {
		t.Errorf("%d nodes in %d clusters, broken promises: %v", f.Nodes, f.Clusters, f.Broken)
	}
	for name, n := range map[string]int{
		"writes in creation that changed nothing": f.Create.NoOps, "writes at rest": f.Rest.Writes, "writes while pods find no machine": f.NotReady.Writes,
		"writes after a restart": f.Restart.Writes, "writes after SIGTERM": f.Leader.Term.Writes, "writes after SIGKILL in its pod": f.Leader.Again.Writes, "writes after SIGKILL": f.Leader.Kill.Writes} {
		if n != 0 {
			t.Errorf("%d %s, want none", n, name)
		}
	}
	if f.Create.Requests["apply statefulsets"] != 10 || f.NotReady.Pods != 5 || f.Roll.Restarts != 10 || f.Roll.AtOnce != 1 || f.Restart.Asked < 10 {
		t.Errorf("the run did not do what it should have: %+v", f)
	}
	if f.Rest.RSS <= 0 || f.Create.CPU <= 0 || f.Leader.TermSeconds <= 0 || f.Leader.AgainSeconds <= 0 || f.Leader.KillSeconds <= 0 || len(f.Goals) == 0 {
		t.Errorf("figures are missing: %+v", f)
	}
}

// lastLine reads the figures from the end of what a run printed, and wants no
// field that Figures does not have.
func lastLine(t *testing.T, out string) (f Figures) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	decoder := json.NewDecoder(strings.NewReader(lines[len(lines)-1]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		t.Fatalf("the last line is not the figures: %v\n%s", err, out)
	}
	return f
}

func TestRequestsAreToldApart(t *testing.T) {
	for _, c := range []struct {
		method, url, contentType string
		want                     request
		text                     string
	}{
		{http.MethodPatch, "/apis/apps/v1/namespaces/shop/statefulsets/core-1?fieldManager=x", "application/apply-patch+yaml",
			request{verb: "apply", namespace: "shop", resource: "statefulsets", name: "core-1"}, "apply statefulsets"},
		{http.MethodPatch, "/apis/vesperdb.io/v1alpha1/namespaces/shop/vespernodes/core-1/status", "application/merge-patch+json",
			request{verb: "patch", namespace: "shop", resource: "vespernodes", name: "core-1", subresource: "status"}, "patch vespernodes/status"},
		{http.MethodGet, "/api/v1/pods?watch=true", "", request{verb: "watch", resource: "pods"}, "watch pods"},
		{http.MethodGet, "/api/v1/namespaces/shop/configmaps", "", request{verb: "list", namespace: "shop", resource: "configmaps"}, "list configmaps"},
		{http.MethodGet, "/api/v1/namespaces/shop/configmaps/a", "", request{verb: "get", namespace: "shop", resource: "configmaps", name: "a"}, "get configmaps"},
		{http.MethodPost, "/apis/events.k8s.io/v1/namespaces/shop/events", "", request{verb: "create", namespace: "shop", resource: "events"}, "create events"},
		{http.MethodGet, "/apis/vesperdb.io/v1alpha1", "", request{verb: "get", resource: "discovery"}, "get discovery"},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		r.Header.Set("Content-Type", c.contentType)
		if got := requestOf(r); got != c.want || got.String() != c.text {
			t.Errorf("%s %s is %+v (%s), want %+v (%s)", c.method, c.url, got, got, c.want, c.text)
		}
	}
}

func TestAWriteThatIsAnsweredWithAVersionSeenBeforeIsANoOp(t *testing.T) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	version := "7"
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "application/json")
		_, _ = out.Write([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"shop","resourceVersion":"` + version + `"}}`))
	}))
	defer server.Close()
	counter := newCounter()
	p, err := startProxy(configOf(server.URL), scheme, counter)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close() //nolint:errcheck // of a test
	write := func() {
		t.Helper()
		request, _ := http.NewRequest(http.MethodPatch, "https://"+p.address+"/api/v1/namespaces/shop/configmaps/a", strings.NewReader("{}"))
		request.Header.Set("Authorization", "Bearer "+p.token)
		answer, err := clientOf(t, p).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	write()
	if c := counter.now(); c.Writes != 1 || c.NoOps != 0 {
		t.Errorf("a write that changed something: %+v", c)
	}
	write()
	version = "8"
	write()
	if c := counter.now(); c.Writes != 3 || c.NoOps != 1 || c.NoOp["patch configmaps"] != 1 {
		t.Errorf("after one write that changed nothing, of three: %+v", c)
	}
}
