package nodeaccess

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/certtest"
)

const own = "the-operators-own-token-of-32-ch"

// guarded is a node with everything, and Secrets that have all that it needs.
func guarded(t *testing.T) (*v1alpha1.VesperNode, Secrets) {
	t.Helper()
	node := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0a", Namespace: "prod"}}
	node.Spec.Access = &v1alpha1.Access{Tokens: []v1alpha1.AccessToken{
		{Name: "shop", Role: v1alpha1.AccessWrite, SecretKeyRef: v1alpha1.SecretKeyReference{Name: "tokens", Key: "shop"}},
		{Name: "report", Role: v1alpha1.AccessRead, SecretKeyRef: v1alpha1.SecretKeyReference{Name: "tokens", Key: "report"}},
	}}
	node.Spec.TLS = &v1alpha1.NodeTLS{SecretRef: v1alpha1.LocalReference{Name: "cert"}, ClientSecretRef: &v1alpha1.LocalReference{Name: "clients"}}
	ca, clients := certtest.NewCA(t), certtest.NewCA(t)
	cert, key := ca.Issue(t, "shop.prod.svc")
	mine, mineKey := clients.Issue(t, "operator")
	return node, Secrets{
		"tokens":  {"shop": []byte("0123456789abcdef\n"), "report": []byte("# of June\nfedcba9876543210\n")},
		"cert":    {"tls.crt": cert, "tls.key": key, "ca.crt": ca.PEM},
		"clients": {"tls.crt": mine, "tls.key": mineKey, "ca.crt": clients.PEM},
	}
}

func TestEverySecretThatASpecNamesIsNeeded(t *testing.T) {
	node, secrets := guarded(t)
	if got, want := Needed(node.Spec), []string{"cert", "clients", "tokens"}; !slices.Equal(got, want) {
		t.Errorf("needed are %v, want %v", got, want)
	}
	if got := Needed(v1alpha1.VesperNodeSpec{}); len(got) != 0 {
		t.Errorf("a node without access needs %v", got)
	}
	for _, name := range Needed(node.Spec) {
		without := Secrets{}
		for n, data := range secrets {
			if n != name {
				without[n] = data
			}
		}
		if _, p := For(node, "shop", own, without); p == nil || p.Reason != v1alpha1.ReasonSecretMissing || !strings.Contains(p.Message, "Secret "+name+" does not exist") {
			t.Errorf("without Secret %s the problem is %+v", name, p)
		}
	}
}

func TestTheOperatorIsHeardByWhatTheSecretsHold(t *testing.T) {
	node, secrets := guarded(t)
	heard, p := For(node, "shop", own, secrets)
	if p != nil {
		t.Fatal(p)
	}
	if heard.Token != own || heard.Roots != string(secrets["cert"]["ca.crt"]) || heard.Cert != string(secrets["clients"]["tls.crt"]) ||
		heard.Names != "shop-core-0a.prod.svc,shop-core-0a.prod.svc.cluster.local,shop.prod.svc,shop.prod.svc.cluster.local" {
		t.Errorf("heard by token %v, roots %q, names %q", heard.Token == own, heard.Roots, heard.Names)
	}
	delete(secrets["cert"], "ca.crt")
	if heard, p = For(node, "shop", own, secrets); p != nil || heard.Roots != string(secrets["cert"]["tls.crt"]) {
		t.Errorf("without a CA: problem %v, roots %q, want the certificate itself", p, heard.Roots)
	}
	node.Spec.TLS, node.Spec.Access = nil, &v1alpha1.Access{Anonymous: v1alpha1.AccessRead}
	if heard, p = For(node, "shop", own, nil); p != nil || heard.Secure() || heard.Token != own {
		t.Errorf("with anonymous readers alone: problem %v, %v, token %v", p, heard, heard.Token == own)
	}
}

