package rabbitmqtest

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

// Runner is what runs a package's tests: a *testing.M or what wraps one.
type Runner interface{ Run() int }

// Main is a Runner that ends the shared broker after the tests.
type Main struct{ m Runner }

// Shared is for TestMain of a package whose tests share one broker through Get.
func Shared(m Runner) Main { return Main{m: m} }

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

// Get returns the test binary's one broker and starts it at the first call. Tests that share it use
// destinations and client ids of their own, and one that stops it starts it again. It skips tb when
// RabbitMQ is not installed. The package's TestMain must use Shared, or the broker stays.
func Get(tb testing.TB) *Broker {
	tb.Helper()
	if err := installed(); err != nil {
		tb.Skip(err)
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.broker == nil && shared.err == nil {
		shared.broker, shared.err = start()
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.broker
}
