package stomp_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
)

// scripted is a server of one connection at a time that does what a test tells it, frame by
// frame: for brokers that are not here, and for servers that behave badly.
type scripted struct {
	t    testing.TB
	l    net.Listener
	nc   net.Conn
	d    *frame.Decoder
	v    frame.Version
	done chan struct{}
}

// script runs do for the test's one server; its failures are the test's.
func script(t testing.TB, do func(s *scripted)) string {
	t.Helper()
	s := &scripted{t: t, l: listen(t), v: frame.V12, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		do(s)
	}()
	t.Cleanup(func() {
		_ = s.l.Close()
		select {
		case <-s.done:
		case <-time.After(patience):
			t.Error("the scripted server does not end")
		}
		if s.nc != nil {
			_ = s.nc.Close()
		}
	})
	return s.l.Addr().String()
}

// accept takes the next connection and its CONNECT, and answers.
func (s *scripted) accept(server, version string) *frame.Frame {
	nc, err := s.l.Accept()
	if err != nil {
		s.t.Error(err)
		return frame.New("")
	}
	s.nc = nc
	_ = nc.SetDeadline(time.Now().Add(patience))
	s.d = frame.NewDecoder(nc, frame.Limits{})
	connect := s.want(frame.Connect)
	s.v = frame.Version(version)
	s.send(frame.New(frame.Connected, "server", server, "version", version), "")
	s.d.SetVersion(s.v)
	return connect
}

func (s *scripted) want(command string) *frame.Frame {
	f, err := s.d.Decode()
	if err != nil {
		s.t.Errorf("waiting for %s: %v", command, err)
		return frame.New(command)
	}
	if f.Command != command {
		s.t.Errorf("the client sent %v, want %s", f, command)
	}
	return f
}

func (s *scripted) send(f *frame.Frame, body string) {
	f.Body = []byte(body)
	data, err := frame.Append(nil, f, s.v, frame.Limits{})
	if err != nil {
		s.t.Error(err)
	}
	if _, err := s.nc.Write(data); err != nil {
		s.t.Error(err)
	}
}

func (s *scripted) receipt(f *frame.Frame) {
	s.send(frame.New(frame.Receipt, "receipt-id", f.Header.Get("receipt")), "")
}

// end waits until the client has closed.
func (s *scripted) end() { _, _ = io.Copy(io.Discard, s.nc) }

func has(t testing.TB, f *frame.Frame, kv ...string) {
	t.Helper()
	for i := 0; i < len(kv); i += 2 {
		if got, ok := f.Header.Lookup(kv[i]); got != kv[i+1] || !ok {
			t.Errorf("%v: %s is %q, want %q", f, kv[i], got, kv[i+1])
		}
	}
}

func lacks(t testing.TB, f *frame.Frame, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if v, ok := f.Header.Lookup(k); ok {
			t.Errorf("%v has %s:%s", f, k, v)
		}
	}
}

func TestSubscribeSpeaksEachBrokersDialect(t *testing.T) {
	for server, check := range map[string]func(*frame.Frame){
		"ActiveMQ/5.17.2": func(f *frame.Frame) {
			has(t, f, "activemq.subscriptionName", "n", "activemq.prefetchSize", "7", "selector", "clientid <> 'me'", "ack", "client-individual")
		},
		"ActiveMQ-Artemis/2": func(f *frame.Frame) {
			has(t, f, "durable-subscription-name", "n", "selector", "clientid <> 'me'", "subscription-type", "MULTICAST", "consumer-window-size", "1048576")
			lacks(t, f, "activemq.prefetchSize")
		},
		"RabbitMQ/3.10.8": func(f *frame.Frame) {
			has(t, f, "durable", "true", "auto-delete", "false", "id", "me.n", "prefetch-count", "7")
			lacks(t, f, "selector", "activemq.subscriptionName", "subscription-type")
		},
		"unknown": func(f *frame.Frame) {
			lacks(t, f, "selector", "activemq.subscriptionName", "durable")
		},
	} {
		addr := script(t, func(s *scripted) {
			has(t, s.accept(server, "1.2"), "client-id", "me", "accept-version", "1.0,1.1,1.2", "heart-beat", "10000,10000", "host", "127.0.0.1")
			f := s.want(frame.Subscribe)
			check(f)
			s.receipt(f)
			s.end()
		})
		c := dial(t, addr, stomp.Options{ClientID: "me"})
		subscribe(t, c, stomp.SubscribeOptions{
			Destination: "/topic/t", DurableName: "n", Ack: stomp.AckClientIndividual, Selector: stomp.NotFrom("me"), Prefetch: 7,
		})
		c.Close()
	}
}

