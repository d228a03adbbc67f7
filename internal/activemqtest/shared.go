package activemqtest

import (
	"sync"
	"testing"
)

// shared is the one broker of a test binary.
var shared struct {
	mu     sync.Mutex
	broker *Broker
	err    error
}

// Main is a testing.M that ends the shared broker after the tests, so that it works with
// goleak.VerifyTestMain(activemqtest.Shared(m)).
type Main struct{ m *testing.M }

// Shared is for TestMain of a package whose tests share one broker through Get.
func Shared(m *testing.M) Main { return Main{m: m} }

// Run runs the tests, then ends the shared broker if one was started.
func (m Main) Run() int {
	defer func() {
		shared.mu.Lock()
		defer shared.mu.Unlock()
		if shared.broker != nil {
			shared.broker.discard()
			shared.broker = nil
		}
	}()
	return m.m.Run()
}

// Get returns the test binary's one broker and starts it at the first call. Tests that share it
// must not stop it and must use destinations and client ids of their own. It skips tb when
// ActiveMQ is not installed. The package's TestMain must use Shared, or the broker stays.
func Get(tb testing.TB) *Broker {
	tb.Helper()
	java, err := installed()
	if err != nil {
		tb.Skip(err)
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.broker == nil && shared.err == nil {
		shared.broker, shared.err = start(java, Options{})
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.broker
}
