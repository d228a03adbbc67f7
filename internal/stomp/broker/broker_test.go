package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 15 * time.Second

func start(t testing.TB, o Options) *Broker {
	t.Helper()
	b, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// peer speaks STOMP frame by frame, so that tests see exactly what the broker sends.
type peer struct {
	t  testing.TB
	nc net.Conn
	d  *frame.Decoder
	v  frame.Version
}

func plug(t testing.TB, b *Broker) *peer {
	t.Helper()
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &peer{t: t, nc: nc, d: frame.NewDecoder(nc, frame.Limits{}), v: frame.V12}
}

func (p *peer) raw(text string) {
	p.t.Helper()
	if _, err := p.nc.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) send(command string, kv ...string) {
	p.t.Helper()
	p.sendBody(nil, command, kv...)
}

func (p *peer) sendBody(body []byte, command string, kv ...string) {
	p.t.Helper()
	f := frame.New(command, kv...)
	f.Body = body
	data, err := frame.Append(nil, f, p.v, frame.Limits{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.raw(string(data))
}

func (p *peer) next() *frame.Frame {
	p.t.Helper()
	f, err := p.d.Decode()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *peer) want(command string, kv ...string) *frame.Frame {
	p.t.Helper()
	f := p.next()
	if f.Command != command {
		p.t.Fatalf("got %v %q, want %s", f, f.Body, command)
	}
	for i := 0; i < len(kv); i += 2 {
		if got := f.Header.Get(kv[i]); !strings.Contains(got, kv[i+1]) {
			p.t.Fatalf("got %v, want %s to contain %q", f, kv[i], kv[i+1])
		}
	}
	return f
}

func (p *peer) wantEnd() {
	p.t.Helper()
	if f, err := p.d.Decode(); err == nil {
		p.t.Fatalf("got %v, want the end of the connection", f)
	}
}

// sync passes when the broker has done all that was sent and has sent nothing else.
func (p *peer) sync() {
	p.t.Helper()
	p.send(frame.Send, "destination", "/topic/nobody", "receipt", "sync")
	p.want(frame.Receipt, "receipt-id", "sync")
}

func connect(t testing.TB, b *Broker, kv ...string) *peer {
	t.Helper()
	p := plug(t, b)
	p.send(frame.Connect, append(kv, "accept-version", "1.0,1.1,1.2", "host", "x")...)
	f := p.want(frame.Connected, "server", "Vesper/")
	p.v = frame.Version(f.Header.Get("version"))
	p.d.SetVersion(p.v)
	return p
}

func TestHandshakeAnswersEachVersionAndRefusesOthers(t *testing.T) {
	b := start(t, Options{Version: "1.2.3"})
	for accept, want := range map[string]string{"": "1.0", "1.0": "1.0", "1.1,1.0": "1.1", "1.0,1.1,1.2,9.9": "1.2"} {
		p := plug(t, b)
		p.raw("CONNECT\nheart-beat:1000,2000\nclient-id:c" + want + accept + "\n")
		if accept != "" {
			p.raw("accept-version:" + accept + "\n")
		}
		p.raw("\n\x00")
		p.want(frame.Connected, "version", want, "server", "Vesper/1.2.3", "heart-beat", "2000,1000", "session", "c"+want+accept)
	}
	p := plug(t, b)
	p.raw("STOMP\naccept-version:2.0\n\n\x00")
	p.want(frame.Error, "message", "Invalid Protocol version[2.0]")
	p.wantEnd()
	p = plug(t, b)
	p.send(frame.Send, "destination", "/queue/a")
	p.want(frame.Error, "message", "CONNECT")
	p.wantEnd()
}

func TestApplicationErrorsKeepTheConnectionAndProtocolErrorsCloseIt(t *testing.T) {
	b := start(t, Options{Limits: frame.Limits{Body: 10}})
	p := connect(t, b)
	for message, f := range map[string]*frame.Frame{
		"Unexpected ACK received for message-id [x]": frame.New(frame.Ack, "id", "x"),
		"Invalid transaction id: t":                  frame.New(frame.Commit, "transaction", "t"),
		"without a transaction id":                   frame.New(frame.Begin),
		"without a subscription id":                  frame.New(frame.Subscribe, "destination", "/topic/a"),
		"neither /topic/NAME nor /queue/NAME":        frame.New(frame.Send, "destination", "plain"),
		"is not understood":                          frame.New(frame.Subscribe, "id", "1", "destination", "/topic/a", "selector", "a >"),
		"is not one of auto":                         frame.New(frame.Subscribe, "id", "1", "destination", "/topic/a", "ack", "foo"),
		"is not a number above 0":                    frame.New(frame.Subscribe, "id", "1", "destination", "/topic/a", headerPrefetch, "0"),
		"No subscription matched":                    frame.New(frame.Unsubscribe, "id", "1"),
		"No durable subscription exists":             frame.New(frame.Unsubscribe, "id", "1", headerDurable, "n"),
		"expires":                                    frame.New(frame.Send, "destination", "/queue/a", "expires", "soon"),
	} {
		f.Header.Add("receipt", "r:1")
		data, err := frame.Append(nil, f, p.v, frame.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p.raw(string(data))
		p.want(frame.Error, "message", message, "receipt-id", "r:1")
	}
	p.sync()
	for message, text := range map[string]string{
		"Unknown STOMP action": "JUMP\n\n\x00",
		"more than 10":         "SEND\ndestination:/queue/a\ncontent-length:11\n\n",
		"unknown escape":       "SEND\ndestination:\\t\n\n\x00",
	} {
		p := connect(t, b)
		p.raw(text)
		p.want(frame.Error, "message", message)
		p.wantEnd()
	}
}

func TestSubscribeReceiptComesBeforeItsMessages(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	p.sendBody([]byte("waiting"), frame.Send, "destination", "/queue/a")
	p.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "receipt", "r")
	p.want(frame.Receipt, "receipt-id", "r")
	if f := p.want(frame.Message, "subscription", "s"); string(f.Body) != "waiting" {
		t.Errorf("got %q", f.Body)
	}
}

func TestClientAckIsCumulativeAndIndividualIsNot(t *testing.T) {
	for mode, left := range map[string]string{modeClient: "3", modeIndividual: "0,1,3"} {
		b := start(t, Options{})
		p := connect(t, b)
		for i := range 4 {
			p.sendBody(fmt.Append(nil, i), frame.Send, "destination", "/queue/a")
		}
		p.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "ack", mode)
		var acks []string
		for range 4 {
			acks = append(acks, p.want(frame.Message).Header.Get("ack"))
		}
		p.send(frame.Ack, "id", acks[2])
		p.sync()
		_ = p.nc.Close()

		q := connect(t, b)
		q.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "ack", mode)
		for want := range strings.SplitSeq(left, ",") {
			if f := q.want(frame.Message, "redelivered", "true"); string(f.Body) != want {
				t.Errorf("%s: redelivered %q, want %s", mode, f.Body, want)
			}
		}
		q.sync()
	}
}

func TestAcknowledgementsOfEachVersion(t *testing.T) {
	for _, v := range []frame.Version{frame.V10, frame.V11, frame.V12} {
		b := start(t, Options{})
		p := plug(t, b)
		p.send(frame.Connect, "accept-version", string(v))
		p.want(frame.Connected, "version", string(v))
		p.v = v
		p.d.SetVersion(v)
		p.sendBody([]byte("x"), frame.Send, "destination", "/queue/a")
		p.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "ack", modeIndividual)
		m := p.want(frame.Message)
		if v == frame.V12 {
			p.send(frame.Ack, "id", m.Header.Get("ack"), "receipt", "r")
		} else {
			p.send(frame.Ack, "message-id", m.Header.Get("message-id"), "subscription", "s", "receipt", "r")
		}
		p.want(frame.Receipt, "receipt-id", "r")
		if n := b.Stats(); n.Messages != 0 || n.Memory != 0 {
			t.Errorf("%s: after the ACK the broker holds %+v", v, n)
		}
		p.send(frame.Nack, "id", "x", "message-id", "x", "receipt", "n")
		p.want(frame.Error, "receipt-id", "n")
	}
}

