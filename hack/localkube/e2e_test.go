package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/hack/localkube/internal/archive"
)

// TestClusterRunsPodsAndLeavesNothing builds (from the cache), brings a cluster up, runs a restricted pod on a volume,
// crashes daemons, repairs, crashes again and takes the cluster down; then the machine must be as it was.
func TestClusterRunsPodsAndLeavesNothing(t *testing.T) {
	if os.Getenv("LOCALKUBE_E2E") != "1" {
		t.Skip("set LOCALKUBE_E2E=1 to run it: it needs root, a few packages and minutes")
	}
	e := newEnv(t)
	before := machine(t)
	e.localkube("build")
	e.localkube("up")
	if out := e.localkube("up"); !strings.Contains(out, "already running") {
		t.Errorf("the second up says %q", out)
	}
	e.refusesASecondCluster()
	e.runsAPodOnAVolume()
	e.repairsACrash()
	e.removesAClaimsData()
	e.kubectl("apply", "-f", filepath.Join("testdata", "pod.yaml")) // down must end a running pod too
	e.kubectl("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
	e.crash("containerd", "kube-apiserver", "kubelet")
	e.localkube("down")
	uncollected(t)
	after := machine(t)
	for what, was := range before {
		if now := after[what]; now != was {
			t.Errorf("%s before:\n%s\nafter:\n%s", what, was, now)
		}
	}
	if out := e.localkube("down"); !strings.Contains(out, "nothing to take down") {
		t.Errorf("the second down says %q", out)
	}
}

// env runs a built localkube with a directory of its own.
type env struct {
	t            *testing.T
	program, dir string
}

func newEnv(t *testing.T) *env {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "localkube-e2e-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	e := &env{t: t, program: filepath.Join(dir, "localkube"), dir: filepath.Join(dir, "state")}
	goBuild(t, e.program, ".")
	t.Cleanup(func() {
		if out, err := e.try(e.dir, "down"); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		_ = os.RemoveAll(dir)
	})
	return e
}

func (e *env) try(dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.program, args...)
	cmd.Env = append(os.Environ(), "LOCALKUBE_DIR="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (e *env) localkube(args ...string) string {
	e.t.Helper()
	start := time.Now()
	out, err := e.try(e.dir, args...)
	e.t.Logf("localkube %v: %.1f s", args, time.Since(start).Seconds())
	if err != nil {
		e.t.Fatalf("localkube %v: %v\n%s", args, err, out)
	}
	return out
}

func (e *env) kubectl(args ...string) string {
	e.t.Helper()
	assets := strings.TrimSpace(e.localkube("assets"))
	cmd := exec.Command(filepath.Join(assets, "kubectl"), append([]string{"--kubeconfig=" + strings.TrimSpace(e.localkube("kubeconfig"))}, args...)...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	e.t.Logf("kubectl %v: %.1f s", args, time.Since(start).Seconds())
	if err != nil {
		e.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (e *env) refusesASecondCluster() {
	e.t.Helper()
	other := e.dir + "-other"
	if out, err := e.try(other, "up"); err == nil || !strings.Contains(out, "LOCALKUBE_DIR="+e.dir+" localkube down") {
		e.t.Errorf("a second cluster: %v\n%s", err, out)
	}
	if _, err := os.Stat(other); !os.IsNotExist(err) {
		e.t.Errorf("a refused up left %s", other)
		_ = os.RemoveAll(other)
	}
}

// runsAPodOnAVolume loads an image and runs it without root rights; fsGroup lets it write to its volume.
func (e *env) runsAPodOnAVolume() {
	e.t.Helper()
	program, image := filepath.Join(filepath.Dir(e.program), "writer"), filepath.Join(filepath.Dir(e.program), "writer.tar")
	goBuild(e.t, program, "./testdata/writer")
	if err := archive.WriteProgram(image, "localkube-e2e/writer:1", program); err != nil {
		e.t.Fatal(err)
	}
	e.localkube("load", image)
	if out := e.localkube("load", image); !strings.Contains(out, "already loaded") {
		e.t.Errorf("the second load says %q", out)
	}
	e.kubectl("apply", "-f", filepath.Join("testdata", "pod.yaml"))
	e.kubectl("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
	if data, err := os.ReadFile(e.written()); err != nil || string(data) != "by a pod" {
		e.t.Errorf("the volume holds %q, %v", data, err)
	}
	if out := e.localkube("exec", "--", "ip", "route"); strings.Contains(out, "default") {
		e.t.Errorf("there is a way out of the cluster:\n%s", out)
	}
}

// written is the file that the pod writes, seen from the machine.
func (e *env) written() string {
	e.t.Helper()
	files, err := filepath.Glob(filepath.Join(e.dir, "volumes", "*", "written"))
	if err != nil || len(files) != 1 {
		e.t.Fatalf("volumes with data: %v, %v", files, err)
	}
	return files[0]
}

// repairsACrash kills daemons; status must say so, and up start them again with the pods' data still there.
func (e *env) repairsACrash() {
	e.t.Helper()
	e.crash("etcd", "containerd", "kubelet", "provisioner")
	if out, err := e.try(e.dir, "status"); err == nil || !strings.Contains(out, "not running") {
		e.t.Errorf("status after a crash: %v\n%s", err, out)
	}
	e.localkube("up")
	e.localkube("status")
	e.written()
}

func (e *env) removesAClaimsData() {
	e.t.Helper()
	volume := filepath.Dir(e.written())
	e.kubectl("delete", "-f", filepath.Join("testdata", "pod.yaml"), "--timeout=60s")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat(volume); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("the deleted claim's directory %s stays", volume)
		}
	}
}

func (e *env) crash(names ...string) {
	e.t.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(e.dir, "run", name+".pid"))
		if err != nil {
			e.t.Fatal(err)
		}
		var id struct{ PID int }
		if err := json.Unmarshal(data, &id); err != nil || id.PID < 2 {
			e.t.Fatalf("pid file of %s: %s, %v", name, data, err)
		}
		if err := syscall.Kill(id.PID, syscall.SIGKILL); err != nil {
			e.t.Fatalf("kill %s (%d): %v", name, id.PID, err)
		}
	}
}

// machine describes what a cluster could leave behind.
func machine(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{
		"mounts":                          lines(t, readFile(t, "/proc/self/mounts")),
		"network links":                   lines(t, output(t, "ip", "-o", "-br", "link")),
		"network namespaces":              output(t, "ip", "netns", "list"),
		"routes":                          output(t, "ip", "route"),
		"iptables":                        rules(output(t, "iptables-save")),
		"processes with a cluster's name": processes(t),
	}
	for _, dir := range []string{"/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/var/log/pods", "/run/containerd", "/run/localkube", "/run/netns", "/var/run/kubernetes"} {
		_, err := os.Stat(dir)
		state[dir] = fmt.Sprint("there: ", err == nil)
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/localkube")
	if err != nil {
		t.Fatal(err)
	}
	state["cgroups"] = strings.Join(groups, "\n")
	return state
}

// uncollected waits until the machine's first process has collected the orphans that down ended.
func uncollected(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); processes(t) != "" && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
}

// rules leaves out what changes by itself: counters and comments with the time.
func rules(saved string) string {
	var kept []string
	for line := range strings.Lines(saved) {
		if strings.HasPrefix(line, "-") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// processes lists those in a cluster's cgroup or whose program lies in a cluster's directory.
func processes(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		group, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if bytes.Contains(group, []byte(":/localkube")) {
			found = append(found, entry.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return strings.Join(found, "\n")
}

func lines(t *testing.T, text string) string {
	t.Helper()
	all := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return string(out)
}

func goBuild(t *testing.T, to, pkg string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
}
