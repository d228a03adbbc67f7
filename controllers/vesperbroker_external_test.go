package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/brokerprobe"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
)

func TestAnExternalBrokersMissingSecretIsNamedAndWaitedFor(t *testing.T) {
	c, prober := newCluster(t), &fakeProber{}
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: prober})
	c.mustCreate(t, externalBroker("mq-login", "mq.example.org:61613"))
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCredentialsMissing, "Secret mq-login does not exist")
	if b.Status.CredentialsSecret != "mq-login" || b.Status.Type != v1alpha1.BrokerTypeExternal || !slices.Equal(b.Status.Hosts, []string{"mq.example.org:61613"}) {
		t.Errorf("status %+v, want what nodes need to know of the spec", b.Status)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "mq-login"}, StringData: map[string]string{"username": "u"}}
	c.mustCreate(t, secret)
	c.wantBroker(t, v1alpha1.ConditionCredentialsReady, metav1.ConditionFalse, v1alpha1.ReasonCredentialsMissing, "no key password")
	if asked, _, _, _ := prober.lastAsked(); asked != 0 {
		t.Errorf("the broker was asked %d times without credentials", asked)
	}
	secret.StringData = map[string]string{"password": "p"}
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "mq.example.org:61613 answered")
	if _, _, login, _ := prober.lastAsked(); login != (stomp.Credentials{Login: "u", Passcode: "p"}) {
		t.Error("the broker was not asked with the Secret's credentials")
	}
	if writes := op.quietFor(time.Second); len(writes) > 0 {
		t.Errorf("writes at rest: %v", writes)
	}
}

func TestAnExternalBrokerThatRefusesTheLoginStalls(t *testing.T) {
	c, prober := newCluster(t), &fakeProber{}
	prober.say(brokerprobe.Answer{Refused: "User name [] or password is invalid."})
	c.runBrokers(t, &VesperBrokerReconciler{Prober: prober})
	c.mustCreate(t, externalBroker("", "a:1", "b:2"))
	c.wantBroker(t, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonBrokerRefused, "b:2 refused the login: User name")
	if _, hosts, _, noLogin := prober.lastAsked(); !slices.Equal(hosts, []string{"a:1", "b:2"}) || !noLogin {
		t.Errorf("asked %v, without login: %v; want both without", hosts, noLogin)
	}
}

func TestTheVirtualHostIsAskedForAndNodesAreToldOfIt(t *testing.T) {
	c, prober := newCluster(t), &fakeProber{}
	c.runBrokers(t, &VesperBrokerReconciler{Prober: prober})
	b := externalBroker("", "a:1")
	b.Spec.External.VirtualHost = "shop"
	c.mustCreate(t, b)
	b = c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "a:1 answered")
	prober.mu.Lock()
	defer prober.mu.Unlock()
	if b.Status.VirtualHost != "shop" || prober.virtual != "shop" {
		t.Errorf("status has virtual host %q, the broker was asked for %q; want shop", b.Status.VirtualHost, prober.virtual)
	}
}

func TestAnExternalBrokerIsAskedOverTheNetwork(t *testing.T) {
	server, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	c := newCluster(t)
	c.runBrokers(t, &VesperBrokerReconciler{})
	c.mustCreate(t, externalBroker("", "127.0.0.1:1", server.Addr()))
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "127.0.0.1:1 did not answer: connection refused")
	if !strings.HasPrefix(b.Status.Server, "Vesper/") {
		t.Errorf("server %q, want what the broker calls itself", b.Status.Server)
	}
}
