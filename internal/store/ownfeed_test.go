package store

import (
	"fmt"
	"slices"
	"testing"
)

func TestOwnFeedGivesTheOwnChangesetsAndSaysHowFarThereAreNoOthers(t *testing.T) {
	s, other := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	write := func(s *Store, n int) {
		for i := range n {
			do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x%s%d-%d","v":1}`, s.Branch(), s.Revision().At(s.Branch()), i))
		}
	}
	write(other, 6)
	list, err := other.Range(t.Context(), "0B", 1, 6, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(from, to int) {
		if _, err := s.Apply(t.Context(), list[from:to]); err != nil {
			t.Fatal(err)
		}
	}
	if own, upTo, err := s.OwnFeed(t.Context(), 0, 1<<20); err != nil || len(own) != 0 || upTo != 0 {
		t.Fatalf("an empty store gives %v up to %d, %v", own, upTo, err)
	}
	apply(0, 2) // positions 1, 2
	write(s, 2) // 3, 4
	apply(2, 5) // 5 to 7
	write(s, 1) // 8
	apply(5, 6) // 9
	size := len(feed(t, s)[3].Body)
	for _, c := range []struct {
		after uint64
		bytes int
		want  []uint64
		upTo  uint64
	}{
		{0, 1 << 20, []uint64{3, 4, 8}, 9}, {0, 0, []uint64{3}, 3}, {3, size, []uint64{4}, 4}, {4, 1 << 20, []uint64{8}, 9},
		{5, 0, []uint64{8}, 9}, {8, 1, nil, 9}, {9, 1, nil, 9}, {1 << 62, 1, nil, 1 << 62},
	} {
		own, upTo, err := s.OwnFeed(t.Context(), c.after, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, e := range own {
			if got = append(got, e.Pos); e.Dot.Branch != "0A" || len(e.Body) == 0 {
				t.Errorf("after %d: %s with %d bytes", c.after, e.Dot, len(e.Body))
			}
		}
		if !slices.Equal(got, c.want) || upTo != c.upTo {
			t.Errorf("after %d with %d bytes: %v up to %d, want %v up to %d", c.after, c.bytes, got, upTo, c.want, c.upTo)
		}
	}
}
