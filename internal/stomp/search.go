package stomp

import (
	"math/rand/v2"
	"time"
)

// search decides which host comes next and after what wait. It has no clock of its own and is
// used by the supervisor's goroutine only.
type search struct {
	o             SessionOptions
	at            int       // index of the host to try
	tried         int       // hosts tried in a row without success since the last wait
	rounds        int       // rounds over all hosts without a stable connection
	attempts      int       // failed attempts since the session was last ready
	conflictSince time.Time // of the client id; zero when there is none
	now           func() time.Time
	jitter        func() float64 // in [0,1)
}

func newSearch(o SessionOptions) search {
	return search{o: o, now: time.Now, jitter: rand.Float64}
}

func (f *search) host() string { return f.o.Hosts[f.at] }

// lost takes the end of an attempt, or of a connection that was ready for a time, and plans the
// next attempt.
func (f *search) lost(addr string, ready time.Duration, err error) Event {
	e := Event{State: StateLost, Addr: addr, Err: err}
	if ready > 0 {
		f.attempts, f.tried, f.conflictSince = 0, 0, time.Time{}
	}
	f.attempts++
	e.Attempt = f.attempts
	switch {
	case IsClientIDInUse(err):
		e.RetryIn, e.PossibleSecondCopy = f.conflict()
	case ready >= f.o.Backoff.Max:
		// It worked for long: try the same host again, spread out so that many clients of one
		// broker do not all come at the same instant.
		f.rounds = 0
		e.RetryIn = time.Duration(f.jitter() * float64(f.o.Backoff.Min))
	case ready > 0:
		e.RetryIn = f.nextRound()
	default:
		e.RetryIn = f.nextHost()
	}
	return e
}

// nextHost goes on to the next host at once, and waits when all have been tried.
func (f *search) nextHost() time.Duration {
	f.at = (f.at + 1) % len(f.o.Hosts)
	if f.tried++; f.tried < len(f.o.Hosts) {
		return 0
	}
	f.tried = 0
	return f.nextRound()
}

func (f *search) nextRound() time.Duration {
	f.rounds++
	return f.wait(f.rounds, f.o.Backoff.Max)
}

// conflict stays at the host, since it is alive and the one that must let go of the client id.
// Its waits stay short: a broker frees the id of a closed connection within milliseconds, and
// that of a half-open one after its heart-beats.
func (f *search) conflict() (time.Duration, bool) {
	if f.conflictSince.IsZero() {
		f.conflictSince, f.rounds = f.now(), 0
	}
	f.rounds++
	limit := max(f.o.Backoff.Min, min(f.o.Backoff.Max, f.o.Conn.HeartBeat/2))
	return f.wait(f.rounds, limit), f.now().Sub(f.conflictSince) > f.o.ConflictPatience
}

// wait is Min doubled for each round after the first, at most limit, less up to half by chance.
func (f *search) wait(round int, limit time.Duration) time.Duration {
	d := f.o.Backoff.Min
	for range round - 1 {
		if d *= 2; d >= limit {
			d = limit
			break
		}
	}
	d = min(d, limit)
	return d - time.Duration(f.jitter()*float64(d)/2)
}
