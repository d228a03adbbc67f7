package main

import (
	"log/slog"
	"slices"
	"testing"

	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/store"
)

// TestNodeOpensItsStoreWithTheIndexesOfItsConfiguration: none there means that
// those which the store has go, not that they stay.
func TestNodeOpensItsStoreWithTheIndexesOfItsConfiguration(t *testing.T) {
	c := nodeconfig.Default()
	if got := storeOptions(c, nil, slog.Default()).Indexes; got == nil || len(got) > 0 {
		t.Errorf("without any, the store is opened with %#v", got)
	}
	c.Indexes = []nodeconfig.Index{{Property: "year"}, {Property: "price"}}
	if got := storeOptions(c, nil, slog.Default()).Indexes; !slices.Equal(got, []string{"year", "price"}) {
		t.Errorf("the store is opened with %q", got)
	}
}

// TestConfigurationTakesAsManyIndexesAsTheStore: what the one accepts, the other
// does.
func TestConfigurationTakesAsManyIndexesAsTheStore(t *testing.T) {
	if nodeconfig.MaxIndexes != store.MaxDeclared {
		t.Errorf("a configuration takes %d indexes, a store %d", nodeconfig.MaxIndexes, store.MaxDeclared)
	}
}
