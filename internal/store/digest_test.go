package store

import (
	"fmt"
	"testing"
)

// TestObjectsOfABucketAddUpToIt is what the search for a divergence stands on.
func TestObjectsOfABucketAddUpToIt(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 600 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x%d","v":1}`, i))
	}
	var sum Digest
	n := 0
	for bucket := range DigestBuckets {
		list, err := s.DigestObjects(t.Context(), byte(bucket))
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range list {
			if sum[bucket] += o.Hash; i > 0 && list[i-1].Root >= o.Root {
				t.Errorf("%s comes after %s", o.Root, list[i-1].Root)
			}
		}
		n += len(list)
	}
	if sum != s.Digest() || n != 600 {
		t.Errorf("%d objects do not add up to the digest", n)
	}
}
