package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// How long an answer of the API server holds, how long one may take, and how
// many are kept: more than a few clients that read metrics are not expected.
const (
	allowedFor    = time.Minute
	deniedFor     = 10 * time.Second
	reviewTimeout = 10 * time.Second
	reviewsKept   = 256
)

// doorkeeper lets those read metrics whose token the API server knows and whom
// RBAC allows to get the path. The filter that comes with controller-runtime does
// the same, and brings the libraries of a whole API server into the program.
type doorkeeper struct {
	tokens authenticationclient.TokenReviewInterface
	access authorizationclient.SubjectAccessReviewInterface

	mu   sync.Mutex
	kept map[request]decision
}

// request is what a decision is about. Of the token only a digest is kept.
type request struct {
	token      [sha256.Size]byte
	verb, path string
}

// decision is what somebody is answered, until it must be asked again.
type decision struct {
	status int // 200 lets pass
	why    string
	until  time.Time
}

func guardMetrics(cfg *rest.Config, httpClient *http.Client) (metricsserver.Filter, error) {
	tokens, err := authenticationclient.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making a client for token reviews: %w", err)
	}
	access, err := authorizationclient.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making a client for access reviews: %w", err)
	}
	d := &doorkeeper{tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews(), kept: map[request]decision{}}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			decided, err := d.decide(r)
			if err != nil {
				log.Error(err, "Could not ask the API server who may read metrics", "path", r.URL.Path)
				http.Error(w, "the API server could not be asked whether you may: the operator's log has more", http.StatusInternalServerError)
				return
			}
			if decided.status != http.StatusOK {
				if decided.status == http.StatusUnauthorized {
					w.Header().Set("WWW-Authenticate", "Bearer")
				}
				http.Error(w, decided.why, decided.status)
				return
			}
			next.ServeHTTP(w, r)
		}), nil
	}, nil
}

// decide answers from what is kept, or asks the API server.
func (d *doorkeeper) decide(r *http.Request) (decision, error) {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return decision{status: http.StatusUnauthorized,
			why: `metrics need the token of a ServiceAccount: send it as "Authorization: Bearer TOKEN"`}, nil
	}
	asked := request{token: sha256.Sum256([]byte(token)), verb: strings.ToLower(r.Method), path: r.URL.Path}
	if kept, ok := d.recall(asked); ok {
		return kept, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
	defer cancel()
	decided, err := d.ask(ctx, token, asked)
	if err != nil {
		return decision{}, err
	}
	d.keep(asked, &decided)
	return decided, nil
}

func (d *doorkeeper) ask(ctx context.Context, token string, asked request) (decision, error) {
	review, err := d.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return decision{}, fmt.Errorf("reviewing a token: %w", err)
	}
	if !review.Status.Authenticated {
		return decision{status: http.StatusUnauthorized, why: "the API server does not know this token: it may have expired"}, nil
	}
	user := review.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	may, err := d.access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: asked.path, Verb: asked.verb},
	}}, metav1.CreateOptions{})
	if err != nil {
		return decision{}, fmt.Errorf("reviewing the access of %s to %s: %w", user.Username, asked.path, err)
	}
	if !may.Status.Allowed {
		return decision{status: http.StatusForbidden, why: fmt.Sprintf("%s may not %s %s: bind it to a ClusterRole with nonResourceURLs [%s] and verbs [%s]",
			user.Username, asked.verb, asked.path, asked.path, asked.verb)}, nil
	}
	return decision{status: http.StatusOK}, nil
}

func (d *doorkeeper) recall(asked request) (decision, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, ok := d.kept[asked]
	return kept, ok && time.Now().Before(kept.until)
}

// keep remembers a decision, and forgets all when they are many: those who try
// tokens cannot fill the memory.
func (d *doorkeeper) keep(asked request, decided *decision) {
	decided.until = time.Now().Add(deniedFor)
	if decided.status == http.StatusOK {
		decided.until = time.Now().Add(allowedFor)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.kept) >= reviewsKept {
		clear(d.kept)
	}
	d.kept[asked] = *decided
}
