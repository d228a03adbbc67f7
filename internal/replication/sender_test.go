package replication

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// dots lists the changesets of a published message.
func dots(t *testing.T, m sentMessage) (out []string) {
	t.Helper()
	list, err := changeset.Unpack(m.m.Body, changeset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Dot.String())
	}
	return out
}

func cursorOf(t *testing.T, s *fakeStore) uint64 {
	t.Helper()
	at, err := s.Cursor("main")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestDataMessagesAskForPersistenceAndConfirmationAndCarryTheBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 1), Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 1 })
		got := tr.on("CH")[0]
		if m := got.m; !m.Persistent || !m.Confirm || m.TTL != 0 || m.From != "0A" || m.ContentType != changeset.ContentType {
			t.Errorf("message %+v", m)
		}
		if got.to.Kind != Topic {
			t.Errorf("published to %+v", got.to)
		}
	})
}

func TestCursorWaitsForTheOldestConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 0)
		r, tr := soloNode(t, s, Options{})
		waitWritable(t, r)
		for i := 1; i <= 3; i++ {
			if _, err := s.write("x"); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "published", func() bool { return len(tr.on("CH")) == i })
		}
		sent := tr.on("CH")
		sent[1].verdict <- nil // the second and third before the first
		sent[2].verdict <- nil
		time.Sleep(time.Minute)
		if at := cursorOf(t, s); at != 0 {
			t.Fatalf("cursor %d moved over an unconfirmed message", at)
		}
		sent[0].verdict <- nil
		waitFor(t, "cursor moved", func() bool { return cursorOf(t, s) == 3 })
	})
}

func TestRefusedMessageIsSentAgainFromTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 2)
		r, tr := soloNode(t, s, Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 1 })
		tr.on("CH")[0].verdict <- nil
		waitFor(t, "cursor moved", func() bool { return cursorOf(t, s) == 2 })
		waitWritable(t, r)
		if _, err := s.write("x"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 2 })
		tr.on("CH")[1].verdict <- errors.New("the store is full")
		waitFor(t, "published again", func() bool { return len(tr.on("CH")) == 3 })
		if got := dots(t, tr.on("CH")[2]); len(got) != 1 || got[0] != "0A00003" {
			t.Errorf("sent again: %v", got)
		}
		if last := r.Status().Links[0].LastError; !strings.Contains(last, "the store is full") {
			t.Errorf("last error %q", last)
		}
		tr.on("CH")[2].verdict <- nil
		waitFor(t, "cursor moved", func() bool { return cursorOf(t, s) == 3 })
	})
}

func TestMessageThatIsNeverConfirmedIsSentAgainAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 1), Options{ConfirmTimeout: 20 * time.Second})
		start := time.Now()
		waitFor(t, "published twice", func() bool { return len(tr.on("CH")) == 2 })
		if took := time.Since(start); took < 20*time.Second || took > 22*time.Second {
			t.Errorf("sent again after %v", took)
		}
	})
}

func TestUnconfirmedMessagesAreSentAgainAfterAReconnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 3), Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 1 })
		tr.flap()
		waitFor(t, "published again", func() bool { return len(tr.on("CH")) == 2 })
		if got := dots(t, tr.on("CH")[1]); len(got) != 3 {
			t.Errorf("sent again: %v", got)
		}
	})
}

func TestPublishingThatFailsIsTriedAgainWithGrowingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 1), Options{BackoffMin: time.Second, BackoffMax: 4 * time.Second})
		tr.setRefuse(errors.New("no"))
		tr.flap()
		time.Sleep(30 * time.Second)
		if n := len(tr.on("CH")); n > 1 {
			t.Fatalf("%d messages were taken", n)
		}
		tr.setRefuse(nil)
		before := len(tr.on("CH"))
		eventually(t, 5*time.Second, "published", func() bool { return len(tr.on("CH")) > before })
	})
}

func TestOnlyTheOwnBranchIsPublishedAndTheCursorPassesOverTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 1)
		copyAll(t, newFakeStoreWith(t, "0B", 5), s)
		if _, err := s.write("last"); err != nil {
			t.Fatal(err)
		}
		_, tr := soloNode(t, s, Options{})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 1 })
		if got := strings.Join(dots(t, tr.on("CH")[0]), " "); got != "0A00001 0A00002" {
			t.Errorf("published %s", got)
		}
		tr.on("CH")[0].verdict <- nil
		waitFor(t, "cursor at the end", func() bool { return cursorOf(t, s) == 7 })
	})
}

