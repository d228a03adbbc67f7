package subscriptions

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// scripted answers each attempt with the next error; without one it waits for its end.
type scripted struct{ answers chan error }

func (s scripted) Drop(ctx context.Context, _ Subscription) error {
	select {
	case err := <-s.answers:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func background(t *testing.T, d Dropper) (*Background, chan types.NamespacedName) {
	t.Helper()
	ended := make(chan types.NamespacedName, 10)
	b := NewBackground(d, func(_ context.Context, cluster types.NamespacedName) { ended <- cluster })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start returned %v", err)
		}
	})
	for running := false; !running; {
		b.mu.Lock()
		running = b.ctx != nil
		b.mu.Unlock()
	}
	return b, ended
}

func TestAnAttemptIsRepeatedAfterAPauseUntilItSucceeds(t *testing.T) {
	d := scripted{make(chan error, 1)}
	b, ended := background(t, d)
	key := Key{Cluster: types.NamespacedName{Namespace: "prod", Name: "shop"}, Broker: "mq", Branch: "0C"}
	away := errors.New("away")
	if _, known := b.Drop(key, Subscription{}, time.Hour); known {
		t.Error("the first attempt has an outcome before it has ended")
	}
	d.answers <- away
	if got := <-ended; got != key.Cluster {
		t.Errorf("the end of %v was told", got)
	}
	if o, known := b.Drop(key, Subscription{}, time.Hour); !known || !errors.Is(o.Err, away) {
		t.Errorf("outcome is %+v, %v", o, known)
	}
	d.answers <- nil // taken by nobody while the pause lasts
	if o, _ := b.Drop(key, Subscription{}, 0); !errors.Is(o.Err, away) {
		t.Errorf("outcome is %+v while the second attempt is under way", o)
	}
	<-ended
	for range 2 { // a success is not repeated
		if o, known := b.Drop(key, Subscription{}, 0); !known || o.Err != nil {
			t.Errorf("outcome is %+v, %v, want a success", o, known)
		}
	}
	b.Forget(key)
	if _, known := b.Drop(key, Subscription{}, time.Hour); known {
		t.Error("a forgotten one is known")
	}
}

func TestOneThatHangsHoldsUpNoOther(t *testing.T) {
	d := scripted{make(chan error)}
	b, ended := background(t, d)
	b.Drop(Key{Broker: "hangs"}, Subscription{}, 0)
	b.Drop(Key{Broker: "goes", Cluster: types.NamespacedName{Name: "shop"}}, Subscription{}, 0)
	d.answers <- nil
	<-ended
}
