package store

import (
	"fmt"
	"testing"
)

func TestCountsAreRememberedAndCountedAnewWhenTheObjectsAreOthers(t *testing.T) {
	var m counted
	m.remember("p", knownCount{Spread: Spread{Count{N: 500}, 50}, atMost: 4096, txid: 100, objects: 1000})
	for _, tt := range []struct {
		name                  string
		atMost, txid, objects int
		want                  Spread
		known                 bool
	}{
		{"the same snapshot", 4096, 100, 1000, Spread{Count{N: 500}, 50}, true},
		{"one not far away", 4096, 900, 1080, Spread{Count{N: 500}, 50}, true},
		{"an earlier one", 4096, 90, 990, Spread{Count{N: 500}, 50}, true},
		{"less far than was counted", 100, 100, 1000, Spread{Count{N: 100, More: true}, 10}, true},
		{"many commits later", 4096, 2000, 1000, Spread{}, false},
		{"other objects", 4096, 101, 1200, Spread{}, false},
	} {
		if got, known := m.lookUp("p", tt.atMost, tt.txid, tt.objects); got != tt.want || known != tt.known {
			t.Errorf("%s: %+v, %v, want %+v, %v", tt.name, got, known, tt.want, tt.known)
		}
	}
	m.remember("q", knownCount{Spread: Spread{Count{N: 10, More: true}, 1}, atMost: 10, txid: 100, objects: 1000})
	if _, known := m.lookUp("q", 4096, 100, 1000); known {
		t.Error("a count that was broken off answers for one that goes further")
	}
	for i := range 3 * countedAtMost {
		m.remember(fmt.Sprint(i), knownCount{})
	}
	if len(m.known) > countedAtMost {
		t.Errorf("%d properties are remembered", len(m.known))
	}
}

func TestTheDifferentValuesOfAPropertyAreEstimatedBesideTheirNumber(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 60 {
		do(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":"o%02d","p":"v%d"}`, i, i/6))
	}
	err := s.View(t.Context(), func(r *Reader) error {
		if got, want := r.EstimatePredicate("p", 1000), (Spread{Count{N: 60}, 10}); got != want {
			t.Errorf("all: %+v, want %+v", got, want)
		}
		if got, want := r.spread("p", 12), (Spread{Count{N: 12, More: true}, 2}); got != want {
			t.Errorf("the first 12: %+v, want %+v", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
