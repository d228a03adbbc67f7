package bundle

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/replication"
)

// portion is how much is put into one frame.
const portion = 1 << 20

// Exported is what a bundle holds.
type Exported struct {
	Changesets int             `json:"changesets"`
	Revision   branch.Revision `json:"revision"`
}

// Export writes what a store has and a revision does not cover. flush, if not
// nil, is called after each frame. A revision below the log's floor gives a
// *store.CompactedError before anything is written.
func Export(ctx context.Context, w io.Writer, s replication.Store, trunk branch.ID, since branch.Revision, flush func() error) (Exported, error) {
	out := writer{w: bufio.NewWriterSize(w, 64<<10)}
	done := Exported{Revision: s.Revision()}
	begun := false
	begin := func() error {
		begun = true
		known, err := knownOf(ctx, s, done.Revision)
		if err != nil {
			return err
		}
		if _, err := out.w.WriteString(magic); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
		return out.json(kindHeader, Header{Version: Version, Trunk: trunk, Branch: s.Branch(), Since: since, Revision: done.Revision, Known: known})
	}
	for list, err := range replication.Since(ctx, s, since, portion) {
		if err == nil && !begun {
			err = begin()
		}
		if err == nil {
			err = out.changesets(list, flush)
		}
		if err != nil {
			return done, err
		}
		done.Changesets += len(list)
	}
	if !begun {
		if err := begin(); err != nil {
			return done, err
		}
	}
	if err := out.json(kindEnd, end{done.Changesets}); err != nil {
		return done, err
	}
	return done, out.flush(flush)
}

func (w *writer) changesets(list []changeset.Envelope, flush func() error) error {
	payload, err := changeset.Pack(list)
	if err != nil {
		return err
	}
	if err := w.frame(kindChangesets, payload); err != nil {
		return err
	}
	return w.flush(flush)
}

func (w *writer) flush(also func() error) error {
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	if also != nil {
		return also()
	}
	return nil
}

// knownOf names the earliest and the latest changeset of each branch that the
// log still has.
func knownOf(ctx context.Context, s replication.Store, revision branch.Revision) (out []Known, err error) {
	floor := branch.Revision(nil)
	if f, ok := s.(interface{ Floor() branch.Revision }); ok {
		floor = f.Floor()
	}
	for _, d := range revision {
		first := floor.At(d.Branch) + 1
		for _, seq := range []uint64{first, d.Seq} {
			if seq > d.Seq || seq == d.Seq && seq == first && len(out) > 0 && out[len(out)-1].Dot == d.String() {
				continue
			}
			list, err := s.Range(ctx, d.Branch, seq, seq, 1)
			if err != nil {
				return nil, err
			}
			for _, e := range list {
				out = append(out, Known{Dot: e.Dot.String(), Hash: hexOf(e.Hash)})
			}
		}
	}
	return out, nil
}
