package store

import bolt "go.etcd.io/bbolt"

// Hooks let tests of crashes and of failing disks into the store. They are
// called by whoever writes, one at a time, and must not call the store.
type Hooks struct {
	// TailLimit is how many index entries are held back before they go into their
	// buckets; 0: as many as usual. With a small one even a small store does so all
	// the time.
	TailLimit int
	// BuildObjects is how many objects go into a declared index in one transaction,
	// or entries out of it; 0: as many as usual.
	BuildObjects int
	// BeforeCommit is called before each commit of the file. Its error fails the
	// commit as a disk would that takes nothing: nothing of it is written.
	BeforeCommit func() error
	// AfterCommit is called once a commit is in the file. Its error makes the
	// commit look as if the disk had taken it and failed to say that it is safe:
	// nobody is told that it is done, and it may be there nevertheless.
	AfterCommit func() error
	// Step is called during Compact, InstallSnapshot and RestoreSnapshot after
	// each step that changes something on disk, with one of the Step… names. Its
	// error ends the work there, as a failing disk would.
	Step func(step string) error
}

func (h *Hooks) tailLimit() int {
	if h == nil || h.TailLimit == 0 {
		return tailLimit
	}
	return h.TailLimit
}

func (h *Hooks) buildPiece() buildPiece {
	if h == nil || h.BuildObjects == 0 {
		return buildPiece{objects: buildObjects, entries: leaveEntries}
	}
	return buildPiece{objects: h.BuildObjects, entries: h.BuildObjects}
}

func (h *Hooks) beforeCommit() error {
	if h == nil || h.BeforeCommit == nil {
		return nil
	}
	return h.BeforeCommit()
}

func (h *Hooks) afterCommit() error {
	if h == nil || h.AfterCommit == nil {
		return nil
	}
	return h.AfterCommit()
}

func (h *Hooks) step(name string) error {
	if h == nil || h.Step == nil {
		return nil
	}
	return h.Step(name)
}

// commit commits a transaction of the file between the hooks.
func (h *Hooks) commit(tx *bolt.Tx) error {
	if err := h.beforeCommit(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return h.afterCommit()
}
