// Package nodeclient asks nodes what they say of themselves.
package nodeclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
)

// Reader reads the status of a node.
type Reader interface {
	// Status returns what the target answers to GET /v1/status. The error says
	// what was tried on which address.
	Status(ctx context.Context, target Target) (nodestatus.Status, error)
}

// Drainer tells nodes whether to take writes.
type Drainer interface {
	// SetDraining makes the target take no more writes and returns when none is
	// under way, or makes it take writes again.
	SetDraining(ctx context.Context, target Target, draining bool) error
}

const (
	// timeout bounds one question, whatever the caller's context says.
	timeout = 2 * time.Second
	// maxAnswer bounds what is read of an answer: a thousand peers with
	// revisions of a thousand branches would be some 9 MB.
	maxAnswer = 16 << 20
)

// Client is a Reader and a Drainer over HTTP. Its zero value is not usable; see New.
type Client struct {
	http *http.Client
}

// New returns a Client that keeps no idle connection longer than a moment, and
// ignores the environment's proxies: nodes are in the same cluster.
func New() *Client { return &Client{http: newHTTP(newTransport())} }

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
		MaxIdleConns:        100,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     time.Minute,
	}
}

func newHTTP(transport *http.Transport) *http.Client {
	return &http.Client{
		Timeout:   timeout,
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the node answered with a redirect")
		},
	}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status implements Reader.
func (c *Client) Status(ctx context.Context, target Target) (nodestatus.Status, error) {
	status, err := c.status(ctx, target)
	if err != nil {
		return nodestatus.Status{}, fmt.Errorf("asking the node at %s for its status: %w", target.Address, err)
	}
	return status, nil
}

// SetDraining implements Drainer.
func (c *Client) SetDraining(ctx context.Context, target Target, draining bool) error {
	method, what := http.MethodDelete, "take writes again"
	if draining {
		method, what = http.MethodPost, "take no more writes"
	}
	if err := c.do(ctx, target, method, "/v1/drain", func(io.Reader) error { return nil }); err != nil {
		return fmt.Errorf("telling the node at %s to %s: %w", target.Address, what, err)
	}
	return nil
}

func (c *Client) status(ctx context.Context, target Target) (status nodestatus.Status, err error) {
	err = c.do(ctx, target, http.MethodGet, "/v1/status", func(answer io.Reader) error {
		body, err := io.ReadAll(io.LimitReader(answer, maxAnswer+1))
		if err != nil {
			return fmt.Errorf("reading its answer: %w", cause(err))
		}
		if len(body) > maxAnswer {
			return fmt.Errorf("its answer is longer than %d bytes", maxAnswer)
		}
		if err := json.Unmarshal(body, &status); err != nil {
			return fmt.Errorf("its answer is not a status: %w", err)
		}
		return nil
	})
	return status, err
}

// do sends a request without a body and has an answer that is 200 read.
func (c *Client) do(ctx context.Context, target Target, method, path string, read func(io.Reader) error) error {
	scheme, sender, finish, err := c.over(target.Access)
	if err != nil {
		return err
	}
	defer finish()
	request, err := http.NewRequestWithContext(ctx, method, scheme+target.Address+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if target.Access.Token != "" {
		request.Header.Set("Authorization", "Bearer "+target.Access.Token)
	}
	response, err := sender.Do(request)
	if err != nil {
		return cause(err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing was written
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	return read(response.Body)
}

// refusal says what an answer other than 200 means to who asked.
func refusal(response *http.Response) error {
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("it answered %s: it does not take the operator's token, or not yet", response.Status)
	}
	return fmt.Errorf("it answered %s", response.Status)
}

// over returns what to begin an address with and who sends to it. A connection
// over TLS is made for one question: certificates are replaced, and a node is
// asked twice a minute.
func (c *Client) over(access Access) (scheme string, sender *http.Client, finish func(), err error) {
	if !access.Secure() {
		return "http://", c.http, func() {}, nil
	}
	config, err := access.config()
	if err != nil {
		return "", nil, nil, err
	}
	transport := newTransport()
	transport.TLSClientConfig, transport.DisableKeepAlives = config, true
	return "https://", newHTTP(transport), transport.CloseIdleConnections, nil
}

// cause leaves out the method and URL that net/http puts before an error, and
// says a timeout in words that stay the same from one attempt to the next.
func cause(err error) error {
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return fmt.Errorf("no answer within %s", timeout)
	}
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		return opErr.Err
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
