package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// namespace makes a network namespace for the test, which needs root and iproute2.
func namespace(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command: apt-get install iproute2")
	}
	name := fmt.Sprintf("lktest-%d", os.Getpid())
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("this root may not make a network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del: %v: %s", err, out)
		}
	})
	return name
}

func links(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}

func TestOnlyTheFunctionIsInTheNamespace(t *testing.T) {
	name := namespace(t)
	before := links(t)
	if !Exists(name) || Exists(name+"-not") {
		t.Errorf("Exists is wrong about %s", name)
	}
	err := Do(name, func() error {
		if inside := links(t); !slices.Equal(inside, []string{"lo"}) {
			return fmt.Errorf("the namespace holds %v", inside)
		}
		return errors.New("as expected")
	})
	if err == nil || err.Error() != "as expected" {
		t.Errorf("Do returned %v, not the function's error", err)
	}
	if after := links(t); !slices.Equal(before, after) {
		t.Errorf("this program moved: %v, was %v", after, before)
	}
}

func TestProcessesOfANamespaceAreFound(t *testing.T) {
	name := namespace(t)
	if pids, err := Processes(name); err != nil || len(pids) != 0 {
		t.Errorf("an empty namespace has %v, %v", pids, err)
	}
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := Do(name, child.Start); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pids, err := Processes(name)
		if err == nil && slices.Equal(pids, []int{child.Process.Pid}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %v, %v; want %d", pids, err, child.Process.Pid)
		}
	}
}

func TestMissingNamespaceIsNamed(t *testing.T) {
	if err := Do("lktest-none", func() error { return nil }); err == nil || !strings.Contains(err.Error(), "lktest-none") {
		t.Errorf("error = %v", err)
	}
	if pids, err := Processes("lktest-none"); err != nil || pids != nil {
		t.Errorf("Processes = %v, %v", pids, err)
	}
}
