package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress tells how far a transfer is: as a bar that is drawn over itself on a
// terminal, as a line now and then elsewhere.
type progress struct {
	w        io.Writer
	unit     string
	terminal bool
	// part is how much of the whole so much is, from 0 to 1; nil when nobody knows.
	part    func(done int64) float64
	started time.Time
	told    time.Time
}

const (
	barWidth   = 30
	drawEvery  = 100 * time.Millisecond
	tellEvery  = 10 * time.Second
	clearsLine = "\r\x1b[K"
)

func newProgress(w io.Writer, unit string) *progress {
	p := &progress{w: w, unit: unit, started: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	p.told = p.started
	return p
}

// at tells that so much is done, unless that was told a moment ago.
func (p *progress) at(done int64) {
	every := tellEvery
	if p.terminal {
		every = drawEvery
	}
	if now := time.Now(); now.Sub(p.told) >= every {
		p.told = now
		p.draw(done)
	}
}

func (p *progress) draw(done int64) {
	line := fmt.Sprintf("%d %s, %.0f a second", done, p.unit, float64(done)/max(time.Since(p.started).Seconds(), 0.001))
	if p.part != nil {
		part := max(0, min(p.part(done), 1))
		full := int(part * barWidth)
		line = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*part, line)
	}
	if p.terminal {
		line = clearsLine + line
	} else {
		line += "\n"
	}
	_, _ = io.WriteString(p.w, line) // progress is no reason to fail
}

// say tells something else, on a line of its own.
func (p *progress) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...) + "\n"
	if p.terminal {
		text = clearsLine + text
	}
	_, _ = io.WriteString(p.w, text) // progress is no reason to fail
}

// end draws the last state of a terminal's bar.
func (p *progress) end(done int64) {
	if p.terminal {
		p.draw(done)
		_, _ = io.WriteString(p.w, "\n") // progress is no reason to fail
	}
}
