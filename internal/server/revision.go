package server

import (
	"net/url"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// parseRevision reads a revision that a request names.
func parseRevision(name, text string) (branch.Revision, error) {
	at, err := branch.ParseRevision(text)
	if text == "" {
		return nil, problem(kindBadRequest, "%s is empty: send a revision such as 0A00012,0B00007, or leave it out", name)
	}
	if err != nil {
		return nil, problem(kindBadRequest, "%s: %q is no revision, such as 0A00012,0B00007: send one that Vesper-Revision or the status named (%v)", name, text, err)
	}
	return at, nil
}

// parseDot reads the name of a changeset.
func parseDot(name, text string) (branch.Dot, error) {
	d, err := branch.ParseDot(text)
	if err != nil {
		return d, problem(kindBadRequest, "%s: %q is no changeset, which is named like 0A00012: send one of the history or the changes (%v)", name, text, err)
	}
	return d, nil
}

// reached refuses a revision that the node does not have yet.
func reached(rd *store.Reader, name string, at branch.Revision) error {
	if now := rd.Revision(); !now.CoversAll(at) {
		return problem(kindNoRevision, "%s: this node is at revision %s, which does not cover %s: wait until it is there", name, now, at)
	}
	return nil
}

// revisionParam reads a revision that this node must have.
func revisionParam(rd *store.Reader, params url.Values, name string) (branch.Revision, error) {
	at, err := parseRevision(name, params.Get(name))
	if err != nil {
		return nil, err
	}
	return at, reached(rd, name, at)
}
