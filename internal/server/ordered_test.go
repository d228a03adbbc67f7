package server

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	sources "vesperdb.io/vesper/internal/jsonql/source"
	qvalue "vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// indexedNode is a node whose configuration declares indexes, with some objects.
func indexedNode(t *testing.T, properties ...string) (*node, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: "0A", Logger: slog.New(slog.DiscardHandler), Indexes: properties})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	n := newNode(t, func(d *Deps) { d.Store = s })
	for i, year := range []string{"1984", "1895.5", `"long ago"`, "[1901,1902]", "1984.0"} {
		n.do("PUT", fmt.Sprintf("/v1/objects/o%d", i), `{"year":`+year+`}`, "Content-Type: application/json").want(201)
	}
	for deadline := time.Now().Add(time.Minute); slices.ContainsFunc(s.Indexes(), func(i store.IndexStatus) bool { return !i.Built }); {
		if time.Now().After(deadline) {
			t.Fatalf("the indexes are not built: %+v", s.Indexes())
		}
		time.Sleep(time.Millisecond)
	}
	return n, s
}

// TestSourceGivesQueriesTheDeclaredOrder: what the store has in order of values
// reaches a query with its range and its direction, counted likewise.
func TestSourceGivesQueriesTheDeclaredOrder(t *testing.T) {
	_, s := indexedNode(t, "year")
	low, high := qvalue.Of(statement.Term{Text: "1900", Type: statement.XSDInteger}), qvalue.Of(statement.Literal("m"))
	number := qvalue.Of(statement.Term{Text: "1984", Type: statement.XSDInteger})
	for _, c := range []struct {
		within sources.Range
		want   []string
	}{
		{sources.Range{}, []string{"o1", "o0", "o4", "o3", "o2"}},
		{sources.Range{Desc: true}, []string{"o2", "o3", "o0", "o4", "o1"}},
		{sources.Range{Low: &low, High: &high}, []string{"o0", "o4", "o3", "o2"}},
		{sources.Range{Low: &number, LowOpen: true}, []string{"o3", "o2"}},
		{sources.Range{High: &number, HighOpen: true}, []string{"o1"}},
	} {
		err := s.View(t.Context(), func(r *store.Reader) error {
			seq, ok := newSource(r, "").Ordered("year", c.within)
			if !ok {
				return fmt.Errorf("there is no index")
			}
			var got []string
			for subject, err := range seq {
				if err != nil {
					return err
				}
				got = append(got, subject)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("within %+v come %q, want %q", c.within, got, c.want)
			}
			if n, more, ok := newSource(r, "").CountRange("year", c.within, len(c.want)); n != len(c.want) || more || !ok {
				t.Errorf("within %+v are %d, %v, %v", c.within, n, more, ok)
			}
			if _, _, ok := newSource(r, "").CountRange("title", c.within, 1); ok {
				t.Error("a property without an index is counted")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestStatusAndMetricsSayWhichIndexesAreBuilt, in the order of the configuration.
func TestStatusAndMetricsSayWhichIndexesAreBuilt(t *testing.T) {
	n, _ := indexedNode(t, "year", "a b")
	got := n.server.status().Indexes
	if len(got) != 2 || got[0].Property != "year" || got[1].Property != "a b" || !got[0].Built || !got[1].Built {
		t.Errorf("the status has %+v", got)
	}
	for path, says := range map[string]string{
		"/v1/status": `"indexes":[{"property":"year","built":true},{"property":"a b","built":true}]`,
		"/metrics":   `vesper_store_index_built{property="year"} 1`,
	} {
		if body := n.get(path).want(200).body; !strings.Contains(body, says) {
			t.Errorf("%s does not say %s:\n%s", path, says, body)
		}
	}
	plain := newNode(t)
	if plain.server.status().Indexes != nil {
		t.Error("a node without indexes has some in its status")
	}
}
