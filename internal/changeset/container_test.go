package changeset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
)

func someEnvelopes(t testing.TB, n int) []Envelope {
	t.Helper()
	list := make([]Envelope, n)
	for i := range list {
		c := sample()
		c.Seq = uint64(i) + 2
		list[i] = mustEncode(t, c)
	}
	return list
}

func TestPackedChangesetsComeBackInOrderWithTheirBytes(t *testing.T) {
	for _, n := range []int{0, 1, 2, 500} {
		list := someEnvelopes(t, n)
		message, err := Pack(list)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unpack(message, DefaultLimits())
		if err != nil {
			t.Fatalf("%d changesets: %v", n, err)
		}
		if len(got) != n {
			t.Fatalf("packed %d, unpacked %d", n, len(got))
		}
		for i := range got {
			if got[i].Dot != list[i].Dot || got[i].Hash != list[i].Hash || !bytes.Equal(got[i].Body, list[i].Body) {
				t.Fatalf("changeset %d of %d came back different", i, n)
			}
			if _, err := Decode(got[i], DefaultLimits()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPackingManySmallChangesetsSavesSpace(t *testing.T) {
	list := someEnvelopes(t, 200)
	message, err := Pack(list)
	if err != nil {
		t.Fatal(err)
	}
	if plain := 200 * len(list[0].Body); len(message)*2 > plain {
		t.Errorf("%d bytes of changesets became a message of %d", plain, len(message))
	}
}

func TestCutMessagesAreRefused(t *testing.T) {
	message, err := Pack(someEnvelopes(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(message) {
		if _, err := Unpack(message[:n], DefaultLimits()); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(message))
		}
	}
}

func TestChangedMessagesGiveErrorsOrChangesetsWhoseHashTells(t *testing.T) {
	list := someEnvelopes(t, 3)
	message, err := Pack(list)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		bad := bytes.Clone(message)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		got, err := Unpack(bad, DefaultLimits())
		if err != nil {
			return
		}
		for i, e := range got {
			if _, err := Decode(e, DefaultLimits()); err == nil && (i >= len(list) || e.Hash != list[i].Hash) {
				t.Fatalf("a changed message gave changeset %s", e)
			}
		}
	})
}

func TestLengthsAreCheckedBeforeMemoryIsTaken(t *testing.T) {
	frame := func(raw []byte, size uint64) []byte {
		c, err := compressors()
		if err != nil {
			t.Fatal(err)
		}
		out := append([]byte(magic), containerVersion)
		return c.enc.EncodeAll(raw, binary.AppendUvarint(out, size))
	}
	body := func(n uint64) []byte {
		raw := binary.AppendUvarint(nil, 1)
		raw = append(raw, 2, '0', 'A', 1)
		raw = append(raw, make([]byte, 32)...)
		return append(binary.AppendUvarint(raw, n), 'x')
	}
	huge := uint64(1) << 60
	zeros := make([]byte, 1<<20)
	for name, message := range map[string][]byte{
		"announced length":   frame([]byte{0}, huge),
		"length that lies":   frame(zeros, 1),
		"number":             frame(binary.AppendUvarint(nil, huge), 9),
		"body":               frame(body(huge), uint64(len(body(huge)))),
		"body that is cut":   frame(body(2), uint64(len(body(2)))),
		"something left":     frame([]byte{0, 0}, 2),
		"other magic":        []byte("VSPXsomething else altogether"),
		"newer container":    append([]byte(magic), 9, 1, 0),
		"nothing":            nil,
		"only magic":         []byte(magic),
		"no compressed part": append([]byte(magic), containerVersion, 0),
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := Unpack(message, DefaultLimits()); err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
		if allocated > 100 {
			t.Errorf("%s: %g allocations", name, allocated)
		}
	}
	small := DefaultLimits()
	small.MessageBytes = 1000
	_, err := Unpack(frame(zeros, uint64(len(zeros))), small)
	if _, ok := errors.AsType[*LimitError](err); !ok {
		t.Errorf("a message beyond the limit gave %v", err)
	}
}

func TestPackRefusesMoreThanAMessageMayHold(t *testing.T) {
	big := Envelope{Dot: branch.Dot{Branch: "0A", Seq: 1}, Body: make([]byte, 50<<20)}
	_, err := Pack([]Envelope{big, big})
	if _, ok := errors.AsType[*LimitError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	message, err := Pack(someEnvelopes(f, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, message []byte) {
		limits := DefaultLimits()
		limits.MessageBytes = 1 << 20
		list, err := Unpack(message, limits)
		if err != nil {
			return
		}
		if again, err := Pack(list); err != nil {
			t.Errorf("packing it again: %v", err)
		} else if back, err := Unpack(again, limits); err != nil || len(back) != len(list) {
			t.Errorf("packed again it has %d changesets, not %d (%v)", len(back), len(list), err)
		}
	})
}