func TestAnotherSelectorDiscardsTheBacklogOfADurableSubscription(t *testing.T) {
	b := start(t, Options{})
	sub := func(selector string) *peer {
		p := connect(t, b, "client-id", "me")
		p.send(frame.Subscribe, "id", "s", "destination", "/topic/t", headerDurable, "n", "selector", selector, "receipt", "r")
		p.want(frame.Receipt)
		return p
	}
	leave := func(p *peer) {
		p.send(frame.Disconnect, "receipt", "bye")
		p.want(frame.Receipt, "receipt-id", "bye")
		p.wantEnd()
	}
	other := connect(t, b)
	for selector, kept := range map[string]bool{"clientid <> 'me'": true, "clientid <>  'me'": false} {
		leave(sub("clientid <> 'me'"))
		other.sendBody([]byte("backlog"), frame.Send, "destination", "/topic/t", "clientid", "other")
		other.sync()
		p := sub(selector)
		if kept {
			p.want(frame.Message)
		}
		p.sync()
		leave(p)
	}
}

func TestMemoryIsBoundedAndRefusalIsClear(t *testing.T) {
	b := start(t, Options{MaxMemory: 10000})
	p := connect(t, b)
	refused := 0
	for i := range 20 {
		p.sendBody(make([]byte, 1000), frame.Send, "destination", "/queue/a", "receipt", fmt.Sprint(i))
		if f := p.next(); f.Command == frame.Error {
			refused++
			if !strings.Contains(f.Header.Get("message"), "Memory of the broker is full") || f.Header.Get("receipt-id") == "" {
				t.Fatalf("refused with %v", f)
			}
		}
	}
	if s := b.Stats(); s.Memory > 10000 || refused < 10 || s.Refused != uint64(refused) {
		t.Errorf("%d were refused, the broker holds %+v", refused, s)
	}
	p.send(frame.Subscribe, "id", "s", "destination", "/queue/a")
	for range 20 - refused {
		p.want(frame.Message)
	}
	eventually(t, func() bool { return b.Stats().Memory == 0 })
	p.sendBody(make([]byte, 1000), frame.Send, "destination", "/queue/b", "receipt", "room again")
	p.want(frame.Receipt, "receipt-id", "room again")
}

