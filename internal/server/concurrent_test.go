package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// TestConditionalWritesLoseNoUpdate lets clients count up one object, each by
// reading it and writing it back on the condition that it is unchanged.
func TestConditionalWritesLoseNoUpdate(t *testing.T) {
	n := newNode(t)
	n.put("counter", `{"n":0}`)
	const clients, each = 6, 10
	var running sync.WaitGroup
	var refused atomic.Int64
	for range clients {
		running.Go(func() {
			for done := 0; done < each; {
				r := n.get("/v1/objects/counter")
				var o struct{ N int }
				if err := json.Unmarshal([]byte(r.body), &o); err != nil {
					t.Error(err)
					return
				}
				w := n.do("PUT", "/v1/objects/counter", fmt.Sprintf(`{"n":%d}`, o.N+1), "If-Match: "+r.header.Get("ETag"))
				switch w.status {
				case 200:
					done++
				case 412:
					refused.Add(1)
				default:
					t.Errorf("%d %s", w.status, w.body)
					return
				}
			}
		})
	}
	running.Wait()
	n.get("/v1/objects/counter").wantJSON(fmt.Sprintf(`{"id":"counter","n":%d}`, clients*each))
	if refused.Load() == 0 {
		t.Log("no two clients ever met")
	}
}

func TestOnlyOneClientCreates(t *testing.T) {
	n := newNode(t)
	var running sync.WaitGroup
	var created atomic.Int64
	for i := range 8 {
		running.Go(func() {
			r := n.do("PUT", "/v1/objects/lock", fmt.Sprintf(`{"owner":%d}`, i), "If-None-Match: *")
			if r.status == 201 {
				created.Add(1)
			} else if r.status != 412 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	running.Wait()
	if created.Load() != 1 {
		t.Errorf("%d clients created it", created.Load())
	}
}

// TestConflictsAreCountedUntilAWriteSettlesThem brings two nodes that wrote at
// the same time together.
func TestConflictsAreCountedUntilAWriteSettlesThem(t *testing.T) {
	a, b := newNode(t), newNode(t, branchB(t))
	a.put("o", `{"color":"red","size":1}`)
	exchange2(t, a, b)
	a.put("o", `{"color":"green","size":1}`)
	b.put("o", `{"color":"blue","size":1}`)
	exchange2(t, a, b)
	r := a.get("/v1/objects/o").want(200).wantHeader("Vesper-Conflicts", "1").wantHeader("ETag", `"0A00002,0B00001"`)
	b.get("/v1/objects/o").want(200).wantHeader("Vesper-Conflicts", "1").wantHeader("ETag", r.header.Get("ETag")).wantJSON(r.body)
	if s := a.status(); s.Conflicts != 1 {
		t.Errorf("the status counts %d conflicts", s.Conflicts)
	}
	// Writing what is seen already settles the conflict, and gives a new tag.
	b.do("PUT", "/v1/objects/o", r.body, "If-Match: "+r.header.Get("ETag")).want(200).wantHeader("ETag", `"0B00002"`)
	exchange2(t, a, b)
	for _, n := range []*node{a, b} {
		n.get("/v1/objects/o").want(200).wantHeader("Vesper-Conflicts", "").wantHeader("ETag", `"0B00002"`).wantJSON(r.body)
	}
	var ha, hb historyPage
	a.get("/v1/history/o").into(&ha)
	b.get("/v1/history/o").into(&hb)
	if diff := cmp.Diff(ha, hb); diff != "" || len(ha.History) != 4 {
		t.Errorf("%d entries; the histories differ:\n%s", len(ha.History), diff)
	}
}

// branchB gives a node the branch 0B.
func branchB(t *testing.T) func(*Deps) {
	return func(d *Deps) {
		s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: "0B", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		d.Store, d.Config.BranchID = s, "0B"
	}
}

// exchange2 gives each of two nodes what the other has.
func exchange2(t *testing.T, a, b *node) {
	t.Helper()
	for _, pair := range [][2]*node{{a, b}, {b, a}} {
		entries, err := pair[0].server.deps.Store.Feed(t.Context(), 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var envelopes []changeset.Envelope
		for _, e := range entries {
			envelopes = append(envelopes, e.Envelope)
		}
		if _, err := pair[1].server.deps.Store.Apply(t.Context(), envelopes); err != nil {
			t.Fatal(err)
		}
	}
}
