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
	// Status returns what the node at address, host:port, answers to GET
	// /v1/status. The error says what was tried on which address.
	Status(ctx context.Context, address string) (nodestatus.Status, error)
}

const (
	// timeout bounds one question, whatever the caller's context says.
	timeout = 2 * time.Second
	// maxAnswer bounds what is read of an answer: a thousand peers with
	// revisions of a thousand branches would be some 9 MB.
	maxAnswer = 16 << 20
)

// Client is a Reader over HTTP. Its zero value is not usable; see New.
type Client struct {
	http *http.Client
}

// New returns a Client that keeps no idle connection longer than a moment, and
// ignores the environment's proxies: nodes are in the same cluster.
func New() *Client {
	return &Client{http: &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: timeout}).DialContext,
			MaxIdleConns:        100,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the node answered with a redirect")
		},
	}}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status implements Reader.
func (c *Client) Status(ctx context.Context, address string) (nodestatus.Status, error) {
	status, err := c.get(ctx, "http://"+address+"/v1/status")
	if err != nil {
		return nodestatus.Status{}, fmt.Errorf("asking the node at %s for its status: %w", address, err)
	}
	return status, nil
}

func (c *Client) get(ctx context.Context, url string) (status nodestatus.Status, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return status, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return status, cause(err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing was written
	if response.StatusCode != http.StatusOK {
		return status, fmt.Errorf("it answered %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return status, fmt.Errorf("reading its answer: %w", cause(err))
	}
	if len(body) > maxAnswer {
		return status, fmt.Errorf("its answer is longer than %d bytes", maxAnswer)
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return nodestatus.Status{}, fmt.Errorf("its answer is not a status: %w", err)
	}
	return status, nil
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
