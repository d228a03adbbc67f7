// Package brokerprobe asks STOMP brokers whether they take a login: one CONNECT
// a host, bounded in time, all hosts at once.
package brokerprobe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"vesperdb.io/vesper/internal/stomp"
)

// Patience is how long a host may take to answer.
const Patience = 3 * time.Second

// maxText bounds what is repeated of a broker's words.
const maxText = 200

// Answer is what one host said. The same state of affairs gives the same
// Answer: no port of ours, no time, no counter is in it.
type Answer struct {
	// Host is the host:port that was asked.
	Host string
	// Server is what the broker calls itself; "" when it does not say, or did not answer.
	Server string
	// Refused is the broker's reason for not taking the login.
	Refused string
	// Failed says why there was no answer.
	Failed string
}

// OK reports whether the host took the login.
func (a Answer) OK() bool { return a.Refused == "" && a.Failed == "" }

// Prober asks brokers. The zero value is usable.
type Prober struct {
	// Patience replaces the constant, for tests.
	Patience time.Duration
}

// Probe asks every host and returns the answers in the order of hosts. It takes
// no longer than its patience. A nil source means no login, virtualHost "" the
// broker's usual one.
func (p Prober) Probe(ctx context.Context, hosts []string, virtualHost string, credentials stomp.CredentialSource) []Answer {
	patience := p.Patience
	if patience <= 0 {
		patience = Patience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make([]Answer, len(hosts))
	var asking sync.WaitGroup
	for i, host := range hosts {
		asking.Go(func() { answers[i] = ask(ctx, host, virtualHost, patience, credentials) })
	}
	asking.Wait()
	return answers
}

func ask(ctx context.Context, host, virtualHost string, patience time.Duration, credentials stomp.CredentialSource) Answer {
	conn, err := stomp.Dial(ctx, host, stomp.Options{
		Host: virtualHost, Credentials: credentials, HeartBeat: -1, ConnectTimeout: patience, WriteTimeout: patience,
	})
	if err != nil {
		return explain(host, err, patience)
	}
	defer conn.Close()
	answer := Answer{Host: host, Server: shorten(conn.Server())}
	// Without a goodbye the broker would log a broken connection for each probe;
	// whether it arrives changes nothing.
	_ = conn.Disconnect(ctx)
	return answer
}

// explain turns an error of a connection into words that do not change while
// the cause does not.
func explain(host string, err error, patience time.Duration) Answer {
	if refused, ok := errors.AsType[*stomp.ServerError](err); ok {
		return Answer{Host: host, Refused: shorten(refused.Message)}
	}
	return Answer{Host: host, Failed: shorten(cause(err, patience))}
}

func cause(err error, patience time.Duration) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTimeout {
		return "looking up the host's name: " + dns.Err
	}
	// Which of these a closed connection gives is chance: words that change
	// would be written to the status each time.
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return "the connection was closed before an answer"
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok && !number.Timeout() {
		return number.Error()
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", patience)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error() // without the ports, which differ each time
	}
	if conn, ok := errors.AsType[*stomp.ConnectionError](err); ok {
		return conn.Err.Error() // without the address, which the answer has
	}
	return err.Error()
}

// shorten makes a stranger's text fit for a status: valid, one line, bounded.
func shorten(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
