package server

import (
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// BenchmarkRead times the parts of a point read, and of what the ways to find
// objects take for each entry of an index.
func BenchmarkRead(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir(), Branch: "0A", NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing is kept
	fillForBench(b, s)
	writer, err := pjson.NewWriter(pjson.Format{BareIDs: true, PreserveTypes: true, OmitEmbeddedIDs: true})
	if err != nil {
		b.Fatal(err)
	}
	var buffer []byte
	for _, bench := range []struct {
		name string
		read func(*store.Reader) error
	}{
		{"view", func(*store.Reader) error { return nil }},
		{"object", func(rd *store.Reader) error {
			_, _, err := rd.Object("o77777")
			return err
		}},
		{"object as JSON", func(rd *store.Reader) error {
			o, _, err := rd.Object("o77777")
			buffer = writer.AppendObject(buffer[:0], o.ID, o.Statements)
			return err
		}},
		{"part", func(rd *store.Reader) error {
			_, _, err := rd.Part("o77777", []string{"n"})
			return err
		}},
		{"ten subjects with a value", func(rd *store.Reader) error {
			for _, err := range newSource(rd, "").SubjectsWith("rare", statement.Term{Text: "777", Type: statement.XSDInteger}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"all postings", func(rd *store.Reader) error {
			for _, err := range newSource(rd, "").Postings("n") {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"all parts", func(rd *store.Reader) error {
			for _, err := range newSource(rd, "").Parts([]string{"n", "kind"}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			before := processorTime(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.View(b.Context(), bench.read); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
