package store

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// ValueRange bounds the values of a property, each taken as a whole: of several
// values that is their list. It also says in which order they come.
type ValueRange struct {
	// Low and High are the least and the greatest value; nil for no bound.
	Low, High *value.Value
	// LowOpen and HighOpen exclude what equals the bound.
	LowOpen, HighOpen bool
	// Desc has values descend.
	Desc bool
}

// holds reports whether a value is in the range.
func (w ValueRange) holds(v value.Value) bool {
	if w.Low != nil {
		if c := value.Compare(v, *w.Low); c < 0 || c == 0 && w.LowOpen {
			return false
		}
	}
	if w.High != nil {
		if c := value.Compare(v, *w.High); c > 0 || c == 0 && w.HighOpen {
			return false
		}
	}
	return true
}

// keys returns the first key that may be in the range and the first behind it,
// for a predicate with its NUL. Where a bound is cut, all that is cut alike is
// between them.
func (w ValueRange) keys(prefix []byte) (from, to []byte) {
	from, to = prefix, behindAll(prefix)
	bound := func(v value.Value) (group []byte, cut bool) {
		group = value.AppendKey(slices.Clone(prefix), v, maxKeyText)
		cut = len(group)-len(prefix) > maxKeyText
		return append(group, 0), cut
	}
	if w.Low != nil {
		group, cut := bound(*w.Low)
		if from = group; w.LowOpen && !cut {
			from = behindAll(group)
		}
	}
	if w.High != nil {
		group, cut := bound(*w.High)
		if to = group; !w.HighOpen || cut {
			to = behindAll(group)
		}
	}
	return from, to
}

// behindAll returns the first key behind all that start with a prefix, which is
// not empty and ends with NUL.
func behindAll(prefix []byte) []byte {
	out := slices.Clone(prefix)
	out[len(out)-1] = 1
	return out
}

// Ordered yields the subjects, embedded ones too, that have a value under a
// predicate within a range, in the order of their values (value.Compare), and
// those of equal values in order of root and subject. It reads the part of the
// index that the range asks for, and objects only where values are longer than
// the index keeps. ok is false when no index of the property is declared, or it
// is not built yet. In a transaction it has what that has written.
func (r *Reader) Ordered(predicate string, within ValueRange) (seq iter.Seq2[string, error], ok bool) {
	w, ok := r.orderedWalk(predicate, within)
	if !ok {
		return nil, false
	}
	return func(yield func(string, error) bool) {
		walk := *w // each time anew: two may go on at once
		if err := walk.run(func(subject string) bool { return yield(subject, nil) }); err != nil {
			yield("", err)
		}
	}, true
}

// CountOrdered counts what Ordered yields, no further than atMost, from the index
// alone: a long value counts when it may lie in the range.
func (r *Reader) CountOrdered(predicate string, within ValueRange, atMost int) (c Count, ok bool) {
	w, ok := r.orderedWalk(predicate, within)
	if !ok {
		return c, false
	}
	return countKeys(w.ascending(w.from, w.to), atMost), true
}

// orderedWalk is a walk through the index of one property.
type orderedWalk struct {
	reader    *Reader
	predicate string
	within    ValueRange
	from, to  []byte
	// roots are the objects that the transaction has written, in order, keys the
	// entries that they have now.
	roots []string
	keys  [][]byte
	yield func(subject string) bool
	steps int
}

func (r *Reader) orderedWalk(predicate string, within ValueRange) (*orderedWalk, bool) {
	d, err := declarationIn(r.tx)
	if err != nil || !slices.ContainsFunc(d.Indexes, func(d declaredIndex) bool {
		return d.Property == predicate && d.State == indexBuilt
	}) {
		return nil, false // of a damaged declaration the check tells; nothing needs the index
	}
	w := &orderedWalk{reader: r, predicate: predicate, within: within, roots: r.over.roots()}
	w.from, w.to = within.keys(textKey(predicate))
	for _, root := range w.roots {
		o, _, _ := r.over.object(root, root)
		w.keys = append(w.keys, orderedKeys(root, view{root: root, statements: o.Statements}.under(predicate))...)
	}
	slices.SortFunc(w.keys, bytes.Compare)
	return w, true
}

