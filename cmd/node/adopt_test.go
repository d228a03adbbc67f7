package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

func TestStoppedStoreIsAdoptedAndOpensUnderTheNewIDAlone(t *testing.T) {
	dir := filled(t)
	code, out, errs := run(t, "adopt", "--data", dir, "--branch", "0D")
	if want := filepath.Join(dir, "vesper.db") + " is of branch 0D now, and was of 0C; it is at revision 0C00001. "; code != exitOK || !strings.HasPrefix(out, want) {
		t.Errorf("adopt: %d, %s%s", code, out, errs)
	}
	if code, out, errs = run(t, "check", "--data", dir); code != exitOK || !strings.Contains(out, "is sound: branch 0D, revision 0C00001, 1 objects") {
		t.Errorf("check: %d, %s%s", code, out, errs)
	}
	if s, err := store.Open(t.Context(), store.Options{Dir: dir, Branch: "0C"}); err == nil {
		t.Errorf("it opens under its former id: %v", s.Close())
	}
}

func TestAdoptRefusesAnIDThatMayHaveBeenUsedAndAStoreThatIsInUse(t *testing.T) {
	dir := filled(t)
	busy := filled(t)
	s, err := store.Open(t.Context(), store.Options{Dir: busy, Branch: "0C"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"it has that id already", exitFailed, []string{"--data", dir, "--branch", "0C"}},
		{"2 characters", exitFailed, []string{"--data", dir, "--branch", "00D"}},
		{"in use", exitFailed, []string{"--data", busy, "--branch", "0D"}},
		{"no such file", exitFailed, []string{"--data", t.TempDir(), "--branch", "0D"}},
		{"only digits and the letters", exitUsage, []string{"--data", dir, "--branch", "a/b"}},
		{"give --data DIR", exitUsage, []string{"--data", dir}},
		{"give --data DIR", exitUsage, []string{"--branch", "0D"}},
	} {
		if code, out, errs := run(t, append([]string{"adopt"}, c.args...)...); code != c.code || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("%v: %d, %s%s, want %d, %q", c.args, code, out, errs, c.code, c.says)
		}
	}
	if code, out, errs := run(t, "check", "--data", dir); code != exitOK || !strings.Contains(out, "branch 0C,") {
		t.Errorf("after what was refused: %d, %s%s", code, out, errs)
	}
	if code, _, errs := run(t, "adopt", "--data", dir, "--branch", "0D"); code != exitOK {
		t.Fatal(errs)
	}
	if code, _, errs := run(t, "adopt", "--data", dir, "--branch", "0C"); code != exitFailed || !strings.Contains(errs, "somebody has written under it, up to 0C00001") {
		t.Errorf("back to the former id: %d, %s", code, errs)
	}
}

// TestCopiedVolumeThatIsAdoptedWritesUnderItsNewIDAndSendsWhatTheOldOneKept: by
// processes, over a broker. What the copied node had not sent arrives as well.
func TestCopiedVolumeThatIsAdoptedWritesUnderItsNewIDAndSendsWhatTheOldOneKept(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	two := newMember(t, "0B", replicating(b.Addr())).start()
	lone := newMember(t, "0A", "").start() // it reaches no broker
	lone.ready()
	two.ready()
	lone.put("a", `{"x":1}`)
	lone.put("b", `{"x":1}`)
	lone.process.stop()
	one := newMember(t, "0C", replicating(b.Addr()))
	data, err := os.ReadFile(filepath.Join(lone.dir, store.FileName))
	if err == nil {
		err = os.MkdirAll(one.dir, 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(one.dir, store.FileName), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	adopt := start(t, "adopt", "--data", one.dir, "--branch", "0C")
	if code := adopt.wait(); code != exitOK {
		t.Fatalf("exit code %d: %s", code, adopt.stderr.String())
	}
	one.start().ready()
	one.put("c", `{"x":1}`)
	converged(t, 3, one.api, two.api)
	s := two.wantStatus("at both branches", func(s nodestatus.Status) bool {
		return s.Revision.At("0A") == 2 && s.Revision.At("0C") == 1
	})
	if s.Pending.Changesets != 0 {
		t.Errorf("unexpected status %+v", s)
	}
}