func TestBrokerWhoseHigherVersionFailsIsDialedAgainWithALowerOne(t *testing.T) {
	addr := script(t, func(s *scripted) {
		s.accept("coilmq/1.0.1", "1.2")
		s.receipt(s.want(frame.Disconnect))
		s.end()
		has(t, s.accept("coilmq/1.0.1", "1.1"), "accept-version", "1.0,1.1")
		f := s.want(frame.Subscribe)
		has(t, f, "ack", "client")
		s.receipt(f)
		s.send(frame.New(frame.Message, "destination", "/topic/t", "message-id", "m1", "subscription", f.Header.Get("id")), "x")
		has(t, s.want(frame.Ack), "message-id", "m1", "subscription", f.Header.Get("id"))
		f = s.want(frame.Unsubscribe)
		has(t, f, "destination", "/topic/t")
		s.receipt(f)
		s.end()
	})
	c := dial(t, addr, stomp.Options{})
	sub := subscribe(t, c, stomp.SubscribeOptions{Destination: "/topic/t", Ack: stomp.AckClientIndividual})
	m := receive(t, sub)
	must(t, m.Ack(bounded(t)))
	var unsupported *stomp.UnsupportedError
	if err := m.Nack(bounded(t)); !errors.As(err, &unsupported) {
		t.Errorf("NACK to a broker without it: %v", err)
	}
	must(t, sub.Unsubscribe(bounded(t)))
	c.Close()
}

func TestOldestBrokerGetsNothingItDoesNotKnow(t *testing.T) {
	morbid := stomp.MorbidQ()
	addr := script(t, func(s *scripted) {
		lacks(t, s.accept("", "1.0"), "accept-version", "host", "heart-beat")
		f := s.want(frame.Subscribe)
		has(t, f, "ack", "auto")
		lacks(t, f, "selector", "activemq.subscriptionName", "activemq.prefetchSize")
		s.receipt(f)
		// No subscription header: 1.0 need not send one.
		s.send(frame.New(frame.Message, "destination", "/topic/t", "message-id", "m1"), "x")
		f = s.want(frame.Send) // no ACK comes before it
		lacks(t, f, "persistent")
		s.receipt(f)
		s.end()
	})
	c := dial(t, addr, stomp.Options{Profile: &morbid, ClientID: "me"})
	sub := subscribe(t, c, stomp.SubscribeOptions{
		Destination: "/topic/t", Ack: stomp.AckClientIndividual, DurableName: "n", Selector: stomp.NotFrom("me"),
	})
	expect(t, sub, true, "x")
	send(t, c, "/topic/t", "y")
	c.Close()
}

func TestMisbehavingServersEndTheConnectionWithAReason(t *testing.T) {
	for want, misbehave := range map[string]func(s *scripted){
		"closed the connection": func(s *scripted) { _ = s.nc.Close() },
		"SEND frame":            func(s *scripted) { s.send(frame.New(frame.Send), "") },
		"not a stomp frame":     func(s *scripted) { _, _ = s.nc.Write([]byte("hello\n\n\x00")) },
		"over the limit":        func(s *scripted) { _, _ = s.nc.Write([]byte("MESSAGE\ncontent-length:9999999999\n\n")) },
		"unexpected EOF":        func(s *scripted) { _, _ = s.nc.Write([]byte("MESSAGE\n")); _ = s.nc.Close() },
		"bad day": func(s *scripted) { // an ERROR that the close follows is the reason
			s.send(frame.New(frame.Error, "message", "bad day"), "stack trace")
			_ = s.nc.Close()
		},
	} {
		addr := script(t, func(s *scripted) {
			s.accept("ActiveMQ/5", "1.2")
			misbehave(s)
			s.end()
		})
		c := dial(t, addr, stomp.Options{})
		select {
		case <-c.Done():
		case <-time.After(patience):
			t.Fatalf("%s: the connection lives", want)
		}
		var lost *stomp.ConnectionError
		if err := c.Err(); !errors.As(err, &lost) || !strings.Contains(err.Error(), want) {
			t.Errorf("ended with %v, want %s", err, want)
		}
	}
}

