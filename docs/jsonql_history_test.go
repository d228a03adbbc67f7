package docs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/server"
	"vesperdb.io/vesper/internal/store"
)

// past is one write of a history that examples are about.
type past struct {
	Time            time.Time
	Author, Comment string
	Update          json.RawMessage
}

// sourceWithHistory returns a store in which what is written has a history.
func sourceWithHistory(t *testing.T, text string) (jsonql.Source, error) {
	t.Helper()
	var history []past
	if err := json.Unmarshal([]byte(text), &history); err != nil {
		return nil, err
	}
	var now time.Time
	s, err := store.Open(t.Context(), store.Options{
		Dir: t.TempDir(), Branch: "0A", NoSync: true, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range history {
		now = p.Time
		doc, err := pjson.Parse(p.Update, pjson.Options{})
		if err != nil {
			return nil, fmt.Errorf("what was written at %s: %w", p.Time, err)
		}
		opts := store.WriteOptions{Author: p.Author, Comment: p.Comment}
		if _, err := s.Update(t.Context(), opts, func(tx *store.Tx) error { return tx.Update(doc.Objects) }); err != nil {
			return nil, err
		}
	}
	return viewed(t, s), nil
}

// viewed returns a snapshot of a store that stays until the test ends.
func viewed(t *testing.T, s *store.Store) jsonql.Source {
	t.Helper()
	given, end, ended := make(chan jsonql.Source), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.View(t.Context(), func(rd *store.Reader) error {
			given <- server.QuerySource(rd)
			<-end
			return nil
		})
	}()
	select {
	case src := <-given:
		t.Cleanup(func() {
			close(end)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return src
	case err := <-ended:
		t.Fatal(err)
		return nil
	}
}
