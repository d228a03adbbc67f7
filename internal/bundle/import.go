package bundle

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// Target is what a bundle is imported into.
type Target interface {
	Revision() branch.Revision
	Range(ctx context.Context, b branch.ID, from, to uint64, maxBytes int) ([]changeset.Envelope, error)
}

// Apply takes changesets, as Apply of a store does.
type Apply func(ctx context.Context, list []changeset.Envelope) (store.Applied, error)

// Imported is what became of a bundle. It is right also when an error ended the
// import: what is counted is on disk.
type Imported struct {
	Changesets int `json:"changesets"`
	Applied    int `json:"applied"`
	Duplicate  int `json:"duplicate"`
	// Pending wait for changesets that neither the node nor the bundle has.
	Pending  int `json:"pending"`
	Rejected int `json:"rejected"`
	// Revision is the node's afterwards.
	Revision branch.Revision `json:"revision"`
}

// ForeignError says that a bundle is of another system than the store.
type ForeignError struct{ Why string }

// Error says how that was seen.
func (e *ForeignError) Error() string {
	return "the bundle is of another system: " + e.Why
}

// Import applies a bundle. It may be repeated, and go on where an earlier try
// ended: what is there already is passed over. A bundle of another system is a
// *ForeignError, a damaged one a *DamagedError; of neither is anything unsound
// applied.
func Import(ctx context.Context, r io.Reader, t Target, trunk branch.ID, apply Apply) (out Imported, err error) {
	defer func() { out.Revision = t.Revision() }()
	in := reader{r: bufio.NewReaderSize(r, 64<<10)}
	h, err := in.header()
	if err != nil {
		return out, err
	}
	if err := check(ctx, h, t, trunk); err != nil {
		return out, err
	}
	for {
		kind, payload, err := in.frame()
		if err != nil {
			return out, err
		}
		switch kind {
		case kindEnd:
			return out, out.ended(payload)
		case kindChangesets:
			if err := out.take(ctx, payload, t, apply); err != nil {
				return out, err
			}
		default: // of a later minor version: it can be left out
		}
	}
}

// check refuses the bundle of another system before anything of it is applied.
func check(ctx context.Context, h Header, t Target, trunk branch.ID) error {
	if h.Trunk != trunk {
		return &ForeignError{fmt.Sprintf("its trunk is %s, this node's is %s", h.Trunk, trunk)}
	}
	for _, k := range h.Known {
		d, err := branch.ParseDot(k.Dot)
		if err != nil {
			return &DamagedError{err}
		}
		if err := same(ctx, t, d, k.Hash); err != nil {
			return err
		}
	}
	return nil
}

// same returns a *ForeignError when the target has another changeset of that name.
func same(ctx context.Context, t Target, d branch.Dot, hash string) error {
	if !t.Revision().Covers(d) {
		return nil
	}
	list, err := t.Range(ctx, d.Branch, d.Seq, d.Seq, 1)
	if _, gone := errors.AsType[*store.CompactedError](err); gone {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Dot == d && hexOf(e.Hash) != hash {
			return &ForeignError{fmt.Sprintf("changeset %s is another one there than here", d)}
		}
	}
	return nil
}

func (out *Imported) take(ctx context.Context, payload []byte, t Target, apply Apply) error {
	list, err := changeset.Unpack(payload, changeset.DefaultLimits())
	if err != nil {
		return &DamagedError{err}
	}
	for _, e := range list {
		if err := same(ctx, t, e.Dot, hexOf(e.Hash)); err != nil {
			return err
		}
	}
	a, err := apply(ctx, list)
	if err != nil {
		return fmt.Errorf("applying %d changesets of the bundle: %w", len(list), err)
	}
	out.Changesets += len(list)
	out.Applied += a.Applied
	out.Duplicate += a.Duplicate
	out.Pending += a.Pending
	out.Rejected += len(a.Rejected)
	if a.Dropped > 0 {
		return fmt.Errorf("applying a bundle: there was no room to keep %d changesets that wait for others: import first what they build on", a.Dropped)
	}
	return nil
}

// ended checks that nothing is missing in the middle.
func (out *Imported) ended(payload []byte) error {
	var e end
	if err := json.Unmarshal(payload, &e); err != nil {
		return &DamagedError{err}
	}
	if e.Changesets != out.Changesets {
		return &DamagedError{fmt.Errorf("it has %d changesets and says %d", out.Changesets, e.Changesets)}
	}
	return nil
}
