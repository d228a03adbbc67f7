package snapshotfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func roomy(free int64) Disk {
	return Disk{Free: func(string) (int64, error) { return free, nil }}
}

func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func writes(p []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(p)
		return err
	}
}

func headerOf(content []byte, chunk int64) Header {
	sum := sha256.Sum256(content)
	return Header{Sum: hex.EncodeToString(sum[:]), Size: int64(len(content)), ChunkBytes: chunk, Donor: "0A", Revision: "0A00007"}
}

func TestShelvedSnapshotIsReadBackByChunksUntilItIsCleared(t *testing.T) {
	s := Shelf{Dir: filepath.Join(t.TempDir(), "new")}
	content := bytes.Repeat([]byte("snapshot"), 1000)
	f, err := s.Make(100, writes(content))
	if err != nil {
		t.Fatal(err)
	}
	if f.Size != 8000 || f.Sum != sha256.Sum256(content) {
		t.Errorf("%d bytes, SHA-256 %x", f.Size, f.Sum)
	}
	var got []byte
	for at := int64(0); at < f.Size; at += 3000 {
		chunk, err := f.Chunk(at, 3000)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, chunk...)
	}
	if !bytes.Equal(got, content) {
		t.Error("the chunks are not the content")
	}
	for _, at := range []int64{-1, 8000, 9000} {
		if _, err := f.Chunk(at, 1); err == nil {
			t.Errorf("a chunk at %d of 8000", at)
		}
	}
	if err := s.Clear(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, s.Dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := f.Chunk(0, 10); err != nil {
		t.Errorf("who still reads it is cut off: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestShelfHasOneSnapshotAtATime(t *testing.T) {
	s := Shelf{Dir: t.TempDir()}
	for _, text := range []string{"first", "the second one"} {
		f, err := s.Make(1, writes([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Chunk(0, 100); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if left := files(t, s.Dir); len(left) != 1 {
		t.Errorf("%v are on the shelf", left)
	}
}

func TestSnapshotIsNotBegunWithoutRoomForWhatIsExpected(t *testing.T) {
	s := Shelf{Dir: t.TempDir(), Disk: roomy(Reserve + 99)}
	_, err := s.Make(100, func(io.Writer) error { t.Error("begun"); return nil })
	full, ok := errors.AsType[*NoRoomError](err)
	if !ok || full.Need != Reserve+100 || full.Free != Reserve+99 {
		t.Errorf("%v", err)
	}
}

func TestSnapshotThatOutgrowsTheRoomIsGivenUpAndRemoved(t *testing.T) {
	free := int64(1 << 40)
	s := Shelf{Dir: t.TempDir(), Disk: Disk{Free: func(string) (int64, error) { return free, nil }}}
	_, err := s.Make(1, func(w io.Writer) error {
		free = Reserve
		for range 100 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
		return nil
	})
	if _, ok := errors.AsType[*NoRoomError](err); !ok {
		t.Errorf("%v", err)
	}
	if left := files(t, s.Dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestFailedSnapshotIsRemoved(t *testing.T) {
	s := Shelf{Dir: t.TempDir()}
	_, err := s.Make(1, func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return errors.New("the store was closed")
	})
	if err == nil || !strings.Contains(err.Error(), "the store was closed") || len(files(t, s.Dir)) > 0 {
		t.Errorf("%v, left %v", err, files(t, s.Dir))
	}
}

func TestUnknownRoomIsAnErrorAndNotRoom(t *testing.T) {
	s := Shelf{Dir: t.TempDir(), Disk: Disk{Free: func(string) (int64, error) { return 0, errors.New("no answer") }}}
	if _, err := s.Make(1, writes(nil)); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("%v", err)
	}
}

func TestIncomingSnapshotIsWholeOnceAllChunksCame(t *testing.T) {
	dir, content := t.TempDir(), bytes.Repeat([]byte{1, 2, 3}, 333)
	in, err := Begin(dir, Disk{}, headerOf(content, 100))
	if err != nil {
		t.Fatal(err)
	}
	for !in.Whole() {
		at := int(in.Next()) * 100
		if err := in.Append(content[at:min(at+100, len(content))]); err != nil {
			t.Fatal(err)
		}
	}
	path, err := in.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := Discard(dir); err != nil || len(files(t, dir)) > 0 {
		t.Errorf("%v, left %v", err, files(t, dir))
	}
}

func TestChunkOfTheWrongSizeIsRefused(t *testing.T) {
	in, err := Begin(t.TempDir(), Disk{}, headerOf(make([]byte, 250), 100))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 99, 101} {
		if in.Append(make([]byte, size)) == nil {
			t.Errorf("%d bytes were taken for a chunk of 100", size)
		}
	}
	for _, size := range []int{100, 100, 50} {
		if err := in.Append(make([]byte, size)); err != nil {
			t.Error(err)
		}
	}
	if in.Append([]byte{1}) == nil || in.Append(nil) != nil {
		t.Error("something was taken beyond the end")
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

func TestOtherBytesThanAnnouncedAreNotFinished(t *testing.T) {
	content := make([]byte, 200)
	in, err := Begin(t.TempDir(), Disk{}, headerOf(content, 100))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Finish(); err == nil {
		t.Error("finished with nothing")
	}
	content[150] = 1
	for i := range 2 {
		if err := in.Append(content[100*i : 100*i+100]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Finish(); err == nil || !strings.Contains(err.Error(), "announced was") {
		t.Errorf("%v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

func TestReceiverAsksForRoomForTheFileAndTheStoreMadeOfIt(t *testing.T) {
	dir := t.TempDir()
	if _, err := Begin(dir, roomy(Reserve+399), headerOf(make([]byte, 200), 100)); err == nil || len(files(t, dir)) > 0 {
		t.Errorf("%v, left %v", err, files(t, dir))
	}
	in, err := Begin(dir, roomy(Reserve+400), headerOf(make([]byte, 200), 100))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

func TestNothingToFetchIsAnError(t *testing.T) {
	for _, h := range []Header{{Size: 0, ChunkBytes: 1}, {Size: 1, ChunkBytes: 0}, {Size: -1, ChunkBytes: 1}} {
		if _, err := Begin(t.TempDir(), Disk{}, h); err == nil {
			t.Errorf("%+v was begun", h)
		}
	}
}

func TestResumedFileGoesOnAfterTheLastWholeChunk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		content := rapid.SliceOfN(rapid.Byte(), 1, 500).Draw(rt, "content")
		chunk := rapid.IntRange(1, 200).Draw(rt, "chunk")
		in, err := Begin(dir, Disk{}, headerOf(content, int64(chunk)))
		if err != nil {
			rt.Fatal(err)
		}
		add := func() {
			at := int(in.Next()) * chunk
			if err := in.Append(content[at:min(at+chunk, len(content))]); err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(0, 5).Draw(rt, "chunks before the crash") {
			if !in.Whole() {
				add()
			}
		}
		_ = in.Close()
		if torn := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(rt, "torn write"); len(torn) > 0 {
			f, err := os.OpenFile(filepath.Join(dir, incoming), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				rt.Fatal(err)
			}
			// What a crash leaves of a chunk is shorter than the chunk.
			_, _ = f.Write(torn[:max(min(len(torn), chunk-1, len(content)-int(in.Bytes())-1), 0)])
			_ = f.Close()
		}
		if in, err = Resume(dir); err != nil || in == nil {
			rt.Fatalf("%v, %v", in, err)
		}
		for !in.Whole() {
			add()
		}
		if _, err := in.Finish(); err != nil {
			rt.Fatal(err)
		}
		_ = in.Close()
	})
}

func TestGarbageAndHalvesAreNotResumed(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"nothing":           func(string) error { return nil },
		"data without head": func(dir string) error { return os.WriteFile(filepath.Join(dir, incoming), []byte("x"), 0o600) },
		"head without data": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, incomingHead), []byte(`{"size":5,"chunkBytes":5}`), 0o600)
		},
		"head that is no":    func(dir string) error { return os.WriteFile(filepath.Join(dir, incomingHead), []byte(`{"si`), 0o600) },
		"head without sizes": func(dir string) error { return os.WriteFile(filepath.Join(dir, incomingHead), []byte(`{}`), 0o600) },
	} {
		dir := t.TempDir()
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		in, err := Resume(dir)
		if in != nil || err != nil {
			t.Errorf("%s: %v, %v", name, in, err)
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestNewFetchReplacesAnOldOne(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{300, 100} {
		in, err := Begin(dir, Disk{}, headerOf(make([]byte, size), 100))
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Append(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	in, err := Resume(dir)
	if err != nil || in.Size != 100 || !in.Whole() || in.Bytes() != 100 {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}
