package replication

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
)

// keepingWire has kept two messages whose past does not come.
type keepingWire struct{ PackedWire }

func (keepingWire) Waiting() bool                 { return true }
func (keepingWire) Kept() (Message, func(), bool) { return Message{}, nil, false }
func (keepingWire) Early(limit int) (int, []branch.Dot) {
	dots := []branch.Dot{{Branch: "0B", Seq: 4}, {Branch: "0C", Seq: 2}}
	return 2, dots[:min(limit, len(dots))]
}

// droppingTransport has given up three messages in parts.
type droppingTransport struct{ *scripted }

func (droppingTransport) DroppedParts() uint64 { return 3 }

// keeping is a replicator, not running, with such a link, or one of the usual sort.
func keeping(t *testing.T, wire Wire) (*Replicator, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	links := []LinkConfig{
		{Name: "old", Channel: "CH", Hosts: []string{"h:1"}, Transport: droppingTransport{newScripted()}, Wire: wire},
	}
	r, err := New(usedStore(t, 1), links, Options{Logger: quiet(), Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	return r, reg
}

func TestEarlyMessagesAreInTheStatusWithWhatTheyWaitFor(t *testing.T) {
	r, _ := keeping(t, keepingWire{})
	s := r.Status()
	if s.Pending.Changesets != 2 || len(s.Pending.Missing) != 2 || s.Pending.Missing[0].String() != "0B00004" {
		t.Errorf("pending %+v", s.Pending)
	}
	if s.Links[0].Early != 2 {
		t.Errorf("links %+v", s.Links)
	}
	r, _ = keeping(t, PackedWire{})
	if p := r.Status().Pending; p.Changesets != 0 {
		t.Errorf("pending %+v with the usual wire", p)
	}
	s.Links = append(s.Links, r.Status().Links...)
	text, err := json.Marshal(s.Links)
	if err != nil || strings.Count(string(text), `"early":`) != 1 {
		t.Errorf("%s, %v", text, err)
	}
}

func TestEarlyMessagesAndDroppedPartsAreInTheMetrics(t *testing.T) {
	_, reg := keeping(t, keepingWire{})
	want := `# HELP vesper_replication_dropped_parts_total Messages in parts that were given up because some of their parts did not come.
# TYPE vesper_replication_dropped_parts_total counter
vesper_replication_dropped_parts_total{link="old"} 3
# HELP vesper_replication_early_messages Messages of the original's form that came before what they build on, and are kept until it comes.
# TYPE vesper_replication_early_messages gauge
vesper_replication_early_messages{link="old"} 2
`
	err := testutil.GatherAndCompare(reg, strings.NewReader(want), "vesper_replication_early_messages", "vesper_replication_dropped_parts_total")
	if err != nil {
		t.Error(err)
	}
}
