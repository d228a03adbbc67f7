package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// flippedVariable makes the test binary a reader of damaged stores: it names the
// directory, where "sound" is the file as it was, and says how many of the flips
// have been dealt with.
const (
	flippedVariable = "VESPER_STORE_FLIPPED_DIR"
	skippedVariable = "VESPER_STORE_FLIPPED_SKIP"
)

// full makes a store that has something in every bucket, and closes it.
func full(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir, "0A")
	for i := range 3 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i))
	}
	do(t, s, (*Tx).Add, `{"id":"y","v":"@x"}`)
	other, third := open(t, t.TempDir(), "0B"), open(t, t.TempDir(), "0C")
	apply(t, other, feed(t, s)...)
	do(t, other, (*Tx).Update, `{"id":"x","v":"other"}`)
	do(t, s, (*Tx).Update, `{"id":"x","v":"own"}`)
	apply(t, s, feed(t, other)...) // a conflict
	do(t, third, (*Tx).Add, `{"id":"z","v":1}`)
	do(t, third, (*Tx).Add, `{"id":"z","v":2}`)
	apply(t, s, feed(t, third)[1]) // waits
	if err := s.SetCursor(t.Context(), "main", 5); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBootstrapped(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddEvidence(t.Context(), Evidence{Cause: "test"}, []byte("body")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TellFork(t.Context(), branch.Dot{Branch: "0D", Seq: 3}, "0B"); err != nil {
		t.Fatal(err)
	}
	trimAll(t, s, branch.Revision{{Branch: "0A", Seq: 2}})
	s = again(t, s, "v")
	waitBuilt(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// answers is what a store says about everything in it.
func answers(ctx context.Context, s *Store) (out string, err error) {
	err = s.View(ctx, func(r *Reader) error {
		for o, err := range r.Objects("") {
			if err != nil {
				return err
			}
			out += lines(o) + fmt.Sprintf("%s %v %+v\n", o.Revision, o.Last, o.Conflicts)
			h, err := r.History(o.ID)
			if err != nil {
				return err
			}
			then, _, err := r.ObjectAt(o.ID, s.Floor())
			if err != nil {
				return err
			}
			out += fmt.Sprintf("%+v\n%s", h, lines(then))
		}
		inOrder, err := orderedOrNot(r)
		out += fmt.Sprintf("%q\n", inOrder)
		return err
	})
	if err != nil {
		return out, err
	}
	entries, err := s.Feed(ctx, s.published().trimmed, 1<<20)
	for _, e := range entries {
		c, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
		if err != nil {
			return out, err
		}
		out += fmt.Sprintf("%d %s %+v\n", e.Pos, e.Dot, c.Objects)
	}
	cursor, _ := s.Cursor("main") // what waits may be forgotten: it comes again
	out += fmt.Sprintln(s.Revision(), s.Digest(), s.Floor(), cursor, s.Stats().Conflicts)
	return out, err
}

// orderedOrNot returns the subjects in order of v: by the index, if there is one.
func orderedOrNot(r *Reader) (subjects []string, err error) {
	seq, ok := r.Ordered("v", ValueRange{})
	if !ok {
		return inOrderOf(r, "v", ValueRange{})
	}
	for subject, err := range seq {
		if err != nil {
			return subjects, err
		}
		subjects = append(subjects, subject)
	}
	return subjects, nil
}

// flip is one damage: the byte at a place of the file gets another value.
type flip struct {
	at    int64
	value byte
}

// flipsOf damages every page of a file: its header, its first element, and
// places at random in what is used of it.
func flipsOf(sound []byte) []flip {
	var out []flip
	pageSize := os.Getpagesize()
	for page := 0; page < len(sound)/pageSize; page++ {
		content := sound[page*pageSize : (page+1)*pageSize]
		used := len(bytes.TrimRight(content, "\x00"))
		if used == 0 {
			continue
		}
		places := []int{0, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 26, 27, 28, 30, 31}
		for range 12 {
			places = append(places, rand.IntN(used))
		}
		for _, at := range places {
			out = append(out, flip{int64(page*pageSize + at), content[at] ^ 1<<rand.IntN(8)})
		}
	}
	return out
}

// TestBitFlipsAreFoundOrHarmless flips bits in every page of a small file that
// has something in every bucket. The store must refuse it, or find it in its
// check, or answer as before; and whatever it does, it must not fill the disk.
// Files are opened by another process, since bbolt may end it over a damaged page.
func TestBitFlipsAreFoundOrHarmless(t *testing.T) {
	dir := full(t)
	sound, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sound"), sound, 0o600); err != nil {
		t.Fatal(err)
	}
	flips := flipsOf(sound)
	var plan []byte
	for _, f := range flips {
		plan = append(binary.BigEndian.AppendUint64(plan, uint64(f.at)), f.value)
	}
	if err := os.WriteFile(filepath.Join(dir, "flips"), plan, 0o600); err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for done := 0; done < len(flips); {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), flippedVariable+"="+dir, fmt.Sprintf("%s=%d", skippedVariable, done), "GORACE=atexit_sleep_ms=0")
		out, err := cmd.Output()
		lines := bufio.NewScanner(bytes.NewReader(out))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			outcome, detail, _ := strings.Cut(lines.Text(), ": ")
			if outcome == "wrong" || outcome == "grew" || outcome == "hung" {
				t.Errorf("byte %d: %s: %s", flips[done].at, outcome, detail)
			}
			outcomes[outcome]++
			done++
		}
		if err != nil {
			outcomes["ended the process"]++
			done++
		}
	}
	t.Logf("%d flips: %v", len(flips), outcomes)
	if outcomes["found"] == 0 || outcomes["refused"] == 0 || outcomes["harmless"] == 0 {
		t.Errorf("of %d flips came %v", len(flips), outcomes)
	}
}

