package replication

import (
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// phase is where a link stands on its way to being caught up.
type phase int

const (
	// phaseDown: not connected or not subscribed.
	phaseDown phase = iota
	// phaseDiscovering: subscribed, collecting beacons to learn what there is.
	phaseDiscovering
	// phaseCatchingUp: something that living peers have is missing.
	phaseCatchingUp
	// phaseCaughtUp: everything that peers had at the end of the discovery, or
	// longer ago than the patience, is applied.
	phaseCaughtUp
)

// catchup decides when a link is caught up. It does no I/O and has no clock.
type catchup struct {
	window, patience time.Duration

	phase  phase
	until  time.Time
	target branch.Revision
	// discovered is true once a discovery has ended since the start.
	discovered bool
}

// up starts a discovery: the link is subscribed from now on.
func (c *catchup) up(now time.Time) {
	c.phase, c.until, c.target = phaseDiscovering, now.Add(c.window), nil
}

// down forgets what was known: the link is lost.
func (c *catchup) down() { c.phase = phaseDown }

// step looks again: have is what is applied, target what the living peers have
// together, behind since when the longest standing gap exists (zero: none).
func (c *catchup) step(now time.Time, have, target branch.Revision, behind time.Time) {
	if c.phase == phaseDiscovering && !now.Before(c.until) {
		c.phase, c.target, c.discovered = phaseCatchingUp, target, true
	}
	if c.phase == phaseCaughtUp && !behind.IsZero() && now.Sub(behind) >= c.patience {
		c.phase, c.target = phaseCatchingUp, target
	}
	if c.phase == phaseCatchingUp && covers(have, c.target, target) {
		c.phase, c.target = phaseCaughtUp, nil
	}
}

// covers reports whether have covers goal as far as living peers can still
// give it: what only a peer that is gone had cannot be waited for.
func covers(have, goal, living branch.Revision) bool {
	for _, d := range goal {
		if have.At(d.Branch) < min(d.Seq, living.At(d.Branch)) {
			return false
		}
	}
	return true
}

// next is when step has something to decide that only time brings; zero: never.
func (c *catchup) next(behind time.Time) time.Time {
	switch {
	case c.phase == phaseDiscovering:
		return c.until
	case c.phase == phaseCaughtUp && !behind.IsZero():
		return behind.Add(c.patience)
	}
	return time.Time{}
}