// TestWhatANodeWouldNotStartWithIsRefusedFirst: each is a mistake of a tired person.
func TestWhatANodeWouldNotStartWithIsRefusedFirst(t *testing.T) {
	other := certtest.NewCA(t)
	foreign, foreignKey := other.Issue(t, "lab.prod.svc")
	for _, test := range []struct {
		name         string
		change       func(*v1alpha1.VesperNode, Secrets)
		reason, says string
	}{
		{"no such key", func(_ *v1alpha1.VesperNode, s Secrets) { delete(s["tokens"], "shop") }, v1alpha1.ReasonSecretMissing, "has no key shop"},
		{"short token", func(_ *v1alpha1.VesperNode, s Secrets) { s["tokens"]["shop"] = []byte("hush") }, v1alpha1.ReasonTokenUnusable, "the token of shop: line 1: a token has 16 to 512 characters, this has 4"},
		{"nothing but a remark", func(_ *v1alpha1.VesperNode, s Secrets) { s["tokens"]["shop"] = []byte("# later\n") }, v1alpha1.ReasonTokenUnusable, "holds no token"},
		{"one token of two", func(_ *v1alpha1.VesperNode, s Secrets) { s["tokens"]["shop"] = s["tokens"]["report"] }, v1alpha1.ReasonTokenUnusable, "have the same token"},
		{"the operator's", func(_ *v1alpha1.VesperNode, s Secrets) { s["tokens"]["shop"] = []byte(own) }, v1alpha1.ReasonTokenUnusable, "vesper-operator"},
		{"another's key", func(_ *v1alpha1.VesperNode, s Secrets) { s["cert"]["tls.key"] = foreignKey }, v1alpha1.ReasonCertificateUnusable, "no certificate and its key"},
		{"not PEM", func(_ *v1alpha1.VesperNode, s Secrets) { s["cert"]["tls.crt"] = []byte("x") }, v1alpha1.ReasonCertificateUnusable, "Secret cert"},
		{"another name", func(_ *v1alpha1.VesperNode, s Secrets) {
			s["cert"] = map[string][]byte{"tls.crt": foreign, "tls.key": foreignKey}
		}, v1alpha1.ReasonCertificateUnusable, "is for lab.prod.svc and not for shop-core-0a.prod.svc"},
		{"another serverName", func(n *v1alpha1.VesperNode, _ Secrets) { n.Spec.TLS.ServerName = "db.example.org" }, v1alpha1.ReasonCertificateUnusable, "not for db.example.org"},
		{"a CA that is none", func(_ *v1alpha1.VesperNode, s Secrets) { s["cert"]["ca.crt"] = []byte("x") }, v1alpha1.ReasonCertificateUnusable, "its key ca.crt"},
		{"no client certificate", func(_ *v1alpha1.VesperNode, s Secrets) { delete(s["clients"], "tls.crt") }, v1alpha1.ReasonSecretMissing, "Secret clients has no key tls.crt"},
		{"a client certificate of another CA", func(_ *v1alpha1.VesperNode, s Secrets) { s["clients"]["ca.crt"] = other.PEM }, v1alpha1.ReasonCertificateUnusable, "refuse the operator's client certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			node, secrets := guarded(t)
			test.change(node, secrets)
			heard, p := For(node, "shop", own, secrets)
			if p == nil || p.Reason != test.reason || !strings.Contains(p.Message, test.says) {
				t.Fatalf("problem is %+v, want %s and %q", p, test.reason, test.says)
			}
			if heard.Token != "" || heard.Secure() {
				t.Error("the operator is heard all the same")
			}
			for _, secret := range []string{own, "0123456789abcdef", "fedcba9876543210", "hush", "PRIVATE"} {
				if strings.Contains(p.Message, secret) {
					t.Errorf("the message shows a secret: %s", p.Message)
				}
			}
		})
	}
}

func TestACertificateForEveryNodeOfANamespaceIsEnough(t *testing.T) {
	node, secrets := guarded(t)
	cert, key := certtest.NewCA(t).Issue(t, "*.prod.svc")
	secrets["cert"] = map[string][]byte{"tls.crt": cert, "tls.key": key}
	for _, cluster := range []string{"shop", ""} {
		if _, p := For(node, cluster, own, secrets); p != nil {
			t.Errorf("cluster %q: %v", cluster, p)
		}
	}
}
