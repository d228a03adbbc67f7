package store

import (
	"fmt"
	"testing"
)

func TestCountsAreRememberedAndCountedAnewWhenTheObjectsAreOthers(t *testing.T) {
	var m counted
	m.remember("p", knownCount{Count: Count{N: 500}, atMost: 4096, txid: 100, objects: 1000})
	for _, tt := range []struct {
		name                  string
		atMost, txid, objects int
		want                  Count
		known                 bool
	}{
		{"the same snapshot", 4096, 100, 1000, Count{N: 500}, true},
		{"one not far away", 4096, 900, 1080, Count{N: 500}, true},
		{"an earlier one", 4096, 90, 990, Count{N: 500}, true},
		{"less far than was counted", 100, 100, 1000, Count{N: 100, More: true}, true},
		{"many commits later", 4096, 2000, 1000, Count{}, false},
		{"other objects", 4096, 101, 1200, Count{}, false},
	} {
		if got, known := m.lookUp("p", tt.atMost, tt.txid, tt.objects); got != tt.want || known != tt.known {
			t.Errorf("%s: %+v, %v, want %+v, %v", tt.name, got, known, tt.want, tt.known)
		}
	}
	m.remember("q", knownCount{Count: Count{N: 10, More: true}, atMost: 10, txid: 100, objects: 1000})
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
