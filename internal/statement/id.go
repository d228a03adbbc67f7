package statement

import "strings"

// Ids that Vesper generates say what they are: an anonymous prefix, then "j:",
// then "t:" (anonymous object of its own) or "e:object:<owner>:" and
// "e:list:<owner>:" (embedded in the object <owner>, and private to it), then
// what makes them unique, without a colon.
const (
	// AnonymousPrefix starts the ids that Vesper generates.
	AnonymousPrefix = "bnode:"
	// ShortAnonymousPrefix is the other accepted spelling of AnonymousPrefix.
	ShortAnonymousPrefix = "_:"

	// EmbeddedObjectMark follows the prefix of an embedded object's id; the
	// owner and a colon follow it.
	EmbeddedObjectMark = "j:e:object:"
	// EmbeddedListMark follows the prefix of an embedded list's id; the owner
	// and a colon follow it.
	EmbeddedListMark = "j:e:list:"
	// TopMark follows the prefix of the id generated for an object that is not
	// embedded.
	TopMark = "j:t:object:"
)

// IsAnonymous reports whether id was generated rather than chosen: it starts
// with "bnode:" or "_:".
func IsAnonymous(id string) bool {
	_, ok := cutAnonymous(id)
	return ok
}

func cutAnonymous(id string) (string, bool) {
	if rest, ok := strings.CutPrefix(id, AnonymousPrefix); ok {
		return rest, true
	}
	return strings.CutPrefix(id, ShortAnonymousPrefix)
}

// IsHidden reports whether query output leaves the id out unless it is asked
// for by name: it is anonymous and carries Vesper's "j:" mark.
func IsHidden(id string) bool {
	rest, ok := cutAnonymous(id)
	return ok && strings.HasPrefix(rest, "j:")
}

// IsEmbedded reports whether id is that of an object or list that lives inside
// another object and goes with it.
func IsEmbedded(id string) bool {
	_, ok := owner(id)
	return ok
}

// IsList reports whether id is that of a list inside a list.
func IsList(id string) bool {
	rest, ok := cutAnonymous(id)
	return ok && strings.HasPrefix(rest, EmbeddedListMark) && IsEmbedded(id)
}

// Root returns the id of the object that subject belongs to: for an embedded
// object or list its owner, else subject itself. Root(Root(x)) == Root(x).
func Root(subject string) string {
	for {
		up, ok := owner(subject)
		if !ok {
			return subject
		}
		subject = up
	}
}

func owner(id string) (string, bool) {
	rest, ok := cutAnonymous(id)
	if !ok {
		return "", false
	}
	if r, isObject := strings.CutPrefix(rest, EmbeddedObjectMark); isObject {
		rest = r
	} else if r, isList := strings.CutPrefix(rest, EmbeddedListMark); isList {
		rest = r
	} else {
		return "", false
	}
	// The owner's id may contain colons; the unique part never does.
	at := strings.LastIndexByte(rest, ':')
	if at <= 0 || at == len(rest)-1 {
		return "", false
	}
	return rest[:at], true
}
