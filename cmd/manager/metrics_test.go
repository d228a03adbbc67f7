package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// token is a new token of a ServiceAccount that is made here.
func token(t *testing.T, c client.Client, account string) string {
	t.Helper()
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account, Namespace: home}}
	create(t, c, object)
	request := &authenticationv1.TokenRequest{}
	if err := c.SubResource("token").Create(t.Context(), object, request); err != nil {
		t.Fatalf("asking for a token of %s: %v", account, err)
	}
	return request.Status.Token
}

// scrape reads a path of the metrics' address as a client with that header does.
func scrape(t *testing.T, url, authorization string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // its certificate is its own
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func TestSecureMetricsAreForThoseWhomRBACAllowsToGetThem(t *testing.T) {
	cfg, c := startAPIServer(t)
	install(t, c, "role.yaml", &rbacv1.ClusterRole{})
	install(t, c, "role_binding.yaml", &rbacv1.ClusterRoleBinding{})
	install(t, c, "leader_election.yaml", &rbacv1.Role{}, &rbacv1.RoleBinding{})
	create(t, c, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "vesper-operator-metrics-auth"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "vesper-operator", Namespace: home}}})
	reader, stranger := token(t, c, "reader"), token(t, c, "stranger")
	create(t, c, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "metrics"},
		Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}})
	create(t, c, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "metrics"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "metrics"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "reader", Namespace: home}}})

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	startOperator(t, cfg, "--metrics-secure", "--metrics-bind-address="+l.Addr().String())
	url := "https://" + l.Addr().String()
	eventually(t, "metrics to be served", func() error {
		_, _, err := scrape(t, url+"/metrics", "")
		return err
	})
	for _, test := range []struct {
		name, path, authorization string
		status                    int
		says                      string
	}{
		{"nobody", "/metrics", "", http.StatusUnauthorized, "Authorization: Bearer TOKEN"},
		{"another scheme", "/metrics", "Basic " + reader, http.StatusUnauthorized, "Authorization: Bearer TOKEN"},
		{"an unknown token", "/metrics", "Bearer abc.def.ghi", http.StatusUnauthorized, "may have expired"},
		{"a reader", "/metrics", "Bearer " + reader, http.StatusOK, "controller_runtime_"},
		{"a reader, from what is kept", "/metrics", "bearer " + reader, http.StatusOK, "controller_runtime_"},
		{"a stranger", "/metrics", "Bearer " + stranger, http.StatusForbidden, "nonResourceURLs [/metrics]"},
		{"a stranger, from what is kept", "/metrics", "Bearer " + stranger, http.StatusForbidden, "system:serviceaccount:vesper-system:stranger"},
	} {
		status, body, err := scrape(t, url+test.path, test.authorization)
		if err != nil || status != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d %q (%v), want %d with %q", test.name, status, body[:min(len(body), 200)], err, test.status, test.says)
		}
	}
}

func TestTokensThatAreTriedDoNotFillTheMemory(t *testing.T) {
	d := &doorkeeper{kept: map[request]decision{}}
	for i := range 10 * reviewsKept {
		d.keep(request{path: fmt.Sprint(i)}, &decision{status: http.StatusUnauthorized})
		if len(d.kept) > reviewsKept {
			t.Fatalf("%d decisions are kept, want at most %d", len(d.kept), reviewsKept)
		}
	}
}

func TestADecisionIsAskedForAgainAfterAWhile(t *testing.T) {
	d := &doorkeeper{kept: map[request]decision{}}
	for path, status := range map[string]int{"/let": http.StatusOK, "/not": http.StatusForbidden} {
		asked := request{path: path}
		d.keep(asked, &decision{status: status})
		kept, ok := d.recall(asked)
		if !ok || time.Until(kept.until) > allowedFor || status != http.StatusOK && time.Until(kept.until) > deniedFor {
			t.Errorf("%s is kept until %v (%v)", path, kept.until, ok)
		}
		kept.until = time.Now().Add(-time.Second)
		d.kept[asked] = kept
		if _, ok := d.recall(asked); ok {
			t.Errorf("the decision on %s is used after its time", path)
		}
	}
}
