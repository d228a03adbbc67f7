package branch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Revision is a version vector: for each branch the highest sequence applied.
// It is sorted by branch id, holds each branch once and no zero sequence. A
// Revision is never changed in place: every method returns a new one or the
// receiver itself. The nil Revision is the revision of an empty store.
type Revision []Dot

// ParseRevision reads what Revision.String writes: "0A00003,0B00002", or "0"
// or "" for the empty revision. Numbers have no upper width; branches must be
// in ascending order, each once.
func ParseRevision(s string) (Revision, error) {
	if s == "" || s == "0" {
		return nil, nil
	}
	parts := strings.Split(s, ",")
	r := make(Revision, 0, len(parts))
	for _, part := range parts {
		d, err := parseComponent(part)
		if err != nil {
			return nil, fmt.Errorf("parsing revision %q: %w", s, err)
		}
		if n := len(r); n > 0 && r[n-1].Branch >= d.Branch {
			return nil, fmt.Errorf("parsing revision %q: branch %s is not after %s", s, d.Branch, r[n-1].Branch)
		}
		r = append(r, d)
	}
	return r, nil
}

func parseComponent(part string) (Dot, error) {
	last := strings.LastIndexAny(part, letters)
	id, err := ParseID(part[:last+1])
	if err != nil {
		return Dot{}, err
	}
	seq, err := strconv.ParseUint(part[last+1:], 10, 64)
	if err != nil || seq == 0 {
		return Dot{}, fmt.Errorf("component %q has no sequence number from 1 up", part)
	}
	return Dot{Branch: id, Seq: seq}, nil
}

// String writes the components sorted by branch, each with at least five
// digits, joined by commas: "0A00003,0B00002". The empty revision is "0".
func (r Revision) String() string {
	if len(r) == 0 {
		return "0"
	}
	var b strings.Builder
	for i, d := range r {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(d.String())
	}
	return b.String()
}

// MarshalText implements encoding.TextMarshaler.
func (r Revision) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Revision) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRevision(string(b))
	return err
}

func (r Revision) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(r, id, func(d Dot, id ID) int {
		return strings.Compare(string(d.Branch), string(id))
	})
}

// At returns the highest sequence applied of a branch, 0 when there is none.
func (r Revision) At(id ID) uint64 {
	if i, ok := r.find(id); ok {
		return r[i].Seq
	}
	return 0
}

// Covers reports whether the changeset d is part of r.
func (r Revision) Covers(d Dot) bool { return d.Seq <= r.At(d.Branch) }

// CoversAll reports whether every changeset of s is part of r.
func (r Revision) CoversAll(s Revision) bool {
	for _, d := range s {
		if !r.Covers(d) {
			return false
		}
	}
	return true
}

// Equal reports whether both name the same changesets.
func (r Revision) Equal(s Revision) bool { return slices.Equal(r, s) }

// With returns r with d's branch raised to d's sequence; r itself when it
// covers d already.
func (r Revision) With(d Dot) Revision {
	i, ok := r.find(d.Branch)
	if ok && r[i].Seq >= d.Seq || d.Seq == 0 {
		return r
	}
	out := slices.Clone(r)
	if ok {
		out[i] = d
		return out
	}
	return slices.Insert(out, i, d)
}

// Merge returns the per-branch maximum of r and s.
func (r Revision) Merge(s Revision) Revision {
	out := make(Revision, 0, max(len(r), len(s)))
	for len(r) > 0 && len(s) > 0 {
		switch c := strings.Compare(string(r[0].Branch), string(s[0].Branch)); {
		case c < 0:
			out, r = append(out, r[0]), r[1:]
		case c > 0:
			out, s = append(out, s[0]), s[1:]
		default:
			out = append(out, Dot{Branch: r[0].Branch, Seq: max(r[0].Seq, s[0].Seq)})
			r, s = r[1:], s[1:]
		}
	}
	return append(append(out, r...), s...)
}

// Since returns the components of r that are higher than in s: what was
// learned between s and r. s.Merge(r.Since(s)) equals s.Merge(r).
func (r Revision) Since(s Revision) Revision {
	var out Revision
	for _, d := range r {
		if !s.Covers(d) {
			out = append(out, d)
		}
	}
	return out
}

// Behind counts the changesets of s that r lacks.
func (r Revision) Behind(s Revision) uint64 {
	var n uint64
	for _, d := range s {
		if have := r.At(d.Branch); d.Seq > have {
			n += d.Seq - have
		}
	}
	return n
}
