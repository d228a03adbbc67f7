package store

import (
	"context"
	"errors"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

func (s *Store) update(ctx context.Context, opts WriteOptions, fn func(*Tx) error) (Commit, error) {
	var commit Commit
	opts.limit = s.limit.check
	err := s.submit(ctx, func(b *batch) error {
		commit = Commit{}
		if reason := s.WritesRefused(); reason != "" {
			return &RefusedError{Reason: reason}
		}
		if f, forked := b.st.forked(s.opts.Branch); forked {
			return &RefusedError{Reason: (&ForkedError{Fork: f}).Error()}
		}
		var err error
		commit, err = b.write(ctx, s.opts.Branch, opts, fn)
		return err
	})
	if err != nil {
		return Commit{}, err
	}
	return commit, nil
}

// write runs one local transaction. Nothing is written to the file before fn
// has succeeded and the changeset is known to be sound.
func (b *batch) write(ctx context.Context, own branch.ID, opts WriteOptions, fn func(*Tx) error) (Commit, error) {
	if b.st.pending.has(own) {
		return Commit{}, &RefusedError{Reason: fmt.Sprintf("later changesets of this node's own branch %s have come from its peers "+
			"and wait for ones that are missing: the store is older than the branch", own)}
	}
	reader := &Reader{ctx: ctx, tx: b.tx, image: b.image(), revision: b.st.share(), policy: b.st.policy, over: none{}}
	for _, p := range opts.Preconditions {
		if err := p.check(reader); err != nil {
			return Commit{}, err
		}
	}
	w := &writing{reader: reader, opts: opts, objects: map[string]*working{}}
	reader.over = w
	if err := guard(func() error { return fn(&Tx{Reader: reader, w: w}) }); err != nil {
		return Commit{}, err
	}
	objects := w.net()
	if len(objects) == 0 {
		return Commit{Revision: b.st.share()}, nil
	}
	return b.commitLocal(ctx, own, w.opts, objects)
}

// guard turns a panic into an error, so that one caller's mistake does not end
// the work of all.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the transaction's function panicked: %v", p)
		}
	}()
	return fn()
}

// commitLocal makes a changeset of the branch's own and applies it.
func (b *batch) commitLocal(ctx context.Context, own branch.ID, opts WriteOptions, objects []changeset.ObjectChange) (Commit, error) {
	last := b.st.heads[own]
	known := b.basisOf(own)
	c := changeset.Changeset{
		Branch: own, Seq: last.seq + 1, Clock: b.st.clock.Next(b.now()), Prev: last.hash,
		Base:   b.news(own, known),
		Author: opts.Author, Comment: opts.Comment, Objects: objects,
	}
	c, err := b.shaped(ctx, c)
	if err != nil {
		return Commit{}, err
	}
	if len(c.Objects) == 0 {
		return Commit{Revision: b.st.share()}, nil
	}
	env, err := changeset.Encode(c)
	if err != nil {
		if _, tooLarge := errors.AsType[*changeset.LimitError](err); tooLarge {
			return Commit{}, &LimitError{Err: err}
		}
		return Commit{}, &InvalidError{Err: err}
	}
	if opts.limit != nil {
		if err := opts.limit(len(env.Body)); err != nil {
			return Commit{}, err
		}
	}
	b.advance(&c, env)
	b.local++
	return Commit{Dot: env.Dot, Revision: b.st.share(), Clock: c.Clock}, nil
}

// news returns what this store has applied of other branches since its last own
// changeset.
func (b *batch) news(own branch.ID, known basis) branch.Revision {
	var out branch.Revision
	for _, d := range b.st.revision {
		if d.Branch != own && !known.seen.Covers(d) {
			out = append(out, d)
		}
	}
	return out
}

// check returns a *PreconditionError unless the condition holds.
func (p Precondition) check(r *Reader) error {
	o, exists, err := r.Object(p.ID)
	if err != nil {
		return err
	}
	fail := func(wanted string) error {
		return &PreconditionError{ID: p.ID, Exists: exists, Revision: o.Revision, Wanted: wanted}
	}
	switch {
	case p.Present && !exists:
		return fail("that it exists")
	case p.Absent && exists:
		return fail("that it does not exist")
	case len(p.Revisions) > 0 && !p.matches(o, exists):
		return fail("revision " + p.Revisions[0].String())
	}
	return nil
}

func (p Precondition) matches(o Object, exists bool) bool {
	if !exists {
		return false
	}
	for _, r := range p.Revisions {
		if r.Equal(o.Revision) {
			return true
		}
	}
	return false
}