func TestUnreadReceiptsDoNotGrowTheBroker(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	one := "SEND\ndestination:/topic/nobody\nreceipt:" + strings.Repeat("r", 9000) + "\n\n\x00"
	_ = p.nc.SetWriteDeadline(time.Now().Add(time.Second))
	sent := 0
	for sent < 20000 { // 180 MB, of which the broker may take its queue and the sockets' buffers
		if _, err := p.nc.Write([]byte(one)); err != nil {
			break
		}
		sent++
	}
	if sent == 20000 {
		t.Error("a client that never reads was read for ever")
	}
}

func TestTransactionsAreForgottenWithTheirConnection(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	p.send(frame.Begin, "transaction", "t")
	p.sendBody(make([]byte, 5000), frame.Send, "destination", "/queue/a", "transaction", "t")
	p.sync()
	if b.Stats().Memory < 5000 {
		t.Error("what a transaction holds does not count as memory")
	}
	b.Disconnect()
	if s := b.Stats(); s.Memory != 0 || s.Messages != 0 || s.Connections != 0 {
		t.Errorf("after the connection's end the broker holds %+v", s)
	}
}

func TestHeartBeatsAreSentAndSilenceEndsAConnection(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b, "heart-beat", "0,100")
	buf := make([]byte, 1)
	for range 3 {
		begin := time.Now()
		n, err := io.ReadFull(bufio.NewReaderSize(p.nc, 16), buf)
		if err != nil || n != 1 || buf[0] != '\n' {
			t.Fatalf("got %q, %v, want a heart-beat", buf, err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("a heart-beat of 100ms took %v", d)
		}
	}
	silent := connect(t, b, "heart-beat", "50,0")
	begin := time.Now()
	silent.wantEnd()
	if d := time.Since(begin); d < 50*time.Millisecond {
		t.Errorf("a client with a heart-beat of 50ms was cut after %v", d)
	}
}

