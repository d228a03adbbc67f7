// Package rabbitmqtest runs a private RabbitMQ with its STOMP plugin for tests: Debian's package,
// with its own directory, node name, free loopback ports and port mapper, which can be stopped,
// killed, frozen and started again on the same data.
package rabbitmqtest

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
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds how long a start and a clean stop may take, on a machine that is busy.
const Patience = 90 * time.Second

// Login and Passcode are those of RabbitMQ's default user, which it lets in from the loopback.
const (
	Login    = "guest"
	Passcode = "guest"
)

// Broker is a running, or stopped, RabbitMQ.
type Broker struct {
	dir                        string
	node                       string
	stomp, amqp, dist, mapping int // ports

	mu     sync.Mutex
	server *process
	mapper *process // epmd, which tells Erlang nodes of one another; private to this broker
}

// process is a child with all that it starts.
type process struct {
	cmd  *exec.Cmd
	exit chan struct{} // closed when cmd has been waited for
}

// Start runs a broker until tb ends. It returns when the broker answers CONNECT, skips tb when
// RabbitMQ is not installed, and fails it when the broker does not come up.
func Start(tb testing.TB) *Broker {
	tb.Helper()
	if err := installed(); err != nil {
		tb.Skip(err)
	}
	b, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.discard)
	return b
}

func start() (*Broker, error) {
	dir, err := os.MkdirTemp("", "vesper-rabbitmq-")
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: dir, node: "vesper-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(dir)[len("vesper-rabbitmq-"):] + "@localhost"}
	for _, p := range []*int{&b.stomp, &b.amqp, &b.dist, &b.mapping} {
		if *p, err = freePort(); err != nil {
			break
		}
	}
	if err == nil {
		err = b.Start()
	}
	if err != nil {
		b.discard()
		return nil, err
	}
	return b, nil
}

// Addr is the STOMP listener's host:port; it stays the same over restarts.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.stomp)) }

// Start runs a broker that was stopped or killed, on the same data and ports, and waits until it
// answers CONNECT. Starting a broker that runs is an error.
func (b *Broker) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		return errors.New("this RabbitMQ runs already")
	}
	if err := b.configure(); err != nil {
		return fmt.Errorf("writing the configuration of RabbitMQ: %w", err)
	}
	if err := b.launch(); err != nil {
		return errors.Join(err, b.end(syscall.SIGKILL))
	}
	if err := b.awaitConnected(); err != nil {
		return errors.Join(fmt.Errorf("%w; its log ends:\n%s", err, tail(b.Log(), 3000)), b.end(syscall.SIGKILL))
	}
	return nil
}

// launch starts the port mapper, when it does not run, and the server.
func (b *Broker) launch() (err error) {
	if b.mapper == nil {
		if b.mapper, err = b.run("epmd", "-port", strconv.Itoa(b.mapping), "-address", "127.0.0.1"); err != nil {
			return err
		}
	}
	b.server, err = b.run(program)
	return err
}

func (b *Broker) run(name string, args ...string) (*process, error) {
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	// The broker's life is not a context's: it ends by signals that tests choose.
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = b.dir, log, log, b.environment()
	// Should the test binary die without clean-up, the kernel ends the broker.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting RabbitMQ: %w", err)
	}
	p := &process{cmd: cmd, exit: make(chan struct{})}
	go func() {
		defer close(p.exit)
		_ = cmd.Wait() // by a signal, always
	}()
	return p, nil
}

// awaitConnected polls until a CONNECT is answered: an open port alone proves nothing.
func (b *Broker) awaitConnected() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx, b.Addr())
		if err == nil {
			return nil
		}
		select {
		case <-b.server.exit:
			return fmt.Errorf("starting RabbitMQ on %s: it ended at once", b.Addr())
		case <-ctx.Done():
			return fmt.Errorf("starting RabbitMQ on %s: no CONNECTED within %v: %w", b.Addr(), Patience, err)
		case <-tick.C:
		}
	}
}

// probe succeeds when the broker lets its default user in.
func probe(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("CONNECT\naccept-version:1.2\nhost:/\nlogin:" + Login + "\npasscode:" + Passcode + "\n\n\x00")); err != nil {
		return err
	}
	answer := make([]byte, 9)
	n, err := c.Read(answer)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer[:n], []byte("CONN")) {
		return fmt.Errorf("%s answered CONNECT with %q", addr, answer[:n])
	}
	return nil
}

// Stop ends the broker cleanly (SIGTERM) and waits for its end. No effect when it does not run.
func (b *Broker) Stop() error { return b.locked(func() error { return b.end(syscall.SIGTERM) }) }

// Kill ends the broker with SIGKILL, as a crash does, and waits for its end.
func (b *Broker) Kill() error { return b.locked(func() error { return b.end(syscall.SIGKILL) }) }

// Freeze stops the broker's processes without ending them (SIGSTOP): its port still takes TCP
// connections, but nothing answers. Thaw lets it go on.
func (b *Broker) Freeze() error { return b.locked(func() error { return b.signal(syscall.SIGSTOP) }) }

// Thaw ends Freeze.
func (b *Broker) Thaw() error { return b.locked(func() error { return b.signal(syscall.SIGCONT) }) }

// Control runs rabbitmqctl against the broker and returns what it said.
func (b *Broker) Control(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, control, append([]string{"--node", b.node, "--quiet"}, args...)...)
	cmd.Dir, cmd.Env = b.dir, b.environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %q: %w: %s", args, err, out)
	}
	return string(out), nil
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

func (b *Broker) locked(do func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return do()
}

// signal tells the server's whole process group: a shell stands before the virtual machine.
func (b *Broker) signal(sig syscall.Signal) error {
	if b.server == nil {
		return nil
	}
	return b.server.signal(sig)
}

func (p *process) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %v to RabbitMQ: %w", sig, err)
	}
	return nil
}

// end signals and waits; a broker that does not end in time is killed.
func (b *Broker) end(sig syscall.Signal) error {
	if b.server == nil {
		return nil
	}
	err := errors.Join(b.server.signal(sig), b.server.signal(syscall.SIGCONT)) // a frozen process takes no SIGTERM
	select {
	case <-b.server.exit:
	case <-time.After(Patience):
		err = errors.Join(err, b.server.signal(syscall.SIGKILL))
		<-b.server.exit
	}
	b.server = nil
	return err
}

func (b *Broker) discard() {
	_ = b.Kill()
	if b.mapper != nil {
		_ = b.mapper.signal(syscall.SIGKILL)
		<-b.mapper.exit
	}
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
