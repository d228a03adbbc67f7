package rabbitmqtest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func answers(t *testing.T, b *Broker) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return probe(ctx, b.Addr()) == nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBrokerKeepsPortOverKillFreezeAndStopAndLeavesNothing(t *testing.T) {
	var b *Broker
	t.Run("life", func(t *testing.T) {
		b = Start(t)
		addr := b.Addr()
		if !answers(t, b) {
			t.Fatal("a started broker does not answer CONNECT")
		}
		if err := b.Start(); err == nil {
			t.Error("starting a running broker succeeded")
		}
		out, err := b.Control(t.Context(), "status")
		if err != nil || !strings.Contains(out, "rabbitmq_stomp") {
			t.Errorf("status: %v %s", err, out)
		}
		must(t, b.Freeze())
		if answers(t, b) {
			t.Error("a frozen broker answers CONNECT")
		}
		must(t, b.Thaw())
		must(t, b.Kill())
		if answers(t, b) {
			t.Error("a killed broker answers CONNECT")
		}
		must(t, b.Start())
		must(t, b.Stop())
		must(t, b.Start())
		if b.Addr() != addr || !answers(t, b) {
			t.Errorf("after restarts the broker is at %s, before at %s", b.Addr(), addr)
		}
	})
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
