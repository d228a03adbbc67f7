package nodestatus

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/branch"
)

var (
	reasonPattern = regexp.MustCompile(`^[A-Z][a-z]+([A-Z][a-z]+)*$`)

	at   = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	full = Status{
		Version: "v0.1.0", Branch: "0B", Trunk: "0A", Incarnation: "f00d",
		Revision: branch.Revision{{Branch: "0A", Seq: 3}, {Branch: "0B", Seq: 2}}, Digest: "abcd", Objects: 5,
		Ready: true, Reason: ReasonReady, Message: "m", Writable: true, WritesRefused: "w", Draining: true, Started: at,
		Links: []Link{{Name: "main", Channel: "C", Hosts: []string{"mq:61613"}, Address: "mq:61613", Server: "ActiveMQ/5.17.2",
			Connected: true, Subscribed: true, CaughtUp: true, Since: &at, LastError: "e", Reconnects: 1}},
		Outbox:     Outbox{Changesets: 1, OldestAge: 1.5},
		Pending:    Pending{Changesets: 2, Missing: []branch.Dot{{Branch: "0A", Seq: 4}}},
		Lag:        Lag{Changesets: 3, Seconds: 2.5},
		Peers:      []Peer{{Branch: "0A", Incarnation: "cafe", Revision: branch.Revision{{Branch: "0A", Seq: 4}}, LastSeen: at, Diverged: true}},
		Divergence: []Divergence{{Peer: "0C", Revision: branch.Revision{{Branch: "0A", Seq: 3}}, Since: at, Objects: []string{"o1"}}},
		Retention: &Retention{Floor: branch.Revision{{Branch: "0A", Seq: 1}}, LowWater: branch.Revision{{Branch: "0A", Seq: 2}},
			NeverHeard: []branch.ID{"0D"}, HeldBackBy: "0D", HeldBack: 3, HeldBackSince: &at, Error: "e"},
		Forks: []Fork{{Branch: "0A", Dot: branch.Dot{Branch: "0A", Seq: 2}, Seen: at, Told: "0C"}}, Quarantine: 4,
		Conflicts: 1, Storage: Storage{Bytes: 10, Free: 20, Volume: 40}, Access: []string{"a"},
	}
)

// TestStatusJSON holds the names on the wire: nodes and operators of different
// releases read each other's, so a name may be added but never changed.
func TestStatusJSON(t *testing.T) {
	got, err := json.MarshalIndent(full, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "version": "v0.1.0",
  "branch": "0B",
  "trunk": "0A",
  "incarnation": "f00d",
  "revision": "0A00003,0B00002",
  "digest": "abcd",
  "objects": 5,
  "ready": true,
  "reason": "Ready",
  "message": "m",
  "writable": true,
  "writesRefused": "w",
  "draining": true,
  "started": "2026-11-23T04:00:00Z",
  "links": [
    {
      "name": "main",
      "channel": "C",
      "hosts": [
        "mq:61613"
      ],
      "address": "mq:61613",
      "server": "ActiveMQ/5.17.2",
      "connected": true,
      "subscribed": true,
      "caughtUp": true,
      "since": "2026-11-23T04:00:00Z",
      "lastError": "e",
      "reconnects": 1
    }
  ],
  "outbox": {
    "changesets": 1,
    "oldestAgeSeconds": 1.5
  },
  "pending": {
    "changesets": 2,
    "missing": [
      "0A00004"
    ]
  },
  "lag": {
    "changesets": 3,
    "seconds": 2.5
  },
  "peers": [
    {
      "branch": "0A",
      "incarnation": "cafe",
      "revision": "0A00004",
      "lastSeen": "2026-11-23T04:00:00Z",
      "diverged": true
    }
  ],
  "divergence": [
    {
      "peer": "0C",
      "revision": "0A00003",
      "since": "2026-11-23T04:00:00Z",
      "objects": [
        "o1"
      ]
    }
  ],
  "retention": {
    "floor": "0A00001",
    "lowWater": "0A00002",
    "neverHeard": [
      "0D"
    ],
    "heldBackBy": "0D",
    "heldBack": 3,
    "heldBackSince": "2026-11-23T04:00:00Z",
    "error": "e"
  },
  "forks": [
    {
      "branch": "0A",
      "dot": "0A00002",
      "seen": "2026-11-23T04:00:00Z",
      "told": "0C"
    }
  ],
  "quarantine": 4,
  "conflicts": 1,
  "storage": {
    "bytes": 10,
    "free": 20,
    "volume": 40
  },
  "access": [
    "a"
  ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("unexpected JSON (-want +got):\n%s", diff)
	}
}

func TestHowMuchOfAVolumeIsUsed(t *testing.T) {
	for storage, want := range map[Storage]float64{{Volume: 100, Free: 25}: 75, {Volume: 100}: 100, {Volume: 100, Free: 100}: 0, {Volume: 100, Free: 101}: 0} {
		if got, known := storage.UsedPercent(); got != want || !known {
			t.Errorf("of %+v %v %% are used, %v; want %v", storage, got, known, want)
		}
	}
	if _, known := (Storage{Bytes: 10, Free: 20}).UsedPercent(); known {
		t.Error("known of a node that does not tell how large its volume is")
	}
}

func TestStatusIsReadBackAsWritten(t *testing.T) {
	for name, want := range map[string]Status{"full": full, "of an empty node": {Branch: "0A", Trunk: "0A", Reason: ReasonStarting, Started: at}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Status
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: unexpected status (-want +got):\n%s", name, diff)
		}
	}
}

// TestReasonsAreConditionReasons: the operator copies them into conditions,
// and the API server takes only such words.
func TestReasonsAreConditionReasons(t *testing.T) {
	for _, r := range []Reason{
		ReasonReady, ReasonStandalone, ReasonStarting, ReasonBrokerUnreachable, ReasonSubscribing, ReasonCatchingUp,
		ReasonBranchAhead, ReasonBranchInUse, ReasonStorageFailed, ReasonDraining,
	} {
		if !reasonPattern.MatchString(string(r)) {
			t.Errorf("%q is not one CamelCase word", r)
		}
	}
}