// errDone ends a walk that nobody wants to go on with.
type errDone struct{}

// Error is never shown.
func (errDone) Error() string { return "enough was read" }

// run yields all subjects.
func (w *orderedWalk) run(yield func(string) bool) error {
	w.yield = yield
	walk := w.up
	if w.within.Desc {
		walk = w.down
	}
	if err := walk(); !errors.Is(err, errDone{}) {
		return err
	}
	return nil
}

// give yields the subject of an entry.
func (w *orderedWalk) give(p place) error {
	if !w.yield(p.subject) {
		return errDone{}
	}
	return nil
}

// step takes an entry apart, and looks now and then whether to go on.
func (w *orderedWalk) step(key []byte) (orderedEntry, error) {
	if w.steps++; w.steps%256 == 0 && w.reader.ctx.Err() != nil {
		return orderedEntry{}, context.Cause(w.reader.ctx)
	}
	return takeApart(key, len(w.predicate)+1)
}

// up walks in ascending order.
func (w *orderedWalk) up() error {
	for from := w.from; from != nil; {
		long, err := w.upToLong(from)
		if err != nil || long == nil {
			return err
		}
		if err := w.long(long); err != nil {
			return err
		}
		from = behindAll(long)
	}
	return nil
}

// upToLong walks to the first group of values that are cut, and returns it.
func (w *orderedWalk) upToLong(from []byte) (long []byte, err error) {
	for k := range w.ascending(from, w.to) {
		e, err := w.step(k)
		if err != nil {
			return nil, err
		}
		if e.cut {
			return bytes.Clone(e.group), nil
		}
		if err := w.give(e.place()); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// downPiece is how many entries of equal values are read backwards to be given in
// their order. Of more of them, what was read is read again, forwards.
const downPiece = 64

// down walks in descending order of values.
func (w *orderedWalk) down() error {
	for to := w.to; to != nil; {
		group, err := w.downToGroup(to)
		if err != nil || group == nil {
			return err
		}
		if err := w.group(group); err != nil {
			return err
		}
		to = group
	}
	return nil
}

// downToGroup walks to the next group that is long, or whose values are cut, and
// returns it.
func (w *orderedWalk) downToGroup(to []byte) (long []byte, err error) {
	var group []byte
	var equal []place // of the group, backwards
	flush := func() error {
		for _, p := range slices.Backward(equal) {
			if err := w.give(p); err != nil {
				return err
			}
		}
		equal = equal[:0]
		return nil
	}
	for k := range w.descending(w.from, to) {
		e, err := w.step(k)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(e.group, group) {
			if err := flush(); err != nil {
				return nil, err
			}
			group = append(group[:0], e.group...)
		}
		if e.cut || len(equal) == downPiece {
			return group, nil
		}
		equal = append(equal, e.place())
	}
	return nil, flush()
}

// group gives the entries of one group, whatever they are.
func (w *orderedWalk) group(group []byte) error {
	for k := range w.ascending(group, behindAll(group)) {
		e, err := w.step(k)
		if err != nil {
			return err
		}
		if e.cut {
			return w.long(group)
		}
		if err := w.give(e.place()); err != nil {
			return err
		}
	}
	return nil
}

// ascending yields the entries from one key on and before another, in order.
func (w *orderedWalk) ascending(from, to []byte) iter.Seq[[]byte] {
	c := w.reader.tx.Bucket(bucketOrdered).Cursor()
	stored := func(yield func([]byte) bool) {
		for k, _ := c.Seek(from); k != nil && bytes.Compare(k, to) < 0 && yield(k); k, _ = c.Next() {
		}
	}
	return w.merged(stored, w.written(from, to), bytes.Compare)
}

// descending is ascending backwards.
func (w *orderedWalk) descending(from, to []byte) iter.Seq[[]byte] {
	c := w.reader.tx.Bucket(bucketOrdered).Cursor()
	stored := func(yield func([]byte) bool) {
		k, _ := c.Seek(to)
		if k == nil {
			k, _ = c.Last()
		}
		for ; k != nil && bytes.Compare(k, from) >= 0; k, _ = c.Prev() {
			if bytes.Compare(k, to) < 0 && !yield(k) {
				return
			}
		}
	}
	written := slices.Clone(w.written(from, to))
	slices.Reverse(written)
	return w.merged(stored, written, func(a, b []byte) int { return bytes.Compare(b, a) })
}

// written returns the entries that the transaction has written between two keys.
func (w *orderedWalk) written(from, to []byte) [][]byte {
	first, _ := slices.BinarySearchFunc(w.keys, from, bytes.Compare)
	last, _ := slices.BinarySearchFunc(w.keys, to, bytes.Compare)
	return w.keys[first:max(first, last)]
}

// merged yields two sorted lists of entries as one; the stored ones without those
// of objects that the transaction has written.
func (w *orderedWalk) merged(stored iter.Seq[[]byte], written [][]byte, compare func(a, b []byte) int) iter.Seq[[]byte] {
	if len(w.roots) == 0 {
		return stored
	}
	return func(yield func([]byte) bool) {
		rest := written
		for k := range stored {
			e, err := takeApart(k, len(w.predicate)+1)
			if _, again := slices.BinarySearch(w.roots, string(e.root)); again && err == nil {
				continue
			}
			for len(rest) > 0 && compare(rest[0], k) < 0 {
				if !yield(rest[0]) {
					return
				}
				rest = rest[1:]
			}
			if !yield(k) {
				return
			}
		}
		for _, k := range rest {
			if !yield(k) {
				return
			}
		}
	}
}

// Values that are cut alike are read from their objects and put in order, so many
// at a time: the least, then the least of those that are greater, and so on. A
// group of many costs several walks through it, and never more memory.
const (
	longPiece      = 1024
	longPieceBytes = 8 << 20
)

// longValue is a value that is longer than the index keeps.
type longValue struct {
	value value.Value
	size  int
	place
}

// long gives the entries of a group whose values are cut, as far as they are in
// the range.
func (w *orderedWalk) long(group []byte) error {
	for last := (*longValue)(nil); ; {
		least, more, err := w.leastOf(group, last)
		if err != nil {
			return err
		}
		for _, v := range least {
			if err := w.give(v.place); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		last = &least[len(least)-1]
	}
}

// leastOf returns the first values of a group that come behind another one, in
// their order, and whether there are more.
func (w *orderedWalk) leastOf(group []byte, before *longValue) (least []longValue, more bool, err error) {
	size := 0
	var most *longValue // what is greater comes another time: some of that was dropped
	for k := range w.ascending(group, behindAll(group)) {
		e, err := w.step(k)
		if err != nil {
			return nil, false, err
		}
		v, err := w.read(e.place())
		if err != nil {
			return nil, false, err
		}
		if !w.within.holds(v.value) || before != nil && w.compare(v, *before) <= 0 {
			continue
		}
		if most != nil && w.compare(v, *most) > 0 {
			continue
		}
		least = append(least, v)
		if size += v.size; len(least) > 2*longPiece || size > 2*longPieceBytes && len(least) > 1 {
			least, size = w.firstOf(least)
			last := least[len(least)-1]
			most = &last
		}
	}
	slices.SortFunc(least, w.compare)
	return least, most != nil, nil
}

// firstOf keeps the first of many values: half of what may be held.
func (w *orderedWalk) firstOf(list []longValue) (first []longValue, size int) {
	slices.SortFunc(list, w.compare)
	n := 0
	for n < len(list) && n < longPiece && (n == 0 || size+list[n].size <= longPieceBytes) {
		size += list[n].size
		n++
	}
	clear(list[n:])
	return list[:n], size
}

// compare orders values as they are to be given.
func (w *orderedWalk) compare(a, b longValue) int {
	c := value.Compare(a.value, b.value)
	if w.within.Desc {
		c = -c
	}
	if c == 0 {
		return a.compare(b.place)
	}
	return c
}

// read reads a value from its object.
func (w *orderedWalk) read(p place) (v longValue, err error) {
	part, _, err := w.reader.Part(p.root, []string{w.predicate})
	if err != nil {
		return v, err
	}
	v.place = p
	var property []statement.Statement
	for _, s := range (view{root: p.root, statements: part.Statements}).under(w.predicate) {
		if s.Subject == p.subject {
			property = append(property, s)
			v.size += len(s.Text) + 128
		}
	}
	v.value = wholeValue(property)
	return v, nil
}
