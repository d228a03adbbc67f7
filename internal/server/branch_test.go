package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

func TestAcceptingABranchReachesReplicationAndSaysWhatIsNow(t *testing.T) {
	var err error
	calls := 0
	n := newNode(t, func(d *Deps) {
		d.AcceptBranch = func(context.Context) error {
			calls++
			return err
		}
	})
	n.put("a", `{"x":1}`)
	n.do("POST", "/v1/branch/accept", "").want(200).wantJSON(`{"branch":"0A","revision":"0A00001","writable":true}`)
	err = errors.New("accepting branch 0A: peers hold changesets up to 9, this store only up to 1: wait until they are fetched")
	n.do("POST", "/v1/branch/accept", "").wantProblem(kindNotAcceptable, "up to 9")
	err = &store.StorageError{Op: "committing", Path: "vesper.db", Err: errors.New("broken")}
	n.do("POST", "/v1/branch/accept", "").wantProblem(kindStorage, "broken")
	n.do("POST", "/v1/branch/accept?force=1", "").wantProblem(kindBadRequest, "force")
	n.get("/v1/branch/accept").wantProblem(kindMethod)
	if calls != 3 {
		t.Errorf("replication was asked %d times", calls)
	}
}

func TestForksAreListedAndSettled(t *testing.T) {
	n := newNode(t)
	n.get("/v1/forks").want(200).wantJSON(`{"forks":[]}`)
	if _, err := n.store.TellFork(t.Context(), branch.Dot{Branch: "0C", Seq: 4}, "0B"); err != nil {
		t.Fatal(err)
	}
	var list struct{ Forks []fork }
	n.get("/v1/forks").want(200).into(&list)
	if len(list.Forks) != 1 || list.Forks[0].Branch != "0C" || list.Forks[0].Dot.String() != "0C00004" || list.Forks[0].Told != "0B" ||
		list.Forks[0].Have != "" || list.Forks[0].Seen.IsZero() {
		t.Errorf("unexpected forks %+v", list)
	}
	n.do("DELETE", "/v1/forks/0C", "").want(204)
	n.get("/v1/forks").want(200).wantJSON(`{"forks":[]}`)
	n.do("DELETE", "/v1/forks/0C", "").wantProblem(kindNoSuch, "not known to be forked")
	n.do("DELETE", "/v1/forks/x", "").wantProblem(kindBadRequest)
}

func TestForkThatCameHereShowsBothHashes(t *testing.T) {
	n, one, two := newNode(t), newOther(t, "0B"), newOther(t, "0B")
	one.write(`{"id":"x","v":1}`)
	two.write(`{"id":"x","v":2}`)
	trade(t, one.Store, n.store)
	trade(t, two.Store, n.store)
	var list struct{ Forks []fork }
	n.get("/v1/forks").want(200).into(&list)
	if len(list.Forks) != 1 || len(list.Forks[0].Have) != 64 || len(list.Forks[0].Got) != 64 || list.Forks[0].Have == list.Forks[0].Got {
		t.Errorf("unexpected forks %+v", list)
	}
}

func TestQuarantineIsListedReadAndEmptied(t *testing.T) {
	n := newNode(t)
	n.get("/v1/quarantine").want(200).wantJSON(`{"quarantine":[]}`)
	e := store.Evidence{Link: "main", From: "0B", Dot: branch.Dot{Branch: "0C", Seq: 4}, Cause: "wrong-hash", Error: "another hash"}
	id, _, err := n.store.AddEvidence(t.Context(), e, []byte("\x00rubbish"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Quarantine []evidence }
	r := n.get("/v1/quarantine").want(200)
	r.into(&list)
	if len(list.Quarantine) != 1 || list.Quarantine[0].ID != id || list.Quarantine[0].Cause != "wrong-hash" || list.Quarantine[0].Changeset != "0C00004" ||
		list.Quarantine[0].Size != 8 || len(list.Quarantine[0].SHA256) != 64 || list.Quarantine[0].From != "0B" {
		t.Errorf("unexpected quarantine %s", r.body)
	}
	if s := n.status(); s.Quarantine != 1 {
		t.Errorf("the status counts %d", s.Quarantine)
	}
	path := fmt.Sprintf("/v1/quarantine/%d", id)
	if r := n.get(path).want(200).wantHeader("Content-Type", "application/octet-stream"); r.body != "\x00rubbish" {
		t.Errorf("the body is %q", r.body)
	}
	n.do("DELETE", path, "").want(204)
	n.do("DELETE", path, "").wantProblem(kindNoSuch)
	n.get(path).wantProblem(kindNoSuch, "(any more)")
	n.get("/v1/quarantine/x").wantProblem(kindBadRequest, "no number")
}

// TestReadyMeansThatWritesAreTaken: right after the start a node refuses writes
// for some seconds, and a client that was sent there would get 503.
func TestReadyMeansThatWritesAreTaken(t *testing.T) {
	n := newNode(t)
	n.get("/readyz").want(200)
	n.store.RefuseWrites("it asks its peers")
	if r := n.get("/readyz").want(503); !strings.Contains(r.body, "writes are refused: it asks its peers") {
		t.Errorf("readyz says %s", r.body)
	}
	n.get("/healthz").want(200)
	n.store.AllowWrites()
	n.get("/readyz").want(200)
}

// TestFailedStorageIsTriedWithoutAWrite: clients are sent elsewhere meanwhile.
func TestFailedStorageIsTriedWithoutAWrite(t *testing.T) {
	n := newNode(t)
	n.server.storage.note(&store.StorageError{Op: "committing", Path: "vesper.db", Err: errors.New("broken")})
	if s := n.status(); s.Ready || s.Reason != nodestatus.ReasonStorageFailed {
		t.Errorf("unexpected status %+v", s)
	}
	for deadline := time.Now().Add(10 * time.Second); n.get("/readyz").status != 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the node stays not ready though its disk works")
		}
	}
	if s := n.status(); !s.Ready || !s.Writable {
		t.Errorf("unexpected status %+v", s)
	}
}

func TestFullDiskIsTriedOnlyWhenThereIsRoom(t *testing.T) {
	now := time.Now()
	h := storageHealth{failure: "full", full: true}
	if h.due(now, probeRoom-1) {
		t.Error("tried without room")
	}
	if !h.due(now, probeRoom) || h.due(now, probeRoom) {
		t.Error("not tried once when there is room")
	}
	if h.probed(errors.New("canceled")); h.message() == "" || h.due(now.Add(probeEvery/2), probeRoom) {
		t.Error("an error that is not the disk's cleared the failure, or it is tried too often")
	}
	if !h.due(now.Add(probeEvery), probeRoom) {
		t.Error("not tried again")
	}
	if h.probed(nil); h.message() != "" {
		t.Error("still failing after a try that succeeded")
	}
}
