package replication

import (
	"strings"
	"testing"
	"testing/synctest"

	"vesperdb.io/vesper/internal/changeset"
)

// limitedStore records what replication asks of it.
type limitedStore struct {
	*fakeStore
	bytes  int
	remedy string
}

func (s *limitedStore) LimitChangesets(bytes int, remedy string) { s.bytes, s.remedy = bytes, remedy }

func TestWritesAreLimitedToWhatTheLeastBrokerTakes(t *testing.T) {
	fixed := func(n int) func(string) int { return func(string) int { return n } }
	tests := map[string]struct {
		links []LinkConfig
		want  int
		names string
	}{
		"no link":       {nil, 0, ""},
		"no limit":      {[]LinkConfig{{Name: "a"}, {Name: "b", MaxMessage: fixed(0)}}, 0, ""},
		"the least":     {[]LinkConfig{{Name: "a", MaxMessage: fixed(8 << 20)}, {Name: "b", MaxMessage: fixed(4 << 20)}}, 4<<20 - 4<<20/128 - 4096, "link b"},
		"another form":  {[]LinkConfig{{Name: "a", MaxMessage: fixed(8 << 20), Wire: &singleWire{}}, {Name: "b", MaxMessage: fixed(4 << 20)}}, 1 << 20, "link a"},
		"above our own": {[]LinkConfig{{Name: "a", MaxMessage: fixed(1 << 30)}}, 0, ""},
		"a tiny limit":  {[]LinkConfig{{Name: "a", MaxMessage: fixed(1)}}, 1, "link a"},
		"not yet known": {[]LinkConfig{{Name: "a", MaxMessage: func(server string) int { return len(server) + 1<<20 }}}, 1<<20 - 1<<20/128 - 4096, "link a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for i := range tt.links {
				tt.links[i].Channel, tt.links[i].Transport = "C", newScripted()
			}
			s := &limitedStore{fakeStore: usedStore(t, 0), bytes: -1}
			if _, err := New(s, tt.links, Options{Logger: quiet()}); err != nil {
				t.Fatal(err)
			}
			if s.bytes != tt.want || !strings.Contains(s.remedy, tt.names) {
				t.Errorf("limited to %d (%s), want %d", s.bytes, s.remedy, tt.want)
			}
		})
	}
}

func TestLimitFollowsTheBrokerThatIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &limitedStore{fakeStore: usedStore(t, 0)}
		_, tr := soloOver(t, s, LinkConfig{MaxMessage: func(server string) int {
			if server == "Large/1" {
				return 64 << 20
			}
			return 4 << 20
		}}, Options{})
		before := s.bytes
		tr.observe(State{})
		tr.observe(State{Connected: true, Subscribed: true, Server: "Large/1"})
		if before >= 4<<20 || s.bytes < 60<<20 {
			t.Errorf("limited to %d, then to %d", before, s.bytes)
		}
	})
}

func TestChangesetAtTheLimitFitsIntoAMessage(t *testing.T) {
	const message = 200_000
	l := &link{cfg: LinkConfig{Wire: PackedWire{}}}
	s := newFakeStore("0A")
	for _, n := range []int{10, 1000, 100_000, 190_000} {
		if _, err := s.write(incompressible(n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range envelopesOf(t, s, 1, 4) {
		m, err := PackedWire{}.Pack([]changeset.Envelope{e})
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Body) <= l.changesetRoom(message) && len(m[0].Body) > message {
			t.Errorf("%d bytes are allowed and make a message of %d", len(e.Body), len(m[0].Body))
		}
	}
	// The bound of the worst case: random bytes of exactly the limit.
	body := []byte(incompressible(l.changesetRoom(message)))
	packed, err := changeset.Pack([]changeset.Envelope{{Dot: envelopesOf(t, s, 1, 1)[0].Dot, Body: body}})
	if err != nil || len(packed) > message {
		t.Errorf("%d bytes packed, %v", len(packed), err)
	}
}
