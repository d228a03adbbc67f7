package server

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

const (
	// headerPeers is how many peers are known to have a write that waited for them.
	headerPeers = "Vesper-Peers"
	// The bounds of wait and timeout.
	maxWait        = 1000
	defaultTimeout = 5 * time.Second
	maxTimeout     = 2 * time.Minute
)

// waiting is what a write waits for beyond its own disk.
type waiting struct {
	peers   int
	timeout time.Duration
}

// replicated says in the answer to a write how far it has come. Whatever it
// says, the write is kept: peers that do not have it yet get it later.
type replicated struct {
	// Wanted is how many peers were waited for, Peers are those known to have it.
	Wanted int         `json:"wanted"`
	Peers  []branch.ID `json:"peers"`
	// Enough is false when the time was over before Wanted peers had it.
	Enough bool `json:"enough"`
}

// parseWaiting reads the parameters wait and timeout.
func parseWaiting(params url.Values) (out waiting, err error) {
	out.timeout = defaultTimeout
	if params.Has("wait") {
		out.peers, err = strconv.Atoi(params.Get("wait"))
		if err != nil || out.peers < 0 || out.peers > maxWait {
			return out, problem(kindBadRequest, "wait: %q is not a number of peers from 0 to %d", params.Get("wait"), maxWait)
		}
	}
	if !params.Has("timeout") {
		return out, nil
	}
	if !params.Has("wait") {
		return out, problem(kindBadRequest, "timeout: given without wait, the number of peers to wait for")
	}
	text := params.Get("timeout")
	if out.timeout, err = time.ParseDuration(text); err != nil || out.timeout < 0 || out.timeout > maxTimeout {
		return out, problem(kindBadRequest, "timeout: %q is not a duration from 0s to %s, such as 500ms or 10s", text, maxTimeout)
	}
	return out, nil
}

// writeQuery checks the query string of a write: wait and timeout besides what
// the write knows itself.
func writeQuery(r *http.Request, known ...string) (url.Values, waiting, error) {
	params, err := query(r, append(known, "wait", "timeout")...)
	if err != nil {
		return nil, waiting{}, err
	}
	wait, err := parseWaiting(params)
	return params, wait, err
}

// await waits for peers to have a commit, and says which do; nil when nothing
// was waited for. It ends early when the client goes or the node stops: then
// the answer says what is known by then.
func (s *Server) await(ctx context.Context, h http.Header, c store.Commit, wait waiting) *replicated {
	if wait.peers == 0 || c.Dot.IsZero() {
		return nil
	}
	out := &replicated{Wanted: wait.peers, Peers: []branch.ID{}}
	if s.deps.AwaitHolders != nil {
		ctx, cancel := context.WithTimeout(ctx, wait.timeout)
		defer cancel()
		defer context.AfterFunc(s.stopping, cancel)()
		if have := s.deps.AwaitHolders(ctx, c.Dot, wait.peers); have != nil {
			out.Peers = have
		}
	}
	out.Enough = len(out.Peers) >= wait.peers
	h.Set(headerPeers, strconv.Itoa(len(out.Peers)))
	return out
}
