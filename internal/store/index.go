package store

import (
	"encoding/binary"

	"vesperdb.io/vesper/internal/statement"
)

// reindex makes the indexes over visible statements what they are after an
// object went from one view to another.
func (b *batch) reindex(before, after view) {
	refs := false
	diffViews(before, after, func(s statement.Statement, added bool) {
		refs = refs || s.IsRef()
		if added {
			b.put(bucketValues, valueKey(after.root, s), nil)
		} else {
			b.remove(bucketValues, valueKey(after.root, s))
		}
	})
	if refs {
		b.reindexRefs(before, after)
	}
	if len(b.st.declared) > 0 {
		b.reorder(before, after)
	}
	b.st.objects += exists(after) - exists(before)
	was, is := len(before.conflicts), len(after.conflicts)
	b.st.conflicts += int64(is - was)
	switch is {
	case was:
	case 0:
		b.remove(bucketConflicts, []byte(after.root))
	default:
		b.put(bucketConflicts, []byte(after.root), binary.AppendUvarint(nil, uint64(is)))
	}
}

func exists(v view) int64 {
	if len(v.statements) > 0 {
		return 1
	}
	return 0
}

func (b *batch) reindexRefs(before, after view) {
	was, is := before.references(), after.references()
	for id := range is {
		if !was[id] {
			b.put(bucketRefs, textKey(id, after.root), nil)
		}
	}
	for id := range was {
		if !is[id] {
			b.remove(bucketRefs, textKey(id, after.root))
		}
	}
}

// references returns the ids an object refers to.
func (v view) references() map[string]bool {
	ids := map[string]bool{}
	for _, s := range v.statements {
		if s.IsRef() && s.Text != statement.Nil {
			ids[s.Text] = true
		}
	}
	return ids
}

// diffViews calls visit for each value that only one of two views of one object
// has. Views are sorted alike, and values that differ in scope or positions
// only are one value here.
func diffViews(before, after view, visit func(s statement.Statement, added bool)) {
	was, is := before.statements, after.statements
	for len(was) > 0 || len(is) > 0 {
		c := compareFirst(was, is, after.root)
		switch {
		case c < 0:
			visit(was[0], false)
		case c > 0:
			visit(is[0], true)
		}
		if c <= 0 {
			was = skipSame(was)
		}
		if c >= 0 {
			is = skipSame(is)
		}
	}
}

// compareFirst orders the first statements of two lists; none comes last.
func compareFirst(a, b []statement.Statement, root string) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compareInView(a[0], b[0], root)
}

// skipSame cuts off the first statement and those of the same value after it.
func skipSame(list []statement.Statement) []statement.Statement {
	i := 1
	for i < len(list) && list[i].Term == list[0].Term && list[i].Predicate == list[0].Predicate && list[i].Subject == list[0].Subject {
		i++
	}
	return list[i:]
}

// compareInView orders statements as views do: the root's first.
func compareInView(a, b statement.Statement, root string) int {
	if a.Subject != b.Subject {
		switch root {
		case a.Subject:
			return -1
		case b.Subject:
			return 1
		}
	}
	a.Scope, b.Scope = "", ""
	return statement.CompareFact(a, b)
}
