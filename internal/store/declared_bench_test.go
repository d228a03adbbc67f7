package store

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/pjson"
)

// benchObjects is how many objects the benchmarks of declared indexes read.
const benchObjects = 100_000

// benchIndexed makes a store of objects with an n each and its index, and says
// how long that took to build.
func benchIndexed(b *testing.B) *Store {
	dir := b.TempDir()
	s := declaring(b, dir, "0A", nil)
	for from := 0; from < benchObjects; from += 1000 {
		var all []pjson.Object
		for i := from; i < from+1000; i++ {
			all = append(all, doc(b, fmt.Sprintf(`{"id":"o%06d","n":%d,"title":"title %d","tags":["a","b"]}`, i, i*7919%benchObjects, i)).Objects...)
		}
		if _, err := s.Update(b.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Add(all) }); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	started := time.Now()
	s = declaring(b, dir, "0A", nil, "n")
	waitBuilt(b, s)
	b.Logf("the index of %d objects was built in %s", benchObjects, time.Since(started).Round(time.Millisecond))
	return s
}

// BenchmarkOrdered reads the first ten of 100 000 objects in order of a property,
// a range of a hundred, and all of them, by the index and without.
func BenchmarkOrdered(b *testing.B) {
	s := benchIndexed(b)
	low, high := numberOf(5000), numberOf(5099)
	for _, c := range []struct {
		name   string
		within ValueRange
		most   int
	}{
		{"first 10", ValueRange{}, 10}, {"last 10", ValueRange{Desc: true}, 10},
		{"range of 100", ValueRange{Low: &low, High: &high}, 100}, {"all", ValueRange{}, benchObjects}, {"all descending", ValueRange{Desc: true}, benchObjects},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				readFirst(b, s, c.within, c.most)
			}
		})
	}
	b.Run("all sorted without the index", func(b *testing.B) {
		for range b.N {
			read(b, s, func(r *Reader) error {
				_, err := inOrderOf(r, "n", ValueRange{})
				return err
			})
		}
	})
}

func readFirst(b *testing.B, s *Store, within ValueRange, most int) {
	read(b, s, func(r *Reader) error {
		seq, ok := r.Ordered("n", within)
		n := 0
		for _, err := range seq {
			if err != nil {
				return err
			}
			if n++; n == most {
				break
			}
		}
		if !ok || n != most {
			b.Errorf("%d of %d came", n, most)
		}
		return nil
	})
}

// BenchmarkUpdateIndexed is BenchmarkUpdate64Clients with declared indexes of some
// of the object's seven properties.
func BenchmarkUpdateIndexed(b *testing.B) {
	for _, n := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("%d indexes", n), func(b *testing.B) {
			s, err := Open(b.Context(), Options{Dir: b.TempDir(), Branch: "0A", Logger: quiet(), Indexes: slices.Clone([]string{"text", "d", "b", "a"}[:n])})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			waitBuilt(b, s)
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					objects := object1K(b, fmt.Sprintf("o%d", next.Add(1)*7919%1_000_003))
					if _, err := s.Update(b.Context(), WriteOptions{}, func(tx *Tx) error { return tx.Add(objects) }); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
