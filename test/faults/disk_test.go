package faults

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/nodetest"
)

// crowd starts three nodes on a broker of their own and waits until they are at rest.
func crowd(t *testing.T, broker *activemqtest.Broker) *site {
	t.Helper()
	s := &site{t: t}
	for _, id := range []string{"0A", "0B", "0C"} {
		n := nodetest.New(t, nodetest.Options{ID: id, Hosts: []string{broker.Addr()}, Channel: "FULL"})
		n.Start()
		s.nodes = append(s.nodes, n)
	}
	nodetest.Converged(t, s.nodes...)
	return s
}

// fill has the first node write large objects until the broker takes no more; each write must be
// acknowledged all the same.
func (s *site) fill() {
	s.t.Helper()
	s.eventually("the broker takes no more", func() bool {
		s.writeSized(s.nodes[0], 100<<10)
		status, err := s.nodes[0].Status()
		return err == nil && status.Outbox.Changesets > 30
	})
}

// TestBrokerPastItsStoreLimitStopsNoWriteAndRecoversByItself: the subscription of a node that is
// down fills the store up to its limit. Every producer is blocked then, until that node is back.
func TestBrokerPastItsStoreLimitStopsNoWriteAndRecoversByItself(t *testing.T) {
	t.Parallel()
	s := crowd(t, activemqtest.Start(t, activemqtest.Options{StoreLimit: "8 mb"}))
	s.nodes[2].Kill()
	s.fill()
	for range 20 {
		s.writeOne(s.nodes[0])
		s.writeOne(s.nodes[1])
	}
	s.nodes[2].Start()
	s.mustBeWhole()
}

// TestBrokerWhoseDiskIsFullStopsNoWriteAndRecoversWithTheSpace: a real file system without a byte
// left. Whether the broker hangs, fails or ends then is its own affair: ActiveMQ starts itself again
// upon some of the errors. Here it always starts while the disk is full, and with what it is
// configured as docs/brokers.md has it, raises its limit again with the space.
func TestBrokerWhoseDiskIsFullStopsNoWriteAndRecoversWithTheSpace(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "size=48m,mode=755")
	broker := activemqtest.Start(t, activemqtest.Options{In: disk, StorePercent: 90})
	s := crowd(t, broker)
	s.write(10)
	s.mustBeWhole()
	ballast := filepath.Join(disk, "ballast")
	occupy(t, ballast)
	s.nodes[2].Kill()
	s.fill()
	for range 20 {
		s.writeOne(s.nodes[0])
		s.writeOne(s.nodes[1])
	}
	log := broker.Log()
	if !strings.Contains(log, "No space left on device") && !strings.Contains(log, "there is not enough usable space") {
		t.Error("the broker did not notice the full disk")
	}
	broker.Kill()
	// It may not come up at all on this disk; Kubernetes would go on trying.
	atFirst := broker.Start()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if broker.Ended() {
		t.Logf("The broker had ended, it is started again: %v", atFirst)
		if err := broker.Start(); err != nil {
			t.Fatal(err)
		}
	}
	s.nodes[2].Start()
	s.mustBeWhole()
}

// smallDisk is a file system of its own in memory.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	// The broker runs as a user of its own, who must be able to come by.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs root, to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// occupy writes a file until the disk is full.
func occupy(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 64<<10)
	for end := time.Now().Add(nodetest.Patience); ; {
		if _, err := f.Write(block); err != nil {
			return // no space is left: what is wanted
		}
		if time.Now().After(end) {
			t.Fatal("the disk does not fill")
		}
	}
}
