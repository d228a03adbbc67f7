package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"vesperdb.io/vesper/hack/localkube/internal/cgroup"
	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// Daemon is a program that outlives localkube.
type Daemon struct {
	// Name is its name in messages and in its files: RUN/NAME.pid and LOG/NAME.log.
	Name string
	// Args are the program's path and arguments.
	Args []string
	// Env is added to the environment.
	Env []string
}

// Place is where daemons run and leave their files.
type Place struct {
	// Run and Log are the directories of pid files and logs.
	Run, Log string
	// Netns is the network namespace the daemons live in.
	Netns string
	// Cgroup is the tree they belong to.
	Cgroup cgroup.Tree
}

// Start starts d in its own session, inside p's namespace and cgroup, and records who it is. A daemon that already runs
// is left alone; started says which it was.
func (p Place) Start(d Daemon) (id Identity, started bool, err error) {
	if id, ok := p.Running(d.Name); ok {
		return id, false, nil
	}
	log, err := os.OpenFile(p.LogFile(d.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return Identity{}, false, fmt.Errorf("start %s: %w", d.Name, err)
	}
	defer func() { _ = log.Close() }()
	err = netns.Do(p.Netns, func() error {
		id, err = p.spawn(d, log)
		return err
	})
	if err != nil {
		return Identity{}, false, fmt.Errorf("start %s: %w", d.Name, err)
	}
	return id, true, nil
}

// spawn runs on a thread that is in the namespace already. The pid file is written before anyone can need it; should
// localkube die right between, the cgroup still holds the process.
func (p Place) spawn(d Daemon, log *os.File) (Identity, error) {
	cmd := exec.CommandContext(context.Background(), d.Args[0], d.Args[1:]...) // it outlives every context of this program
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.Env = append(os.Environ(), d.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leaf, err := p.Cgroup.Leaf()
	if err != nil {
		return Identity{}, err
	}
	if leaf != nil {
		defer func() { _ = leaf.Close() }()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(leaf.Fd())
	} else if err := p.Cgroup.JoinThread(); err != nil {
		return Identity{}, err
	}
	if err := cmd.Start(); err != nil {
		return Identity{}, err
	}
	go func() { _ = cmd.Wait() }() // no zombie while this program still runs
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		return Identity{}, fmt.Errorf("it ended at once: %s", p.Tail(d.Name, 5))
	}
	return id, p.record(d.Name, id)
}

func (p Place) pidFile(name string) string { return filepath.Join(p.Run, name+".pid") }

// LogFile is where a daemon's output goes.
func (p Place) LogFile(name string) string { return filepath.Join(p.Log, name+".log") }

func (p Place) record(name string, id Identity) error {
	data, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return os.WriteFile(p.pidFile(name), append(data, '\n'), 0o644)
}

// Recorded returns the identity in the pid file of name, whether it lives or not.
func (p Place) Recorded(name string) (Identity, bool) {
	data, err := os.ReadFile(p.pidFile(name))
	if err != nil {
		return Identity{}, false
	}
	var id Identity
	if json.Unmarshal(data, &id) != nil || id.PID <= 1 {
		return Identity{}, false
	}
	return id, true
}

// Running returns the identity of the daemon called name if it is the one that was started and it lives.
func (p Place) Running(name string) (Identity, bool) {
	id, ok := p.Recorded(name)
	if !ok || !id.Alive() {
		return Identity{}, false
	}
	return id, true
}

// Forget removes the pid file of name.
func (p Place) Forget(name string) error {
	if err := os.Remove(p.pidFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", name, err)
	}
	return nil
}

// Tail returns the last n lines that the daemon wrote, for an error's text.
func (p Place) Tail(name string, n int) string {
	data, err := os.ReadFile(p.LogFile(name))
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
