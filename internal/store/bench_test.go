package store

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
)

// object1K parses an object of about 1 KiB.
func object1K(b testing.TB, id string) []pjson.Object {
	text := fmt.Sprintf(`{"id":%q,"a":1,"b":2.5,"c":true,"d":"@other","e":["x","y"],"f":{"k":"v"},"text":%q}`, id, strings.Repeat("t", 700))
	return doc(b, text).Objects
}

func benchmarkUpdate(b *testing.B, clients int) {
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), Branch: "0A", Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(clients)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			objects := object1K(b, fmt.Sprintf("o%d", n.Add(1)))
			if _, err := s.Update(b.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Add(objects) }); err != nil {
				b.Error(err)
				return
			}
		}
	})
	st := s.Stats()
	b.ReportMetric(float64(st.Commits)/float64(max(st.Writes, 1)), "commits/write")
}

// BenchmarkUpdate1Client is one writer per processor; BenchmarkUpdate64Clients
// has 64 times as many, which share commits.
func BenchmarkUpdate1Client(b *testing.B)   { benchmarkUpdate(b, 1) }
func BenchmarkUpdate64Clients(b *testing.B) { benchmarkUpdate(b, 64) }

// BenchmarkApply applies changesets of 1 KiB, 1000 a call.
func BenchmarkApply(b *testing.B) {
	source := open(b, b.TempDir(), "0A")
	for i := range b.N {
		objects := object1K(b, fmt.Sprintf("o%d", i))
		if _, err := source.Update(b.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Add(objects) }); err != nil {
			b.Fatal(err)
		}
	}
	all := feed(b, source)
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), Branch: "0B", Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for len(all) > 0 {
		n := min(len(all), applyChangesets)
		apply(b, s, all[:n]...)
		all = all[n:]
	}
}

// BenchmarkRecord decodes, changes and encodes the record of one object.
func BenchmarkRecord(b *testing.B) {
	work := newWorking("x", &record{}, PolicyLatest)
	w := &writing{objects: map[string]*working{"x": work}}
	if err := w.add(object1K(b, "x")); err != nil {
		b.Fatal(err)
	}
	change, _ := work.change()
	var rec record
	rec.apply(change, write{stamp: changeset.Stamp{Clock: 1}})
	data := rec.encode()
	b.ReportAllocs()
	for i := range b.N {
		r, err := decodeRecord(data)
		if err != nil {
			b.Fatal(err)
		}
		r.apply(changeset.ObjectChange{Root: "x", Props: change.Props[:1]}, write{stamp: changeset.Stamp{Clock: changeset.Clock(i + 2)}})
		r.encode()
	}
}
