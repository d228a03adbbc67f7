package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"vesperdb.io/vesper/internal/branch"
)

func addEvidence(t *testing.T, s *Store, cause string, body []byte) (uint64, bool) {
	t.Helper()
	e := Evidence{Link: "main", From: "0B", Dot: branch.Dot{Branch: "0C", Seq: 7}, Cause: cause, Error: "it is " + cause}
	id, news, err := s.AddEvidence(t.Context(), e, body)
	if err != nil {
		t.Fatal(err)
	}
	return id, news
}

func evidence(t *testing.T, s *Store) []Evidence {
	t.Helper()
	list, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEvidenceIsThereAfterReopeningWithItsBody(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	id, news := addEvidence(t, s, "malformed", []byte("rubbish"))
	if !news || id != 1 {
		t.Errorf("number %d, news %v", id, news)
	}
	if again, news := addEvidence(t, s, "malformed", []byte("rubbish")); news || again != id {
		t.Errorf("the same is kept twice: number %d, news %v", again, news)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	list := evidence(t, s)
	if len(list) != 1 || list[0].Cause != "malformed" || list[0].Size != 7 || list[0].Kept != 7 || list[0].Dot.Seq != 7 || list[0].Time.IsZero() {
		t.Fatalf("unexpected evidence %+v", list)
	}
	e, body, found, err := s.EvidenceBody(t.Context(), id)
	if err != nil || !found || string(body) != "rubbish" || e.Hash != list[0].Hash {
		t.Errorf("body %q, found %v, %v", body, found, err)
	}
	if _, _, found, err := s.EvidenceBody(t.Context(), 99); found || err != nil {
		t.Errorf("evidence that is not there: %v, %v", found, err)
	}
	wantSound(t, s)
}

func TestDroppedEvidenceIsGoneAndItsNumberIsNotGivenAgain(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	first, _ := addEvidence(t, s, "malformed", []byte("a"))
	for _, want := range []bool{true, false} {
		if found, err := s.DropEvidence(t.Context(), first); found != want || err != nil {
			t.Errorf("dropped: %v, %v, want %v", found, err, want)
		}
	}
	if second, news := addEvidence(t, s, "malformed", []byte("a")); !news || second != first+1 {
		t.Errorf("number %d, news %v", second, news)
	}
}

func TestEvidenceIsBoundedInNumberAndBytes(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range evidenceKept + 10 {
		addEvidence(t, s, "malformed", fmt.Append(nil, i))
	}
	if list := evidence(t, s); len(list) != evidenceKept || list[0].ID != 11 {
		t.Errorf("%d are kept, the first is %d", len(list), list[0].ID)
	}
	for i := range 12 {
		addEvidence(t, s, "oversized", bytes.Repeat([]byte{byte(i)}, evidenceBody+1))
	}
	size := 0
	for _, e := range evidence(t, s) {
		if size += e.Kept; e.Kept > evidenceBody {
			t.Errorf("%d bytes of one body are kept", e.Kept)
		}
	}
	if last := evidence(t, s); size > evidenceBytes || last[len(last)-1].Size != evidenceBody+1 {
		t.Errorf("%d bytes are kept in all, the last is %+v", size, last[len(last)-1])
	}
	wantSound(t, s)
}

func TestEvidenceInAClosedStoreIsAnError(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddEvidence(t.Context(), Evidence{}, nil); !isClosed(err) {
		t.Errorf("adding gave %v", err)
	}
	if _, err := s.Evidence(t.Context()); !isClosed(err) {
		t.Errorf("reading gave %v", err)
	}
}

func isClosed(err error) bool {
	_, ok := errors.AsType[*ClosedError](err)
	return ok
}
