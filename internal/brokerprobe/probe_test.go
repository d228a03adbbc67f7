package brokerprobe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startBroker(t *testing.T, o broker.Options) string {
	t.Helper()
	b, err := broker.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addr()
}

// listen runs serve on every connection to a free port.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func TestABrokerAnswersWithItsName(t *testing.T) {
	host := startBroker(t, broker.Options{Version: "9"})
	got := Prober{}.Probe(t.Context(), []string{host}, "", nil)
	if len(got) != 1 || got[0] != (Answer{Host: host, Server: "Vesper/9"}) || !got[0].OK() {
		t.Errorf("answers %+v, want the broker's name", got)
	}
}

func TestALoginIsAcceptedOrRefusedInTheBrokersWords(t *testing.T) {
	host := startBroker(t, broker.Options{Users: map[string]string{"vesper": "right"}})
	if got := (Prober{}).Probe(t.Context(), []string{host}, "", stomp.StaticCredentials("vesper", "right")); !got[0].OK() {
		t.Errorf("the right password: %+v", got[0])
	}
	for name, credentials := range map[string]stomp.CredentialSource{"wrong password": stomp.StaticCredentials("vesper", "wrong"), "no login": nil} {
		got := Prober{}.Probe(t.Context(), []string{host}, "", credentials)[0]
		if got.OK() || got.Refused == "" || got.Failed != "" || strings.Contains(got.Refused, "wrong") {
			t.Errorf("%s: %+v, want it refused without the password in it", name, got)
		}
	}
}

func TestAnswersComeInTheOrderOfHostsAndTheSlowestBoundsThemAll(t *testing.T) {
	release := make(chan struct{})
	silent := listen(t, func(c net.Conn) { <-release })
	good := startBroker(t, broker.Options{})
	hosts := []string{silent, good, silent}
	const patience = 300 * time.Millisecond
	started := time.Now()
	got := Prober{Patience: patience}.Probe(t.Context(), hosts, "", nil)
	took := time.Since(started)
	close(release)
	for i, answer := range got {
		if answer.Host != hosts[i] || answer.OK() != (hosts[i] == good) {
			t.Errorf("answer %d is %+v, want that of %s", i, answer, hosts[i])
		}
	}
	if want := "no answer within 300ms"; got[0].Failed != want {
		t.Errorf("a silent host: %q, want %q", got[0].Failed, want)
	}
	if took > 10*patience {
		t.Errorf("took %v with a patience of %v", took, patience)
	}
}

func TestWhatIsNotABrokerFailsInTheSameWordsEachTime(t *testing.T) {
	cases := map[string]struct {
		host string
		says string
	}{
		"nothing listens":     {"127.0.0.1:1", "connection refused"},
		"closes at once":      {listen(t, func(net.Conn) {}), ""},
		"speaks HTTP":         {listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), ""},
		"host does not exist": {"no-such-host.invalid:61613", "looking up the host's name"},
		"no port":             {"127.0.0.1", "missing port"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			first := Prober{}.Probe(t.Context(), []string{c.host}, "", nil)[0]
			second := Prober{}.Probe(t.Context(), []string{c.host}, "", nil)[0]
			if first.OK() || first.Failed == "" || !strings.Contains(first.Failed, c.says) {
				t.Errorf("%+v, want it failed with %q", first, c.says)
			}
			if first != second {
				t.Errorf("first %+v, then %+v: a status with it would be written each time", first, second)
			}
		})
	}
}

func TestAProbeEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	silent := listen(t, func(c net.Conn) { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := Prober{Patience: time.Minute}.Probe(ctx, []string{silent}, "", nil)
	close(release)
	if got[0].OK() {
		t.Error("an answer without asking")
	}
}

func TestCausesAreToldWithoutWhatChanges(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 54321}
	cases := map[string]struct {
		err  error
		says string
	}{
		"refused":       {&stomp.ConnectionError{Addr: "mq:1", Err: &net.OpError{Op: "dial", Source: address, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, "connection refused"},
		"reset":         {&net.OpError{Op: "read", Source: address, Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "the connection was closed before an answer"},
		"no host":       {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "mq", Server: "10.0.0.10:53", IsNotFound: true}}, "looking up the host's name: no such host"},
		"slow resolver": {&net.DNSError{Err: "i/o timeout", Server: "10.0.0.10:53", IsTimeout: true}, "no answer within 3s"},
		"deadline":      {fmt.Errorf("x: %w", context.DeadlineExceeded), "no answer within 3s"},
		"end of file":   {&stomp.ConnectionError{Addr: "mq:1", Err: io.ErrUnexpectedEOF}, "the connection was closed before an answer"},
		"other network": {&net.OpError{Op: "dial", Source: address, Err: errors.New("no suitable address")}, "no suitable address"},
		"other stomp":   {&stomp.ConnectionError{Addr: "mq:1", Err: errors.New("not a STOMP frame")}, "not a STOMP frame"},
		"any other":     {errors.New("odd"), "odd"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := explain("mq:1", c.err, Patience); got.Failed != c.says || got.Refused != "" {
				t.Errorf("%+v, want %q", got, c.says)
			}
		})
	}
}

func TestABrokersWordsAreMadeFitForAStatus(t *testing.T) {
	got := explain("mq:1", &stomp.ConnectionError{Err: &stomp.ServerError{Message: "no\n\x00\xff " + strings.Repeat("é", 300)}}, Patience)
	if len(got.Refused) > maxText+4 || strings.Contains(got.Refused, "\n") || !utf8.ValidString(got.Refused) || !strings.HasPrefix(got.Refused, "no ") {
		t.Errorf("refused with %q, want one bounded line of valid text", got.Refused)
	}
}

// TestTheVirtualHostIsWhatTheBrokerIsAskedFor reads what goes over the wire: a
// broker that has several would otherwise say yes to another one.
func TestTheVirtualHostIsWhatTheBrokerIsAskedFor(t *testing.T) {
	for virtualHost, want := range map[string]string{"shop": "\nhost:shop\n", "": "\nhost:127.0.0.1\n"} {
		asked := make(chan string, 1)
		host := listen(t, func(c net.Conn) {
			text, err := bufio.NewReader(c).ReadString(0)
			if err != nil {
				text = err.Error()
			}
			select {
			case asked <- text:
			default:
			}
			_, _ = io.WriteString(c, "CONNECTED\nversion:1.2\n\n\x00")
		})
		if got := (Prober{}).Probe(t.Context(), []string{host}, virtualHost, nil); !got[0].OK() {
			t.Errorf("virtual host %q: %+v", virtualHost, got[0])
		}
		if text := <-asked; !strings.Contains(text, want) {
			t.Errorf("virtual host %q: the broker was asked with %q, want %q in it", virtualHost, text, want)
		}
	}
}
