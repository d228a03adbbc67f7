package server

import (
	"net/http"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// etag is an object's revision as an entity tag. An object's revision changes
// whenever the object does, so equal tags mean equal objects.
func etag(r branch.Revision) string { return `"` + r.String() + `"` }

// tags splits an If-Match or If-None-Match header; star reports "*". Weak tags
// count as strong ones: proxies that compress weaken them, and a revision is
// exact all the same.
func tags(header []string) (list []string, star bool) {
	for part := range strings.SplitSeq(strings.Join(header, ","), `"`) {
		switch part = strings.TrimSpace(part); part {
		case "", ",", "W/", ", W/", ",W/":
		case "*":
			star = true
		default:
			list = append(list, strings.Trim(part, ", "))
		}
	}
	return list, star
}

// precondition makes what If-Match and If-None-Match demand a condition of the
// transaction, so that nothing can come in between.
func precondition(r *http.Request, id string) ([]store.Precondition, error) {
	p := store.Precondition{ID: id}
	match, exists := tags(r.Header.Values("If-Match"))
	noneMatch, absent := tags(r.Header.Values("If-None-Match"))
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

// unchanged reports whether If-None-Match names what would be sent.
func unchanged(r *http.Request, tag string) bool {
	list, star := tags(r.Header.Values("If-None-Match"))
	if star {
		return true
	}
	for _, t := range list {
		if `"`+t+`"` == tag {
			return true
		}
	}
	return false
}
