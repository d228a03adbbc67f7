package devcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiProxy reaches pods through the API server, which works wherever the
// caller can reach the API server and leaves no port open behind it.
type apiProxy struct {
	client *http.Client
	host   string
}

func newAPIProxy(kubeconfig string) (*apiProxy, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", kubeconfig, err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	client.Timeout = 30 * time.Second
	return &apiProxy{client: client, host: config.Host}, nil
}

// Config returns how to reach the cluster's API server.
func (c *Cluster) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", c.Kubeconfig, err)
	}
	return config, nil
}

// Get reads a path of the API server into a value, without the price of a kubectl.
func (c *Cluster) Get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.proxy.host+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("making request GET %s: %w", path, err)
	}
	data, err := c.proxy.do(req, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading the answer to GET %s: %w", path, err)
	}
	return nil
}

// do sends a request. A status from 400 up is an *HTTPError that names what was asked.
func (p *apiProxy) do(req *http.Request, asked string) ([]byte, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", asked, err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", asked, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, &HTTPError{Method: req.Method, Path: asked, Status: resp.StatusCode, Body: string(data)}
	}
	return data, nil
}

// NodeHTTPPort is the port of a node's HTTP API in its pod.
const NodeHTTPPort = 8000

// HTTPError is an answer of a node with a status from 400 up.
type HTTPError struct {
	Method, Path string
	Status       int
	Body         string
}

// Error names the request and what was answered.
func (e *HTTPError) Error() string {
	return fmt.Sprintf("%s %s answered %d: %s", e.Method, e.Path, e.Status, e.Body)
}

// Node sends one request to the HTTP API of the node in a pod and returns the
// body of the answer. The body sent is v as JSON, or nothing when v is nil. A
// status from 400 up is an *HTTPError.
func (c *Cluster) Node(ctx context.Context, namespace, pod, method, path string, v any) ([]byte, error) {
	return c.ask(ctx, namespace, "pods", pod, method, path, v)
}

// Service is Node for whichever node a Service leads to.
func (c *Cluster) Service(ctx context.Context, namespace, service, method, path string, v any) ([]byte, error) {
	return c.ask(ctx, namespace, "services", service, method, path, v)
}

func (c *Cluster) ask(ctx context.Context, namespace, kind, name, method, path string, v any) ([]byte, error) {
	var body io.Reader
	if v != nil {
		data, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encoding the body of %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	url := fmt.Sprintf("%s/api/v1/namespaces/%s/%s/http:%s:%d/proxy%s", c.proxy.host, namespace, kind, name, NodeHTTPPort, path)
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("making request %s %s: %w", method, path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	return c.proxy.do(req, name+path)
}

// Query runs a jsonQL query on the node in a pod and returns its rows.
func (c *Cluster) Query(ctx context.Context, namespace, pod, query string) ([]json.RawMessage, error) {
	request := map[string]any{"jsonrpc": "2.0", "id": 1, "method": "query", "params": query}
	data, err := c.Node(ctx, namespace, pod, http.MethodPost, "/datarequest", request)
	if err != nil {
		return nil, err
	}
	var answers []struct {
		Result struct {
			Results []json.RawMessage `json:"results"`
			Errors  []any             `json:"errors"`
		} `json:"result"`
		Error *struct {
			Message string `json:"message"`
			Data    any    `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &answers); err != nil || len(answers) != 1 {
		return nil, fmt.Errorf("reading the answer of node %s to query %q: %s (%w)", pod, query, data, err)
	}
	if e := answers[0].Error; e != nil {
		return nil, fmt.Errorf("query %q on node %s: %s: %v", query, pod, e.Message, e.Data)
	}
	if e := answers[0].Result.Errors; len(e) > 0 {
		return nil, fmt.Errorf("query %q on node %s: %v", query, pod, e)
	}
	return answers[0].Result.Results, nil
}

// NamesOf lists resources of a kind by a label selector (all when empty),
// sorted by name.
func (c *Cluster) NamesOf(ctx context.Context, namespace, kind, selector string) ([]string, error) {
	out, err := c.Kubectl(ctx, "get", kind, "-n", namespace, "-l", selector, "-o", "json")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("reading the list of %s: %w", kind, err)
	}
	names := make([]string, 0, len(list.Items))
	for _, item := range list.Items {
		names = append(names, item.Metadata.Name)
	}
	return names, nil
}