func TestFaultHooksDoWhatTheySay(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	p.send(frame.Subscribe, "id", "s", "destination", "/topic/t", "receipt", "r")
	p.want(frame.Receipt)
	b.SetFaults(Faults{Sent: func(_ string, f *frame.Frame) Fault {
		return Fault{Duplicate: bytes.Equal(f.Body, []byte("twice")), Drop: bytes.Equal(f.Body, []byte("never"))}
	}})
	for _, body := range []string{"never", "twice", "once"} {
		p.sendBody([]byte(body), frame.Send, "destination", "/topic/t")
	}
	for _, want := range []string{"twice", "twice", "once"} {
		if f := p.want(frame.Message); string(f.Body) != want {
			t.Errorf("got %q, want %q", f.Body, want)
		}
	}
	var left atomic.Int32
	left.Store(3)
	b.SetFaults(Faults{Received: func(string, *frame.Frame) Fault { return Fault{Disconnect: left.Add(-1) < 0} }})
	for range 3 {
		p.sync()
	}
	p.send(frame.Send, "destination", "/topic/t")
	p.wantEnd()
	b.SetFaults(Faults{Accept: func(net.Addr) bool { return false }})
	plug(t, b).wantEnd()
	b.SetFaults(Faults{})
	connect(t, b).sync()
}

func TestSuspendKeepsAndWipeForgets(t *testing.T) {
	b := start(t, Options{})
	addr := b.Addr()
	fill := func() {
		p := connect(t, b, "client-id", "me")
		p.send(frame.Subscribe, "id", "s", "destination", "/topic/t", headerDurable, "n", "receipt", "r")
		p.want(frame.Receipt)
		p.send(frame.Unsubscribe, "id", "s")
		p.send(frame.Send, "destination", "/topic/t")
		p.send(frame.Send, "destination", "/queue/q")
		p.sync()
	}
	fill()
	b.Suspend()
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr); err == nil {
		t.Error("a suspended broker takes connections")
	}
	if err := b.Resume(); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); b.Addr() != addr || s.Messages != 2 || s.Durables != 1 {
		t.Errorf("after Resume at %s: %+v", b.Addr(), s)
	}
	if err := b.Wipe(); err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); s.Messages != 0 || s.Durables != 0 || s.Memory != 0 {
		t.Errorf("after Wipe: %+v", s)
	}
	fill()
	b.Close()
	b.Close()
	if err := b.Resume(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("resuming a closed broker: %v", err)
	}
}

func TestQueueSharesAmongConsumersAndTopicCopiesToEach(t *testing.T) {
	b := start(t, Options{})
	var peers []*peer
	for range 2 {
		p := connect(t, b)
		p.send(frame.Subscribe, "id", "q", "destination", "/queue/q", "receipt", "1")
		p.want(frame.Receipt)
		p.send(frame.Subscribe, "id", "t", "destination", "/topic/t", "receipt", "2")
		p.want(frame.Receipt)
		peers = append(peers, p)
	}
	sender := connect(t, b)
	for i := range 4 {
		sender.sendBody(fmt.Append(nil, i), frame.Send, "destination", "/queue/q")
	}
	sender.sync()
	sender.send(frame.Send, "destination", "/topic/t")
	seen := map[string]bool{}
	for _, p := range peers {
		for range 2 {
			seen[string(p.want(frame.Message, "subscription", "q").Body)] = true
		}
		p.want(frame.Message, "subscription", "t")
	}
	if len(seen) != 4 {
		t.Errorf("the consumers of a queue saw %v", seen)
	}
}

// within bounds what a test runs.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
