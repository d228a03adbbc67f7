// Package activemqtest runs a private ActiveMQ Classic for tests: Debian's package, with its own
// directory, its own free loopback port and its own JVM, which can be stopped, killed, frozen and
// started again on the same data.
package activemqtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds how long a start and a clean stop may take, on a machine that is busy.
const Patience = 60 * time.Second

// Options of a broker. The zero value has no authentication and room for 2 GB.
type Options struct {
	// Users maps logins to passcodes; none means that the broker asks for nothing.
	Users map[string]string
	// In is the directory below which the broker keeps its files; "" is that of temporary files.
	In string
	// StoreLimit bounds the message store, in ActiveMQ's spelling such as "5 mb".
	StoreLimit string
	// StorePercent, when not 0, bounds the message store to this share of the file system in place
	// of StoreLimit. A broker that starts on a full disk lowers its limit to what it finds; this
	// one raises it again within a second of there being space, the other when it is restarted.
	StorePercent int
	// FailWhenFull makes a send that finds the store full fail after this time, instead of
	// blocking its producer for as long as it takes.
	FailWhenFull time.Duration
	// MaxFrame is the largest frame the broker takes, in octets; 0 is 16 MiB.
	MaxFrame int
	// LinkStealing lets a client take the id of a connected one, which is cut off, instead of
	// being refused.
	LinkStealing bool
}

// Broker is a running, or stopped, ActiveMQ.
type Broker struct {
	dir  string
	port int
	o    Options
	java string

	mu   sync.Mutex
	cmd  *exec.Cmd
	exit chan struct{} // closed when cmd has been waited for
}

// Start runs a broker until tb ends. It returns when the broker answers CONNECT, skips tb when
// ActiveMQ or Java is not installed, and fails it when the broker does not come up.
func Start(tb testing.TB, o Options) *Broker {
	tb.Helper()
	java, err := installed()
	if err != nil {
		tb.Skip(err)
	}
	b, err := start(java, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.discard)
	return b
}

// start makes the directory and tries a few ports, since a port that was free a moment ago may
// be taken by the time Java binds it.
func start(java string, o Options) (*Broker, error) {
	dir, err := os.MkdirTemp(o.In, "vesper-activemq-")
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: dir, o: o, java: java}
	for range 3 {
		if b.port, err = freePort(); err != nil {
			break
		}
		if err = b.Start(); err == nil || !strings.Contains(b.Log(), "Address already in use") {
			break
		}
	}
	if err != nil {
		b.discard()
		return nil, err
	}
	return b, nil
}

// Addr is the STOMP connector's host:port; it stays the same over restarts.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// Start runs a broker that was stopped or killed, on the same data and port, and waits until it
// answers CONNECT. Starting a broker that runs is an error.
func (b *Broker) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		return errors.New("this ActiveMQ runs already")
	}
	if err := b.configure(); err != nil {
		return fmt.Errorf("writing the configuration of ActiveMQ: %w", err)
	}
	if err := b.launch(); err != nil {
		return err
	}
	if err := b.awaitConnected(); err != nil {
		b.end(syscall.SIGKILL)
		return fmt.Errorf("%w; its log ends:\n%s", err, tail(b.Log(), 3000))
	}
	return nil
}

func (b *Broker) launch() error {
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	// The broker's life is not a context's: it ends by signals that tests choose.
	cmd := exec.CommandContext(context.Background(), b.java, b.arguments()...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.dir, log, log
	// Should the test binary die without clean-up, the kernel ends the broker.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := b.giveAway(cmd); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting ActiveMQ: %w", err)
	}
	exit := make(chan struct{})
	go func() {
		defer close(exit)
		_ = cmd.Wait() // by a signal, always: 143 or killed
	}()
	b.cmd, b.exit = cmd, exit
	return nil
}

// awaitConnected polls until a CONNECT is answered: an open port alone proves nothing.
func (b *Broker) awaitConnected() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx, b.Addr())
		if err == nil {
			return nil
		}
		select {
		case <-b.exit:
			return fmt.Errorf("starting ActiveMQ on %s: it ended at once", b.Addr())
		case <-ctx.Done():
			return fmt.Errorf("starting ActiveMQ on %s: no CONNECTED within %v: %w", b.Addr(), Patience, err)
		case <-tick.C:
		}
	}
}

// probe succeeds when the peer speaks STOMP. With authentication it answers ERROR, which is as
// good a sign of life as CONNECTED.
func probe(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("CONNECT\naccept-version:1.2\nhost:probe\n\n\x00")); err != nil {
		return err
	}
	answer := make([]byte, 9)
	n, err := c.Read(answer)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer[:n], []byte("CONN")) && !bytes.HasPrefix(answer[:n], []byte("ERROR")) {
		return fmt.Errorf("%s answered CONNECT with %q", addr, answer[:n])
	}
	return nil
}

// Ended says whether the broker's process ended by itself since it was started; Start works then.
func (b *Broker) Ended() (ended bool) {
	b.locked(func() {
		if b.cmd == nil {
			return
		}
		select {
		case <-b.exit:
			ended, b.cmd = true, nil
		default:
		}
	})
	return ended
}

// Stop ends the broker cleanly (SIGTERM) and waits for its end. No effect when it does not run.
func (b *Broker) Stop() { b.locked(func() { b.end(syscall.SIGTERM) }) }

// Kill ends the broker with SIGKILL, as a crash does, and waits for its end.
func (b *Broker) Kill() { b.locked(func() { b.end(syscall.SIGKILL) }) }

// Freeze stops the broker's process without ending it (SIGSTOP): its port still takes TCP
// connections, but nothing answers. Thaw lets it go on.
func (b *Broker) Freeze() { b.locked(func() { b.signal(syscall.SIGSTOP) }) }

// Thaw ends Freeze.
func (b *Broker) Thaw() { b.locked(func() { b.signal(syscall.SIGCONT) }) }

// Restart stops the broker cleanly and starts it again, on the same data and port.
func (b *Broker) Restart() error {
	b.Stop()
	return b.Start()
}

// Log is all the broker has logged.
func (b *Broker) Log() string {
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (b *Broker) logFile() string { return filepath.Join(b.dir, "broker.log") }

func (b *Broker) locked(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

func (b *Broker) signal(sig syscall.Signal) {
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(sig)
	}
}

// end signals and waits; a broker that does not end in time is killed.
func (b *Broker) end(sig syscall.Signal) {
	if b.cmd == nil {
		return
	}
	b.signal(sig)
	b.signal(syscall.SIGCONT) // a frozen process takes no SIGTERM
	select {
	case <-b.exit:
	case <-time.After(Patience):
		b.signal(syscall.SIGKILL)
		<-b.exit
	}
	b.cmd = nil
}

func (b *Broker) discard() {
	b.Kill()
	_ = os.RemoveAll(b.dir)
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}
