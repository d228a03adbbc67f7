package main

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Counts are the requests of the operator to the API server in some period.
// Writes are all that could change something, also those that the API server
// refused and those of events, without what is about who leads.
type Counts struct {
	Writes int `json:"writes"`
	// Events are those of the writes that are about events.
	Events int `json:"events"`
	// NoOps are the writes that were taken and changed nothing.
	NoOps int `json:"noOps"`
	// Refused are the writes that were answered with an error, such as conflicts.
	Refused int `json:"refused"`
	Reads   int `json:"reads"`
	Watches int `json:"watches"`
	// Leader are requests about who leads: of the Lease, and of events about it.
	Leader int `json:"leader"`
	// Requests are all of them by verb and resource, NoOp those of the no-op writes.
	Requests map[string]int `json:"requests,omitempty"`
	NoOp     map[string]int `json:"noOp,omitempty"`
}

// since returns what has come since before was counted.
func (c Counts) since(before Counts) Counts {
	d := Counts{Writes: c.Writes - before.Writes, Events: c.Events - before.Events, NoOps: c.NoOps - before.NoOps, Refused: c.Refused - before.Refused,
		Reads: c.Reads - before.Reads, Watches: c.Watches - before.Watches, Leader: c.Leader - before.Leader}
	d.Requests, d.NoOp = mapSince(c.Requests, before.Requests), mapSince(c.NoOp, before.NoOp)
	return d
}

func mapSince(now, before map[string]int) map[string]int {
	d := map[string]int{}
	for key, n := range now {
		if n -= before[key]; n > 0 {
			d[key] = n
		}
	}
	return d
}

// counter counts requests. What is about the namespace of the probes is left out.
type counter struct {
	mu     sync.Mutex
	counts Counts
	// newest is the highest resource version that anybody is known to have seen:
	// a write that is answered with it or a lower one has changed nothing, as
	// every change in the whole server gets a higher one.
	newest atomic.Uint64
}

func newCounter() *counter {
	return &counter{counts: Counts{Requests: map[string]int{}, NoOp: map[string]int{}}}
}

// saw notes a resource version that exists.
func (c *counter) saw(version uint64) {
	for {
		newest := c.newest.Load()
		if version <= newest || c.newest.CompareAndSwap(newest, version) {
			return
		}
	}
}

func (c *counter) now() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	counts.Requests, counts.NoOp = maps.Clone(c.counts.Requests), maps.Clone(c.counts.NoOp)
	return counts
}

// outcome is how a write ended.
type outcome int

const (
	changed outcome = iota
	noOp
	refused
)

func (c *counter) count(r request, how outcome) {
	if r.namespace == probes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Requests[r.String()]++
	switch {
	case r.namespace == home:
		c.counts.Leader++
	case r.verb == "watch":
		c.counts.Watches++
	case !r.writes():
		c.counts.Reads++
	default:
		c.write(r, how)
	}
}

func (c *counter) write(r request, how outcome) {
	c.counts.Writes++
	if r.resource == "events" {
		c.counts.Events++
	}
	switch how {
	case changed:
	case refused:
		c.counts.Refused++
	case noOp:
		c.counts.NoOps++
		c.counts.NoOp[r.String()]++
	}
}

// request is what a request to the API server is about.
type request struct {
	verb, namespace, resource, name, subresource string
}

func (r request) String() string {
	if r.subresource != "" {
		return r.verb + " " + r.resource + "/" + r.subresource
	}
	return r.verb + " " + r.resource
}

func (r request) writes() bool {
	switch r.verb {
	case "get", "list", "watch":
		return false
	}
	return true
}

// requestOf reads a request's method and URL, such as
// PATCH /apis/apps/v1/namespaces/shop/statefulsets/core-1/status.
func requestOf(h *http.Request) request {
	parts := strings.Split(strings.Trim(h.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default: // discovery
		return request{verb: verbOf(h, true), resource: "discovery"}
	}
	r := request{}
	if len(parts) > 2 && parts[0] == "namespaces" {
		r.namespace, parts = parts[1], parts[2:]
	}
	r.resource = parts[0]
	if len(parts) > 1 {
		r.name = parts[1]
	}
	if len(parts) > 2 {
		r.subresource = parts[2]
	}
	r.verb = verbOf(h, r.name != "")
	return r
}

func verbOf(h *http.Request, named bool) string {
	switch h.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		return "delete"
	case http.MethodPatch:
		if strings.HasPrefix(h.Header.Get("Content-Type"), "application/apply-patch") {
			return "apply"
		}
		return "patch"
	}
	switch watch := h.URL.Query().Get("watch"); {
	case watch == "true" || watch == "1":
		return "watch"
	case named:
		return "get"
	}
	return "list"
}