func TestCursorOverOthersChangesetsIsSavedLateAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 0)
		r, err := New(s, []LinkConfig{{Name: "main", Channel: "CH", Transport: newScripted()}}, Options{Logger: quiet(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		copyAll(t, newFakeStoreWith(t, "0B", 5), s)
		time.Sleep(10 * time.Second)
		if at := cursorOf(t, s); at != 0 {
			t.Errorf("cursor %d was saved, at the cost of a commit, for what costs nothing to read again", at)
		}
		time.Sleep(25 * time.Second)
		if at := cursorOf(t, s); at != 5 {
			t.Errorf("cursor %d after 35 s", at)
		}
		copyAll(t, newFakeStoreWith(t, "0C", 2), s)
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if at := cursorOf(t, s); at != 7 {
			t.Errorf("cursor %d after the end", at)
		}
	})
}

func TestManyConfirmationsCostFewCommitsOfTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &countingStore{fakeStore: usedStore(t, 0)}
		b := newFakeBroker(1)
		n := newTestNode(t, b, "0A", Options{Seed: 1})
		n.store = s.fakeStore
		transport := &fakeTransport{b: b, me: "0A"}
		r, err := New(s, []LinkConfig{{Name: "main", Channel: "CH", Transport: transport}}, Options{Logger: quiet(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		waitWritable(t, r)
		for range 500 {
			if _, err := s.write("x"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Millisecond)
		}
		waitFor(t, "all confirmed", func() bool { return cursorOf(t, s.fakeStore) == 500 })
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s.saves > 15 {
			t.Errorf("the cursor was saved %d times in two seconds", s.saves)
		}
	})
}

// countingStore counts how often the cursor is saved.
type countingStore struct {
	*fakeStore
	saves int
}

func (s *countingStore) SetCursor(ctx context.Context, link string, pos uint64) error {
	s.mu.Lock()
	s.saves++
	s.mu.Unlock()
	return s.fakeStore.SetCursor(ctx, link, pos)
}

func TestChangesetLargerThanTheFlushSizeGoesOutAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 1)
		for _, text := range []string{strings.Repeat("large ", 1000), "small", "small"} {
			if _, err := s.write(text); err != nil {
				t.Fatal(err)
			}
		}
		_, tr := soloNode(t, s, Options{FlushBytes: 1000})
		waitFor(t, "published", func() bool { return len(tr.on("CH")) >= 3 })
		if got := dots(t, tr.on("CH")[1]); len(got) != 1 || got[0] != "0A00002" {
			t.Errorf("the second message has %v", got)
		}
	})
}

func TestFeedThatCannotBeReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &brokenFeed{fakeStore: usedStore(t, 1), broken: true}
		transport := newScripted()
		r, err := New(s, []LinkConfig{{Name: "main", Channel: "CH", Transport: transport}}, Options{Logger: quiet(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		waitFor(t, "error shown", func() bool { return strings.Contains(r.Status().Links[0].LastError, "bad page") })
		s.mu.Lock()
		s.broken = false
		s.mu.Unlock()
		waitFor(t, "published", func() bool { return len(transport.on("CH")) == 1 })
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// brokenFeed fails to read the feed while broken.
type brokenFeed struct {
	*fakeStore
	broken bool
}

func (s *brokenFeed) Feed(ctx context.Context, after uint64, maxBytes int) (out []store.FeedEntry, err error) {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return nil, errors.New("bad page")
	}
	return s.fakeStore.Feed(ctx, after, maxBytes)
}

func TestDrainDoesNotBelieveAReadThatBeganBeforeTheLastWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 0)
		r, tr := soloNode(t, s, Options{})
		waitWritable(t, r)
		time.Sleep(time.Second)
		sender := r.links[0].sender
		if _, err := s.write("last"); err != nil {
			t.Fatal(err)
		}
		drained := make(chan error)
		go func() { drained <- sender.drain(t.Context()) }()
		sender.set(func() { sender.empty++ }) // a stale read ends after drain began
		waitFor(t, "published", func() bool { return len(tr.on("CH")) == 1 })
		select {
		case err := <-drained:
			t.Fatalf("drained (%v) before the last write was confirmed", err)
		case <-time.After(time.Second):
		}
		tr.on("CH")[0].verdict <- nil
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}
