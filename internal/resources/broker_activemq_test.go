package resources

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/stomp"
)

// debianHome is where Debian's package has what the image has in activemqHome.
const debianHome = "/usr/share/activemq"

// activemq is a real ActiveMQ that runs what a managed broker's children say:
// their files, their command and their probe, moved to a folder and a free port.
type activemq struct {
	dir   string
	port  string
	moved *strings.Replacer
	probe []string
}

func startActiveMQ(t *testing.T) *activemq {
	t.Helper()
	if _, err := os.Stat(debianHome + "/bin/activemq.jar"); err != nil {
		t.Skip("needs a real ActiveMQ: apt-get install -y --no-install-recommends activemq openjdk-17-jre-headless")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &activemq{dir: t.TempDir(), port: strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	_ = l.Close()
	a.moved = strings.NewReplacer("0.0.0.0:61613", "127.0.0.1:"+a.port, "127.0.0.1/61613", "127.0.0.1/"+a.port,
		confDir, a.dir+"/conf", authDir, a.dir+"/auth", "="+brokerData, "="+a.dir+"/data", activemqHome, debianHome, "=/tmp", "="+a.dir)
	config, err := BrokerConfig(aBroker())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range config.Data {
		a.write(t, "conf/"+name, a.moved.Replace(text))
	}
	a.setPassword(t, "first")
	a.run(t)
	return a
}

func (a *activemq) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *activemq) setPassword(t *testing.T, password string) {
	t.Helper()
	for name, text := range BrokerSecret(aBroker(), Credentials{Username: "vesper", Password: password}).Data {
		a.write(t, "auth/"+name, string(text))
	}
}

func (a *activemq) run(t *testing.T) {
	t.Helper()
	set, err := BrokerStatefulSet(aBroker())
	if err != nil {
		t.Fatal(err)
	}
	container := set.Spec.Template.Spec.Containers[0]
	var command []string
	for _, word := range container.Command {
		command = append(command, a.moved.Replace(word))
	}
	for _, word := range container.ReadinessProbe.Exec.Command {
		a.probe = append(a.probe, a.moved.Replace(word))
	}
	var log strings.Builder
	broker := exec.CommandContext(context.Background(), command[0], command[1:]...)
	broker.Env = append(os.Environ(), "JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1 -Xmx200m")
	broker.Stdout, broker.Stderr = &log, &log
	if err := broker.Start(); err != nil {
		t.Fatalf("starting %v: %v", command, err)
	}
	t.Cleanup(func() {
		_ = broker.Process.Signal(syscall.SIGTERM)
		_ = broker.Wait()
		if t.Failed() {
			t.Logf("the broker's log:\n%s", log.String())
		}
	})
	a.eventually(t, "the probe to succeed", func(ctx context.Context) error { return a.probeOnce(ctx) })
}

func (a *activemq) probeOnce(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, a.probe[0], a.probe[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("probe: %w: %s", err, out)
	}
	return nil
}

func (a *activemq) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a *activemq) dial(ctx context.Context, clientID, password string) (*stomp.Conn, error) {
	return stomp.Dial(ctx, "127.0.0.1:"+a.port, stomp.Options{ClientID: clientID, Credentials: stomp.StaticCredentials("vesper", password)})
}

func mustDial(t *testing.T, a *activemq, clientID, password string) *stomp.Conn {
	t.Helper()
	conn, err := a.dial(t.Context(), clientID, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func receive(t *testing.T, s *stomp.Subscription) *stomp.Message {
	t.Helper()
	select {
	case m := <-s.C():
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no message within 20 s")
		return nil
	}
}

func TestARealActiveMQRunsWhatTheChildrenSay(t *testing.T) {
	a := startActiveMQ(t)
	t.Run("nodes may do all that replication needs", func(t *testing.T) {
		sender, receiver := mustDial(t, a, "0A-send", "first"), mustDial(t, a, "0B", "first")
		if !strings.HasPrefix(receiver.Server(), "ActiveMQ/") {
			t.Errorf("server %q", receiver.Server())
		}
		for _, o := range []stomp.SubscribeOptions{
			{Destination: "/topic/VESPER_DATA", DurableName: "0B-VESPER_DATA", Ack: stomp.AckClientIndividual, Selector: stomp.NotFrom("0B")},
			{Destination: "/topic/VESPER_DATA.beacon"},
			{Destination: "/queue/VESPER_DATA.sync.0B"},
		} {
			s, err := receiver.Subscribe(t.Context(), o)
			if err != nil {
				t.Fatalf("subscribing to %s: %v", o.Destination, err)
			}
			out := stomp.Outgoing{Destination: o.Destination, Body: []byte("hello")}
			out.Header.Set("clientid", "0A")
			if err := sender.Send(t.Context(), out); err != nil {
				t.Fatalf("sending to %s: %v", o.Destination, err)
			}
			if m := receive(t, s); string(m.Body) != "hello" {
				t.Errorf("%s brought %q", o.Destination, m.Body)
			}
		}
	})
	t.Run("a message that expires is not kept as dead", func(t *testing.T) {
		conn := mustDial(t, a, "0C", "first")
		dead, err := conn.Subscribe(t.Context(), stomp.SubscribeOptions{Destination: "/queue/ActiveMQ.DLQ"})
		if err != nil {
			t.Fatal(err)
		}
		expired := stomp.Outgoing{Destination: "/queue/VESPER_DATA.sync.0C", Body: []byte("late"), Expires: time.Now().Add(-time.Minute)}
		if err := conn.Send(t.Context(), expired); err != nil {
			t.Fatal(err)
		}
		live, err := conn.Subscribe(t.Context(), stomp.SubscribeOptions{Destination: "/queue/VESPER_DATA.sync.0C"})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Send(t.Context(), stomp.Outgoing{Destination: "/queue/VESPER_DATA.sync.0C", Body: []byte("in time")}); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, live); string(m.Body) != "in time" {
			t.Errorf("the queue brought %q first", m.Body)
		}
		select {
		case m := <-dead.C():
			t.Errorf("the dead letter queue has %q", m.Body)
		case <-time.After(300 * time.Millisecond):
		}
	})
	t.Run("strangers are refused", func(t *testing.T) {
		if conn, err := a.dial(t.Context(), "x", "wrong"); err == nil {
			conn.Close()
			t.Error("a wrong password was accepted")
		}
	})
	t.Run("a new password counts without a restart", func(t *testing.T) {
		a.setPassword(t, "second")
		a.eventually(t, "the new password", func(ctx context.Context) error {
			conn, err := a.dial(ctx, "y", "second")
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err := a.probeOnce(t.Context()); err != nil {
			t.Errorf("after the change: %v", err)
		}
		a.write(t, "auth/password", "first")
		if err := a.probeOnce(t.Context()); err == nil {
			t.Error("the probe succeeds with the old password: it does not log in")
		}
	})
}
