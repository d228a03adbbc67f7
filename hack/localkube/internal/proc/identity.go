// Package proc starts daemons, remembers who they are and ends them without ever hitting another process.
package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Identity names one process for ever: a process id alone is given to another process later.
type Identity struct {
	PID int `json:"pid"`
	// Start is the time the process began, in clock ticks since the machine did (field 22 of /proc/PID/stat).
	Start uint64 `json:"start"`
	// Boot is the kernel's id of the machine's current run.
	Boot string `json:"boot"`
}

// Identify returns the identity of a living process. os.ErrNotExist is wrapped when there is none.
func Identify(pid int) (Identity, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = os.ErrNotExist
		}
		return Identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	start, state, err := parseStat(string(data))
	if err != nil {
		return Identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	if state == "Z" || state == "X" {
		return Identity{}, fmt.Errorf("identify process %d: it has ended: %w", pid, os.ErrNotExist)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return Identity{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// parseStat returns the start time and the state from a /proc/PID/stat line. The second field, the command in
// parentheses, may itself hold blanks and parentheses.
func parseStat(line string) (start uint64, state string, err error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, "", errors.New("its stat has no command")
	}
	fields := strings.Fields(line[end+1:])
	const stateField, startField = 0, 19 // the third and the twenty-second of the line
	if len(fields) <= startField {
		return 0, "", errors.New("its stat is too short")
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, "", fmt.Errorf("its start time: %w", err)
	}
	return start, fields[stateField], nil
}

// Alive reports whether the very process of i still runs.
func (i Identity) Alive() bool {
	now, err := Identify(i.PID)
	return err == nil && now == i
}

// Signal sends sig to the very process of i and to no other, even if its id is taken over meanwhile. A process that has
// ended is no error.
func (i Identity) Signal(sig unix.Signal) error {
	fd, err := unix.PidfdOpen(i.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", i.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !i.Alive() { // checked after the descriptor holds the process: it cannot change any more
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", i.PID, err)
	}
	return nil
}

// WaitGone waits at most limit until the process has ended, and reports whether it has.
func (i Identity) WaitGone(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if !i.Alive() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// End asks the process to stop with sig, waits at most grace, and kills it if it is still there.
func (i Identity) End(sig unix.Signal, grace time.Duration) error {
	if err := i.Signal(sig); err != nil {
		return err
	}
	if i.WaitGone(grace) {
		return nil
	}
	if err := i.Signal(unix.SIGKILL); err != nil {
		return err
	}
	if !i.WaitGone(5 * time.Second) {
		return fmt.Errorf("process %d does not end", i.PID)
	}
	return nil
}
