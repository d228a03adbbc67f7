package store

import (
	"fmt"
	"strings"
	"testing"
)

func TestChangesetBeyondTheLimitIsRefusedAndNothingIsWritten(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	large := fmt.Sprintf(`{"id":"x","v":"%s"}`, strings.Repeat("a", 5000))
	s.LimitChangesets(4096, "the broker is small")
	if _, err := try(t, s, (*Tx).Add, large); !is[*LimitError](err) || !strings.Contains(err.Error(), "4096") || !strings.Contains(err.Error(), "since the broker is small") {
		t.Fatalf("got %v", err)
	}
	if got := s.Revision().String(); got != "0" {
		t.Errorf("revision %s after a refused write", got)
	}
	do(t, s, (*Tx).Add, `{"id":"y","v":1}`)
	s.LimitChangesets(0, "")
	do(t, s, (*Tx).Add, large)
}

func TestLimitDoesNotConcernWhatOthersWrote(t *testing.T) {
	s, other := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, other, (*Tx).Add, fmt.Sprintf(`{"id":"x","v":"%s"}`, strings.Repeat("a", 5000)))
	list, err := other.Range(t.Context(), "0B", 1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.LimitChangesets(64, "split it")
	if a, err := s.Apply(t.Context(), list); err != nil || a.Applied != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}
