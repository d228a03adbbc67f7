package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// script tells the user what happens, with the time since the start.
type script struct {
	out     io.Writer
	started time.Time
}

// step announces what is done, does it, and says how long it took.
func (s *script) step(title string, do func() error) error {
	at := time.Now()
	fmt.Fprintf(s.out, "[%5.1fs] %s ...\n", at.Sub(s.started).Seconds(), title)
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(title[:1])+title[1:], err)
	}
	fmt.Fprintf(s.out, "[%5.1fs]   done in %.1fs\n", time.Since(s.started).Seconds(), time.Since(at).Seconds())
	return nil
}

// say prints one line below the step that is under way.
func (s *script) say(format string, args ...any) {
	fmt.Fprintf(s.out, "           "+format+"\n", args...)
}

// show prints a command as a user would type it, and what it printed.
func (s *script) show(command, output string) {
	fmt.Fprintf(s.out, "\n$ %s\n%s", command, output)
}
