package activemqtest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(Shared(m)) }

func answers(t *testing.T, b *Broker) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return probe(ctx, b.Addr()) == nil
}

func TestBrokerKeepsPortAndDataOverKillStopAndRestart(t *testing.T) {
	b := Start(t, Options{})
	addr := b.Addr()
	if !answers(t, b) {
		t.Fatal("a started broker does not answer CONNECT")
	}
	if err := b.Start(); err == nil {
		t.Error("starting a running broker succeeded")
	}
	b.Kill()
	if answers(t, b) {
		t.Error("a killed broker answers CONNECT")
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	if b.Addr() != addr || !answers(t, b) {
		t.Errorf("after a restart the broker is at %s, before at %s", b.Addr(), addr)
	}
	if !strings.Contains(b.Log(), "is shutdown") {
		t.Error("Stop did not let the broker shut down cleanly")
	}
}

func TestFrozenBrokerDoesNotAnswerUntilThawed(t *testing.T) {
	b := Start(t, Options{})
	b.Freeze()
	if answers(t, b) {
		t.Error("a frozen broker answers CONNECT")
	}
	b.Thaw()
	if !answers(t, b) {
		t.Error("a thawed broker does not answer CONNECT")
	}
}

func TestDiscardLeavesNoProcessAndNoDirectory(t *testing.T) {
	var b *Broker
	t.Run("broker's life", func(t *testing.T) { b = Start(t, Options{Users: map[string]string{"a<b": `p"&`}}) })
	if b == nil {
		t.Skip("no broker to discard")
	}
	if answers(t, b) {
		t.Error("the broker outlived its test")
	}
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("the broker's directory outlived its test: %v", err)
	}
}

func TestGetReturnsOneSharedBroker(t *testing.T) {
	first, second := Get(t), Get(t)
	if first != second {
		t.Error("two calls of Get returned two brokers")
	}
	if !answers(t, first) {
		t.Error("the shared broker does not answer")
	}
}

func TestFailedStartSaysWhyAndShowsTheLog(t *testing.T) {
	java, err := installed()
	if err != nil {
		t.Skip(err)
	}
	_, err = start(java, Options{StoreLimit: "much"})
	if err == nil {
		t.Fatal("a broker with a bad configuration started")
	}
	if !strings.Contains(err.Error(), "ended at once") || !strings.Contains(err.Error(), "much") {
		t.Errorf("the error does not show what is wrong: %v", err)
	}
}
