package server

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// benchObjects is how many objects the benchmarks ask about.
const benchObjects = 100_000

// BenchmarkQuery asks one store the questions whose speed is promised.
func BenchmarkQuery(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir(), Branch: "0A", NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing is kept
	fillForBench(b, s)
	for _, bench := range []struct{ name, query string }{
		{"point read", `{* where id = 'o77777'}`},
		{"indexed filter", `{id, n where rare = 777}`},
		{"range", `{id where n >= 99990}`},
		{"group by", `{kind, 'n': count(*) group by kind}`},
		{"order and limit", `{id, n order by n desc limit 10}`},
		{"full scan", `{'n': count(*)}`},
		{"join", `[id, ?o.name where owner = ?o and ?o.n = 777]`},
		{"join of all, grouped", `[?o.kind, count(id) where owner = ?o group by ?o.kind]`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			q, err := jsonql.Parse(bench.query)
			if err != nil {
				b.Fatal(err)
			}
			before := processorTime(b)
			for b.Loop() {
				err := s.View(b.Context(), func(rd *store.Reader) error {
					got, err := q.Run(b.Context(), newSource(rd, "test:"), nil, jsonql.Limits{})
					if len(got.Rows) == 0 && err == nil {
						b.Fatal("no rows")
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			// Other work on the machine does not count in this.
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime returns what the process has used, the collection of garbage
// included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func fillForBench(b *testing.B, s *store.Store) {
	b.Helper()
	const piece = 5000
	for from := 0; from < benchObjects; from += piece {
		var text strings.Builder
		for i := from; i < from+piece; i++ {
			fmt.Fprintf(&text, `,{"id":"o%05d","n":%d,"kind":"k%d","rare":%d,"name":"object %d","owner":"@o%05d"}`, i, i, i%50, i/10, i, i/10)
		}
		doc, err := pjson.Parse([]byte("["+text.String()[1:]+"]"), pjson.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Update(b.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) }); err != nil {
			b.Fatal(err)
		}
	}
}
