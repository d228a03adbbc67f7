package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestHelpOfEachCommandIsShortAndHasAnExampleThatTheCommandTakes: what stands in
// an example must be a command with flags that exist.
func TestHelpOfEachCommandIsShortAndHasAnExampleThatTheCommandTakes(t *testing.T) {
	var out bytes.Buffer
	root := newCommand(&out, &out)
	for _, cmd := range append(root.Commands(), root) {
		args := append(strings.Fields(strings.TrimPrefix(cmd.CommandPath(), "vesper-node")), "--help")
		code, help, errs := run(t, args...)
		if code != exitOK || errs != "" {
			t.Errorf("%v: %d, %s", args, code, errs)
		}
		if lines := strings.Count(help, "\n"); lines > 40 {
			t.Errorf("%v: %d lines", args, lines)
		}
		for line := range strings.Lines(help) {
			if len(line) > 140 {
				t.Errorf("%v: %q is long", args, line)
			}
		}
		if !cmd.HasExample() {
			t.Errorf("%v: no example", args)
		}
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(line)
			target, rest, err := root.Find(words[1:])
			if words[0] != "vesper-node" || err != nil || target != cmd && cmd != root || target.ParseFlags(rest) != nil {
				t.Errorf("%v: the example %q is not one of it: %v", args, line, err)
			}
		}
	}
	if _, help, _ := run(t, "--help"); !strings.Contains(help, "snapshot") || !strings.Contains(help, "Back up") {
		t.Errorf("the list of commands: %s", help)
	}
}
