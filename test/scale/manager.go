package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// manager is one process of the operator.
type manager struct {
	command *exec.Cmd
	pod     string // its identity, which a container that is started again keeps
	probe   string
	log     *os.File
	ended   chan struct{}
	err     error // of the process, once ended is closed
}

// startManager starts one more operator, as a new pod.
func (w *world) startManager() (*manager, error) {
	return w.startManagerAs(fmt.Sprintf("pod-%d", w.started+1))
}

// startManagerAs starts an operator as a container of that pod.
func (w *world) startManagerAs(pod string) (*manager, error) {
	probe, err := freeAddress()
	if err != nil {
		return nil, err
	}
	w.started++
	name := filepath.Join(w.options.logs, fmt.Sprintf("manager-%d.log", w.started))
	logFile, err := os.Create(name) //nolint:gosec // the folder is the caller's
	if err != nil {
		return nil, err
	}
	args := append([]string{"--kubeconfig=" + w.kubeconfig, "--leader-elect", "--leader-election-namespace=" + home, "--leader-election-identity=" + pod,
		"--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=" + probe, "--default-node-image=" + firstImage},
		strings.Fields(w.options.args)...)
	m := &manager{pod: pod, command: exec.Command(w.options.manager, args...), probe: probe, log: logFile, ended: make(chan struct{})} //nolint:gosec,noctx // the program under test; end waits for it
	m.command.Stderr, m.command.Stdout = logFile, logFile
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the operator: %w", err), logFile.Close())
	}
	go func() {
		m.err = m.command.Wait()
		close(m.ended)
	}()
	w.managers = append(w.managers, m)
	return m, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// ready waits until the operator says that it is.
func (m *manager) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.probe+"/readyz", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the operator to be ready, see %s: %w", m.log.Name(), ctx.Err())
		case <-m.ended:
			return fmt.Errorf("the operator ended, see %s: %w", m.log.Name(), m.err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// signal sends the process a signal and waits for its end.
func (m *manager) signal(ctx context.Context, s syscall.Signal) error {
	if err := m.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to the operator: %w", s, err)
	}
	select {
	case <-m.ended:
		return m.log.Close()
	case <-ctx.Done():
		return fmt.Errorf("waiting for the operator to end after %v: %w", s, ctx.Err())
	}
}

func (m *manager) running() bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// usage is what a process has taken: memory in MiB, and seconds of processor time.
type usage struct {
	rss, program, peak, cpu float64
}

// ticks is how many of the kernel's units of processor time are a second.
const ticks = 100

// usage reads what the process takes now, and the most that it took since restartPeak.
func (m *manager) usage() (u usage, err error) {
	proc := fmt.Sprintf("/proc/%d/", m.command.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return u, fmt.Errorf("reading what the operator takes: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			u.rss = kib / 1024
		case "RssFile:":
			u.program = kib / 1024
		case "VmHWM:":
			u.peak = kib / 1024
		}
	}
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return u, fmt.Errorf("reading what the operator takes: %w", err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from the third on
	for _, field := range fields[11:13] {                           // utime and stime
		n, err := strconv.ParseFloat(string(field), 64)
		if err != nil {
			return u, fmt.Errorf("reading the operator's processor time: %w", err)
		}
		u.cpu += n / ticks
	}
	return u, nil
}

// restartPeak begins the peak of memory anew.
func (m *manager) restartPeak() error {
	name := fmt.Sprintf("/proc/%d/clear_refs", m.command.Process.Pid)
	if err := os.WriteFile(name, []byte("5"), 0o200); err != nil { //nolint:gosec // a file of the kernel
		return fmt.Errorf("beginning the operator's peak of memory anew: %w", err)
	}
	return nil
}
