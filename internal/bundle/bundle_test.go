package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

func open(t *testing.T, id branch.ID) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: id, Trunk: "0A", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s *store.Store, count int) {
	t.Helper()
	for i := range count {
		doc, err := pjson.Parse(fmt.Appendf(nil, `{"id":"o%d","v":"%s %d"}`, i, strings.Repeat(string(s.Branch()), 20+i), s.Revision().At(s.Branch())), pjson.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) }); err != nil {
			t.Fatal(err)
		}
	}
}

func export(t *testing.T, s *store.Store, since branch.Revision) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Export(t.Context(), &b, s, "0A", since, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(t *testing.T, s *store.Store, text []byte) (Imported, error) {
	t.Helper()
	return Import(t.Context(), bytes.NewReader(text), s, "0A", s.Apply)
}

// three makes two stores that know each other and a third that knows nothing.
func three(t *testing.T) (a, b, c *store.Store) {
	t.Helper()
	a, b, c = open(t, "0A"), open(t, "0B"), open(t, "0C")
	write(t, a, 5)
	if _, err := load(t, b, export(t, a, nil)); err != nil {
		t.Fatal(err)
	}
	write(t, b, 7)
	write(t, a, 3)
	if _, err := load(t, a, export(t, b, a.Revision())); err != nil {
		t.Fatal(err)
	}
	return a, b, c
}

func TestBundlesCarryEverythingAndOnlyWhatIsAskedForAndMayBeRepeated(t *testing.T) {
	a, b, c := three(t)
	got, err := load(t, c, export(t, a, nil))
	if err != nil || got.Changesets != 15 || got.Applied != 15 || got.Pending != 0 || got.Revision.String() != "0A00008,0B00007" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, want := a.Snapshot(); c.Digest() != want {
		t.Error("the states differ")
	}
	again, err := load(t, c, export(t, a, nil))
	if err != nil || again.Applied != 0 || again.Duplicate != 15 {
		t.Errorf("again: %+v, %v", again, err)
	}
	rest, err := load(t, b, export(t, a, b.Revision()))
	if err != nil || rest.Changesets != 3 || b.Digest() != a.Digest() {
		t.Errorf("the rest: %+v, %v", rest, err)
	}
	if none, err := load(t, b, export(t, a, a.Revision())); err != nil || none.Changesets != 0 {
		t.Errorf("an empty bundle: %+v, %v", none, err)
	}
}

func TestBundleThatBuildsOnWhatIsMissingWaitsAndIsCompletedByTheEarlierOne(t *testing.T) {
	a, _, c := three(t)
	late, err := load(t, c, export(t, a, branch.Revision{{Branch: "0A", Seq: 5}, {Branch: "0B", Seq: 3}}))
	if err != nil || late.Applied != 0 || late.Pending != late.Changesets {
		t.Fatalf("%+v, %v", late, err)
	}
	if _, err := load(t, c, export(t, a, nil)); err != nil || c.Digest() != a.Digest() {
		t.Errorf("not completed: %v", err)
	}
	if waiting, _ := c.Pending(); waiting != 0 {
		t.Errorf("%d changesets wait", waiting)
	}
}

func TestDamageAnywhereIsNoticedAndAnImportGoesOnWhereItEnded(t *testing.T) {
	a, _, _ := three(t)
	text := export(t, a, nil)
	for at := 0; at < len(text); at += 1 + len(text)/97 {
		c := open(t, "0C")
		flipped := bytes.Clone(text)
		flipped[at] ^= 0x40
		if _, err := load(t, c, flipped); err == nil {
			t.Fatalf("a flipped bit at %d of %d was not noticed", at, len(text))
		}
		if _, err := load(t, c, text[:at]); err == nil {
			t.Fatalf("a bundle cut off at %d of %d was taken for whole", at, len(text))
		}
		if got, err := load(t, c, text); err != nil || c.Digest() != a.Digest() {
			t.Fatalf("the whole one afterwards: %+v, %v", got, err)
		}
	}
}

func TestBundleOfAnotherSystemIsRefusedAndNothingOfItIsApplied(t *testing.T) {
	_, _, c := three(t)
	foreign := open(t, "0A")
	write(t, foreign, 1)
	doc, _ := pjson.Parse([]byte(`{"id":"z","other":1}`), pjson.Options{})
	if _, err := foreign.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) }); err != nil {
		t.Fatal(err)
	}
	mine := open(t, "0A")
	write(t, mine, 5)
	if _, err := load(t, c, export(t, mine, nil)); err != nil {
		t.Fatal(err)
	}
	before := c.Revision().String()
	var other *ForeignError
	if _, err := load(t, c, export(t, foreign, nil)); !errors.As(err, &other) || !strings.Contains(err.Error(), "changeset 0A0000") {
		t.Errorf("got %v", err)
	}
	if _, err := Import(t.Context(), bytes.NewReader(export(t, mine, nil)), c, "0B", c.Apply); !errors.As(err, &other) || !strings.Contains(err.Error(), "trunk") {
		t.Errorf("another trunk: %v", err)
	}
	if got := c.Revision().String(); got != before || len(c.Forks()) > 0 {
		t.Errorf("revision %s after %s, forks %v", got, before, c.Forks())
	}
}

func TestWhatIsNoBundleIsSaidToBeNone(t *testing.T) {
	c := open(t, "0C")
	for _, text := range []string{"", "x", "{}", strings.Repeat("x", 1000), magic, magic + "H\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if got, err := load(t, c, []byte(text)); err == nil {
			t.Errorf("%.20q was taken: %+v", text, got)
		}
	}
}

func TestBundleFromBelowTheLogsFloorIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	a := open(t, "0A")
	write(t, a, 4)
	if err := a.SetCursor(t.Context(), "main", 4); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Trim(t.Context(), branch.Revision{{Branch: "0A", Seq: 2}}, testFuture); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, err := Export(t.Context(), &b, a, "0A", nil, nil)
	if _, ok := errors.AsType[*store.CompactedError](err); !ok || b.Len() > 0 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
	if _, err := Export(t.Context(), &b, a, "0A", branch.Revision{{Branch: "0A", Seq: 2}}, nil); err != nil {
		t.Errorf("from the floor: %v", err)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(magic))
	f.Add([]byte(magic + "H\x02{}"))
	s, err := store.Open(f.Context(), store.Options{Dir: f.TempDir(), Branch: "0A", NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Import(t.Context(), bytes.NewReader(data), s, "0A", s.Apply)
		if err == nil && len(data) < len(magic)+2*32 {
			t.Errorf("%d bytes were taken for a bundle", len(data))
		}
	})
}

// testFuture is after every clock.
var testFuture = time.Now().Add(24 * time.Hour)