func TestHandshakeRefusesWhatIsNoBroker(t *testing.T) {
	for want, answer := range map[string]string{
		"not a stomp frame":     "HTTP/1.1 400 Bad Request\r\n\r\n",
		"was not offered":       "CONNECTED\nversion:1.3\n\n\x00",
		"answered CONNECT with": "RECEIPT\nreceipt-id:1\n\n\x00",
		"not two numbers":       "CONNECTED\nversion:1.2\nheart-beat:x\n\n\x00",
		"go away":               "ERROR\nmessage:go away\n\n\x00",
		"EOF":                   "",
	} {
		addr := script(t, func(s *scripted) {
			nc, err := s.l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = bufio.NewReader(nc).ReadString(0)
			_, _ = nc.Write([]byte(answer))
			_ = nc.Close()
		})
		if _, err := stomp.Dial(bounded(t), addr, stomp.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestErrorWithoutReceiptReachesTheHookAndTheConnectionLives(t *testing.T) {
	addr := script(t, func(s *scripted) {
		s.accept("ActiveMQ/5", "1.2")
		s.send(frame.New(frame.Error, "message", "by the way"), strings.Repeat("x", 5000))
		s.receipt(s.want(frame.Send))
		s.end()
	})
	told := make(chan *stomp.ServerError, 1)
	c := dial(t, addr, stomp.Options{OnError: func(e *stomp.ServerError) { told <- e }})
	select {
	case e := <-told:
		if e.Message != "by the way" || len(e.Detail) > 512 {
			t.Errorf("told %+v", e)
		}
	case <-time.After(patience):
		t.Fatal("the hook was not called")
	}
	send(t, c, "/queue/a", "x")
	c.Close()
}

func TestBrokerThatClosesAfterErrorsIsNotWaitedFor(t *testing.T) {
	addr := script(t, func(s *scripted) {
		s.accept("RabbitMQ/3", "1.2")
		f := s.want(frame.Send)
		s.send(frame.New(frame.Error, "message", "no", "receipt-id", f.Header.Get("receipt")), "")
		s.end()
	})
	c := dial(t, addr, stomp.Options{})
	var refused *stomp.ServerError
	if err := c.Send(bounded(t), stomp.Outgoing{Destination: "/queue/a"}); !errors.As(err, &refused) || refused.Message != "no" {
		t.Errorf("the call got %v", err)
	}
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Error("the connection lives")
	}
}

func TestBrokerThatOverrunsThePrefetchLosesTheConnectionNotMessages(t *testing.T) {
	addr := script(t, func(s *scripted) {
		s.accept("ActiveMQ/5", "1.2")
		f := s.want(frame.Subscribe)
		s.receipt(f)
		for range 100 { // of a prefetch of 1
			m := frame.New(frame.Message, "destination", "/topic/t", "message-id", "m", "ack", "a", "subscription", f.Header.Get("id"))
			data, err := frame.Append(nil, m, frame.V12, frame.Limits{})
			if err != nil {
				t.Error(err)
			}
			if _, err := s.nc.Write(data); err != nil {
				break
			}
		}
		s.end()
	})
	c := dial(t, addr, stomp.Options{})
	s := subscribe(t, c, stomp.SubscribeOptions{Destination: "/topic/t", Ack: stomp.AckClientIndividual, Prefetch: 1})
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the connection lives")
	}
	var overflow *stomp.OverflowError
	if !errors.As(c.Err(), &overflow) || s.Dropped() != 0 {
		t.Errorf("ended with %v, dropped %d", c.Err(), s.Dropped())
	}
}

// TestPartialFrameCountsAsLife: a large frame that trickles in is not silence.
func TestPartialFrameCountsAsLife(t *testing.T) {
	body := strings.Repeat("x", 8)
	addr := script(t, func(s *scripted) {
		nc, err := s.l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		s.nc, s.d = nc, frame.NewDecoder(nc, frame.Limits{})
		s.want(frame.Connect)
		s.send(frame.New(frame.Connected, "server", "ActiveMQ/5", "version", "1.2", "heart-beat", "100,0"), "")
		f := s.want(frame.Subscribe)
		s.receipt(f)
		m := frame.New(frame.Message, "destination", "/topic/t", "message-id", "m", "subscription", f.Header.Get("id"))
		m.Body = []byte(body)
		data, err := frame.Append(nil, m, frame.V12, frame.Limits{})
		if err != nil {
			t.Error(err)
		}
		data = data[:len(data)-1]
		head, rest := data[:len(data)-9], data[len(data)-9:]
		_, _ = nc.Write(head)
		for i := range rest { // 9 × 150 ms is twice what silence may last
			time.Sleep(150 * time.Millisecond)
			_, _ = nc.Write(rest[i : i+1])
		}
		s.end()
	})
	c := dial(t, addr, stomp.Options{HeartBeat: 100 * time.Millisecond})
	expect(t, subscribe(t, c, stomp.SubscribeOptions{Destination: "/topic/t"}), true, body)
	c.Close()
}

// TestHeartBeatsLeaveAtHalfTheInterval: the server, which wants one each 400 ms, hears one in
// good time also when frames are sent in between.
func TestHeartBeatsLeaveAtHalfTheInterval(t *testing.T) {
	gaps := make(chan time.Duration, 100)
	addr := script(t, func(s *scripted) {
		nc, err := s.l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		s.nc, s.d = nc, frame.NewDecoder(nc, frame.Limits{})
		s.want(frame.Connect)
		s.send(frame.New(frame.Connected, "server", "ActiveMQ/5", "version", "1.2", "heart-beat", "0,400"), "")
		buf := make([]byte, 1000)
		last := time.Now()
		for range 5 {
			if _, err := nc.Read(buf); err != nil {
				t.Error(err)
				break
			}
			gaps <- time.Since(last)
			last = time.Now()
		}
		close(gaps)
		s.end()
	})
	c := dial(t, addr, stomp.Options{HeartBeat: 100 * time.Millisecond})
	must(t, c.SendNoReceipt(bounded(t), stomp.Outgoing{Destination: "/queue/a"}))
	for gap := range gaps {
		if gap > 380*time.Millisecond {
			t.Errorf("%v between signs of life, want about 200ms", gap)
		}
	}
	c.Close()
}

func TestCredentialFilesAreReadAtEachConnect(t *testing.T) {
	dir := t.TempDir()
	login, passcode := filepath.Join(dir, "login"), filepath.Join(dir, "passcode")
	source := stomp.CredentialFiles(login, passcode)
	if _, err := source(t.Context()); err == nil || !strings.Contains(err.Error(), login) {
		t.Errorf("a missing file: %v", err)
	}
	for _, secret := range []string{"first", "rotated\n", "dos\r\n"} {
		must(t, os.WriteFile(login, []byte("ada\n"), 0o600))
		must(t, os.WriteFile(passcode, []byte(secret), 0o600))
		got, err := source(t.Context())
		if err != nil || got.Login != "ada" || got.Passcode != strings.TrimRight(secret, "\r\n") {
			t.Errorf("%q was read as %q, %v", secret, got.Passcode, err)
		}
	}
}

// certificate makes a self-signed certificate for 127.0.0.1 and writes it as PEM.
func certificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLSIsVerifiedAndItsFilesAreReadAtEachConnect(t *testing.T) {
	cert, file := certificate(t)
	_, otherFile := certificate(t)
	plain := embedded(t, broker.Options{})
	front := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{cert}})
	relay(t, front, plain.Addr())
	addr := front.Addr().String()

	c := dial(t, addr, stomp.Options{TLS: stomp.TLSFiles{CAFile: file}.Source()})
	send(t, c, "/queue/a", strings.Repeat("x", 1<<20))
	must(t, c.Disconnect(bounded(t)))
	for want, files := range map[string]stomp.TLSFiles{
		"certificate":    {CAFile: otherFile},
		"other.name":     {CAFile: file, ServerName: "other.name"},
		"no such file":   {CAFile: file + ".missing"},
		"no PEM":         {CAFile: "/dev/null"},
		"client certifi": {CertFile: file, KeyFile: file},
	} {
		if _, err := stomp.Dial(bounded(t), addr, stomp.Options{TLS: files.Source()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// relay forwards what l accepts to target until the test ends.
func relay(t testing.TB, l net.Listener, target string) {
	t.Helper()
	p := &proxy{l: l}
	p.serve(t, target)
}
