package access

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"vesperdb.io/vesper/internal/nodeconfig"
)

// Guard says whose a request is and what it may do. It is safe for use by many
// goroutines.
type Guard struct {
	anonymous   Role
	openMetrics bool
	tokens      *source[[]held]
	tls         *ServerTLS
	log         *slog.Logger
	refused     *prometheus.CounterVec
	stale       prometheus.GaugeFunc
	quiet       quiet
	every       time.Duration
}

// Denied is a request that was refused.
type Denied struct {
	// Status is 401 when nobody or nobody known asks, 403 when the role is too low.
	Status int
	// Cause is one of a few words, for metrics and logs.
	Cause string
	// Detail says what to do about it. It never holds a token.
	Detail string
	// Challenge is the header WWW-Authenticate.
	Challenge string
}

// Error implements error.
func (d *Denied) Error() string { return d.Detail }

// NewGuard reads the token files. Without tokens and without a word about
// anonymous requests, everybody may do everything. tls may be nil.
func NewGuard(c nodeconfig.Access, tls *ServerTLS, log *slog.Logger) (*Guard, error) {
	g := &Guard{anonymous: Admin, openMetrics: c.OpenMetrics, tls: tls, log: log, every: lookEvery,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vesper_access_refused_total", Help: "Requests refused for want of a token, a certificate or a role, by cause.",
		}, []string{"cause"}),
		quiet: quiet{last: map[string]time.Time{}, now: time.Now},
	}
	g.stale = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vesper_access_files_refused", Help: "Token and TLS files whose new content is not usable, so that the old one is in force.",
	}, func() float64 { return float64(len(g.Trouble())) })
	if len(c.Tokens) > 0 {
		g.anonymous = None
	}
	if c.Anonymous != "" {
		role, err := ParseRole(c.Anonymous)
		if err != nil {
			return nil, fmt.Errorf("access.anonymous: %w", err)
		}
		g.anonymous = role
	}
	return g, g.loadTokens(c.Tokens)
}

func (g *Guard) loadTokens(list []nodeconfig.Token) (err error) {
	if len(list) == 0 {
		return nil
	}
	files := make([]string, len(list))
	principals := make([]Principal, len(list))
	for i, t := range list {
		role, err := ParseRole(t.Role)
		if err != nil {
			return fmt.Errorf("the role of token %s: %w", t.Name, err)
		}
		files[i], principals[i] = t.File, Principal{t.Name, role}
	}
	g.tokens, err = newSource("the access tokens", files, func(contents [][]byte) ([]held, error) {
		all := make([]held, len(contents))
		for i, text := range contents {
			digests, err := parseTokens(text)
			if err != nil {
				return nil, fmt.Errorf("%s, of %s: %w", files[i], principals[i].Name, err)
			}
			all[i] = held{principals[i], digests}
		}
		return all, distinct(all)
	})
	return err
}

// Collectors are the guard's metrics.
func (g *Guard) Collectors() []prometheus.Collector {
	return []prometheus.Collector{g.refused, g.stale}
}

// Follow reads tokens and certificates again whenever their files change, until
// ctx ends.
func (g *Guard) Follow(ctx context.Context) { follow(ctx, g.log, g.sources(), g.every) }

func (g *Guard) sources() []watcher {
	var out []watcher
	if g.tokens != nil {
		out = append(out, g.tokens)
	}
	if g.tls != nil {
		out = append(out, g.tls.source)
	}
	return out
}

// Trouble says which files are not in force, and why; nil when all are.
func (g *Guard) Trouble() []string {
	var out []string
	for _, s := range g.sources() {
		if fault := s.trouble(); fault != "" {
			out = append(out, fault)
		}
	}
	return out
}

// MetricsRole is the role that reading the metrics takes.
func (g *Guard) MetricsRole() Role {
	if g.openMetrics {
		return None
	}
	return Read
}

// Principal says whose a request is. A token that is given must be right, also
// where none is needed: who mistypes it should not write under nobody's name.
func (g *Guard) Principal(r *http.Request) (Principal, error) {
	if g.tls != nil && g.tls.clientCA && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return Principal{}, g.deny(r, &Denied{Status: http.StatusUnauthorized, Cause: "no-certificate", Challenge: "Bearer",
			Detail: "the connection has no client certificate: give one that the node's client CA signed"})
	}
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 || g.tokens == nil {
		return Principal{Role: g.anonymous}, nil
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.Trim(token, " \t")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " \t") {
		return Principal{}, g.deny(r, &Denied{Status: http.StatusUnauthorized, Cause: "bad-header",
			Challenge: `Bearer error="invalid_request"`,
			Detail:    "the header Authorization is not understood: send it once, as Authorization: Bearer TOKEN"})
	}
	p, ok := match(g.tokens.get(), token)
	if !ok {
		return Principal{}, g.deny(r, &Denied{Status: http.StatusUnauthorized, Cause: "unknown-token",
			Challenge: `Bearer error="invalid_token"`, Detail: "the token is none of this node's: it may have been replaced, send the one that counts now"})
	}
	return p, nil
}

// Require returns nil if p has the role, and else a *Denied.
func (g *Guard) Require(r *http.Request, p Principal, role Role) error {
	switch {
	case p.Role >= role:
		return nil
	case p.Name == "":
		return g.deny(r, &Denied{Status: http.StatusUnauthorized, Cause: "no-token", Challenge: "Bearer",
			Detail: fmt.Sprintf("this takes a token of role %s: send the header Authorization: Bearer TOKEN", role)})
	}
	return g.deny(r, &Denied{Status: http.StatusForbidden, Cause: "role-too-low",
		Challenge: fmt.Sprintf(`Bearer error="insufficient_scope", scope="%s"`, role),
		Detail:    fmt.Sprintf("this takes the role %s, and the token %s has the role %s", role, p.Name, p.Role)})
}

// deny counts and logs, the same cause from the same address once a minute.
func (g *Guard) deny(r *http.Request, d *Denied) error {
	g.refused.WithLabelValues(d.Cause).Inc()
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if g.quiet.speak(d.Cause + " " + host) {
		g.log.Warn("Refused a request", "cause", d.Cause, "remote", host, "method", r.Method, "path", r.URL.EscapedPath(), "detail", d.Detail)
	}
	return d
}

const (
	// sayAgain is how long the same refusal is not logged again.
	sayAgain = time.Minute
	// maxRemembered bounds the addresses remembered. When there are more within
	// sayAgain, the rest is only counted.
	maxRemembered = 1024
)

// quiet bounds how often the same is said.
type quiet struct {
	mu   sync.Mutex
	last map[string]time.Time
	now  func() time.Time
}

func (q *quiet) speak(what string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if last, ok := q.last[what]; ok && now.Sub(last) < sayAgain {
		return false
	}
	if len(q.last) >= maxRemembered {
		for k, last := range q.last {
			if now.Sub(last) >= sayAgain {
				delete(q.last, k)
			}
		}
	}
	if len(q.last) >= maxRemembered {
		return false
	}
	q.last[what] = now
	return true
}

// Causes are all that vesper_access_refused_total counts by.
func Causes() []string {
	return slices.Clone([]string{"no-certificate", "bad-header", "unknown-token", "no-token", "role-too-low"})
}
