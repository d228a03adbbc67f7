package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/resources"
)

// nodes are the processes of the nodes, as far as the operator talks to them:
// each has a loopback address of its own and answers for its status there.
type nodes struct {
	fleet  *fleet
	server *http.Server
	net    byte // the addresses are 127.net.x.y
	asked  atomic.Int64

	mu        sync.Mutex
	addresses map[types.NamespacedName]string
	at        map[string]*process // by address
}

// process is a node's process, which runs while up.
type process struct {
	node     types.NamespacedName
	up       bool
	draining bool
	started  time.Time
	asked    bool // since forgetAsked
}

func newNodes(fleet *fleet) *nodes {
	n := &nodes{fleet: fleet, net: byte(64 + rand.IntN(128)), addresses: map[types.NamespacedName]string{}, at: map[string]*process{}} //nolint:gosec // no secret
	routes := http.NewServeMux()
	routes.HandleFunc("GET /v1/status", n.status)
	routes.HandleFunc("POST /v1/drain", n.drain(true))
	routes.HandleFunc("DELETE /v1/drain", n.drain(false))
	n.server = &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	return n
}

func (n *nodes) close() error { return n.server.Close() }

// start makes a node's process run and returns its address.
func (n *nodes) start(node types.NamespacedName) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	address, known := n.addresses[node]
	if !known {
		count := len(n.addresses)
		address = fmt.Sprintf("127.%d.%d.%d", n.net, count/250, count%250+1)
		l, err := net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(resources.NodePort))) //nolint:noctx // it does not wait
		if err != nil {
			return "", fmt.Errorf("listening as node %s: %w (does another program serve all addresses of this machine there?)", node, err)
		}
		n.addresses[node], n.at[address] = address, &process{node: node}
		go func() { _ = n.server.Serve(l) }()
	}
	process := n.at[address]
	process.up, process.started = true, time.Now()
	return address, nil
}

// stop ends a node's process. That it drains outlives it.
func (n *nodes) stop(node types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if process := n.at[n.addresses[node]]; process != nil {
		process.up = false
	}
}

// forgetAsked begins anew to note who is asked.
func (n *nodes) forgetAsked() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, process := range n.at {
		process.asked = false
	}
}

// notAsked counts the nodes that run and were not asked since forgetAsked.
func (n *nodes) notAsked() (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, process := range n.at {
		if process.up && !process.asked {
			count++
		}
	}
	return count
}

// find returns a copy of the process that a request came to; nil when none runs.
func (n *nodes) find(r *http.Request, change func(*process)) (process, error) {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return process{}, errors.New("the request came to no address")
	}
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return process{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	found := n.at[host]
	if found == nil || !found.up {
		return process{}, errors.New("no node runs at " + host)
	}
	change(found)
	return *found, nil
}

func (n *nodes) drain(draining bool) http.HandlerFunc {
	return func(out http.ResponseWriter, in *http.Request) {
		if _, err := n.find(in, func(p *process) { p.draining = draining }); err != nil {
			http.Error(out, err.Error(), http.StatusBadGateway)
		}
	}
}

func (n *nodes) status(out http.ResponseWriter, in *http.Request) {
	n.asked.Add(1)
	found, err := n.find(in, func(p *process) { p.asked = true })
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadGateway)
		return
	}
	node, mates, known := n.fleet.of(found.node)
	if !known {
		http.Error(out, "nobody knows the node", http.StatusBadGateway)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(statusOf(node.branch, mates, found)) // who asked is gone
}

// statusOf is what a node says that has all that any of them wrote, which is nothing yet.
func statusOf(id branch.ID, mates []branch.ID, found process) nodestatus.Status {
	status := nodestatus.Status{Version: "v1", Branch: id, Trunk: "0A", Ready: true, Reason: nodestatus.ReasonReady, Writable: !found.draining,
		Draining: found.draining, Incarnation: "i-" + string(id), Started: found.started, Storage: nodestatus.Storage{Bytes: 65536, Free: 1 << 30},
		Links: []nodestatus.Link{{Name: "main", Channel: "c", Connected: true, Subscribed: true, CaughtUp: true}}}
	slices.Sort(mates)
	for _, mate := range mates {
		if mate != id {
			status.Peers = append(status.Peers, nodestatus.Peer{Branch: mate, Incarnation: "i-" + string(mate), LastSeen: time.Now()})
		}
	}
	return status
}
