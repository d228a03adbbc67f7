package server

import (
	"net/http"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// etag is an object's revision as an entity tag. An object's revision changes
// whenever the object does, so equal tags mean equal objects.
func etag(r branch.Revision) string { return `"` + r.String() + `"` }

// tags reads an If-Match or If-None-Match header; star reports "*". Weak tags
// count as strong ones: proxies that compress weaken them, and a revision is
// exact all the same. A tag may lack its quotes, but not one of them.
func tags(r *http.Request, name string) (list []string, star bool, err error) {
	rest := strings.Join(r.Header.Values(name), ",")
	for {
		if rest = strings.TrimLeft(rest, " \t,"); rest == "" {
			return list, star, nil
		}
		tag, after, ok := nextTag(rest)
		if !ok {
			return nil, false, problem(kindBadRequest, "%s is not understood from %.60q on: send the ETag of a GET in double quotes, or *", name, rest)
		}
		switch {
		case tag == "*" && rest[0] == '*':
			star = true
		case tag != "":
			list = append(list, tag)
		}
		rest = after
	}
}

// nextTag reads the tag with which a list begins.
func nextTag(list string) (tag, rest string, ok bool) {
	if quoted, is := strings.CutPrefix(strings.TrimPrefix(list, "W/"), `"`); is {
		if tag, rest, ok = strings.Cut(quoted, `"`); !ok {
			return "", "", false
		}
	} else {
		end := strings.IndexAny(list, ",\t ")
		if end < 0 {
			end = len(list)
		}
		if tag, rest = list[:end], list[end:]; strings.Contains(tag, `"`) {
			return "", "", false
		}
	}
	rest = strings.TrimLeft(rest, " \t")
	return tag, rest, rest == "" || rest[0] == ','
}

// precondition makes what If-Match and If-None-Match demand a condition of the
// transaction, so that nothing can come in between.
func precondition(r *http.Request, id string) ([]store.Precondition, error) {
	p := store.Precondition{ID: id}
	match, exists, err := tags(r, "If-Match")
	if err != nil {
		return nil, err
	}
	noneMatch, absent, err := tags(r, "If-None-Match")
	if err != nil {
		return nil, err
	}
	if len(noneMatch) > 0 {
		return nil, problem(kindBadRequest, "If-None-Match with a revision makes no sense for a write: send * (the object must not exist), or If-Match with the revision it must have")
	}
	p.Present, p.Absent = exists, absent
	for _, tag := range match {
		revision, err := branch.ParseRevision(tag)
		if err != nil {
			return nil, problem(kindPrecondition, "If-Match names %q, which no object has ever had as revision (%v): send the ETag of a GET", tag, err)
		}
		p.Revisions = append(p.Revisions, revision)
	}
	if !p.Present && !p.Absent && len(p.Revisions) == 0 {
		return nil, noCondition(r)
	}
	return []store.Precondition{p}, nil
}

// noCondition refuses a conditional header that names nothing: a write that was
// meant to be conditional must not be made without its condition.
func noCondition(r *http.Request) error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if len(r.Header.Values(name)) > 0 {
			return problem(kindBadRequest, "%s names no revision: send the ETag of a GET in double quotes, or *", name)
		}
	}
	return nil
}

// unconditional refuses conditional headers where a request may concern many
// objects: ignoring them would be worse.
func unconditional(r *http.Request) error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if len(r.Header.Values(name)) > 0 {
			return problem(kindBadRequest, "%s does not apply here, where a request may write many objects: nothing was written; "+
				"PUT, PATCH or DELETE one object at /v1/objects/{id}, or resolve its conflicts", name)
		}
	}
	return nil
}

// compare holds the conditions of a read against what would be sent: whether the
// client has it already, or an error when it is not what the client demands.
func compare(r *http.Request, o store.Object) (unchanged bool, err error) {
	tag := o.Revision.String()
	if len(r.Header.Values("If-Match")) > 0 {
		list, star, err := tags(r, "If-Match")
		if err != nil {
			return false, err
		}
		if !star && !slices.Contains(list, tag) {
			p := problem(kindPrecondition, "object %q is at revision %s, which If-Match does not name: leave the header out to read it as it is", o.ID, tag)
			p.Revision = tag
			return false, p
		}
	}
	list, star, err := tags(r, "If-None-Match")
	return star || slices.Contains(list, tag), err
}