// runFlipped says in a line what becomes of each damaged file.
func runFlipped(dir string) {
	var skip int
	_, _ = fmt.Sscan(os.Getenv(skippedVariable), &skip)
	sound, err := os.ReadFile(filepath.Join(dir, "sound"))
	plan, err2 := os.ReadFile(filepath.Join(dir, "flips"))
	if err != nil || err2 != nil {
		os.Exit(1)
	}
	// Should our own bound fail, the test must not fill the machine's disk.
	const mostBytes = 512 << 20
	_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: mostBytes, Max: mostBytes})
	path := filepath.Join(dir, FileName)
	put := func(data []byte) {
		_ = os.Remove(path)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			os.Exit(1)
		}
	}
	put(sound)
	want, outcome := describeFlipped(dir)
	if outcome != "" {
		fmt.Fprintln(os.Stderr, "the sound file:", outcome)
		os.Exit(1)
	}
	// A store that goes round for ever, or eats all memory, is a fault too.
	debug.SetMemoryLimit(1 << 30)
	watchdog := time.AfterFunc(time.Hour, func() {
		fmt.Println("hung: no answer after ten seconds")
		os.Exit(0)
	})
	for plan = plan[9*skip:]; len(plan) > 0; plan = plan[9:] {
		watchdog.Reset(10 * time.Second)
		damaged := bytes.Clone(sound)
		damaged[binary.BigEndian.Uint64(plan)] = plan[8]
		put(damaged)
		got, outcome := describeFlipped(dir)
		switch info, err := os.Stat(path); {
		case err == nil && info.Size() > 256<<20:
			outcome = fmt.Sprintf("grew: to %d bytes", info.Size())
		case outcome == "" && got == want:
			outcome = "harmless"
		case outcome == "":
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			at = max(0, at-60)
			outcome = fmt.Sprintf("wrong: %.200q, want %.200q", got[min(at, len(got)):], want[min(at, len(want)):])
		}
		fmt.Println(outcome)
	}
}

// describeFlipped opens a store, reads and checks it, and writes a little.
func describeFlipped(dir string) (out, outcome string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true, VolumeIdentity: NoVolumeIdentity})
	if err != nil {
		return "", "refused"
	}
	defer func() { _ = s.Abandon() }()
	out, err = answers(ctx, s)
	if err != nil || s.Check(ctx) != nil {
		return out, "found"
	}
	if _, err := s.Update(ctx, WriteOptions{}, func(tx *Tx) error { _, err := tx.Delete("y"); return err }); err != nil || s.Check(ctx) != nil {
		return out, "found"
	}
	return out, ""
}
