package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

// bbolt trusts its pages: one that refers to an ancestor makes it go round for
// ever, one that claims a wrong length makes it read or write whatever lies
// there. So the pages are looked at before bbolt does, with nothing but reads
// whose bounds are checked. The layout is described at bulk.

// pageWalk visits every page that a file refers to.
type pageWalk struct {
	ctx      context.Context
	file     io.ReaderAt
	pageSize int64
	pages    uint64 // how many there are
	seen     []uint64
	freelist uint64
	visited  int
}

// checkPages returns an error unless every page that the file refers to is where
// it should be, is what it should be and is referred to once, and its keys rise.
func checkPages(ctx context.Context, file io.ReaderAt, size, pageSize int64) error {
	root, w, err := readMeta(file, size, pageSize)
	if err != nil {
		return err
	}
	w.ctx = ctx
	if err := w.free(); err != nil {
		return err
	}
	return w.tree(root, true, nil, nil, 0)
}

// readMeta takes the newer of the two meta pages that are sound. A file may have
// pages of another size than those of this machine.
func readMeta(file io.ReaderAt, size, pageSize int64) (root uint64, w *pageWalk, err error) {
	root, w, err = readMetaPages(file, size, pageSize)
	var declared [4]byte
	if _, failed := file.ReadAt(declared[:], bulkHeader+8); err != nil && failed == nil {
		if other := int64(binary.NativeEndian.Uint32(declared[:])); other >= 512 && other <= 1<<16 && other != pageSize {
			return readMetaPages(file, size, other)
		}
	}
	return root, w, err
}

func readMetaPages(file io.ReaderAt, size, pageSize int64) (root uint64, w *pageWalk, err error) {
	var newest uint64
	for page := range int64(2) {
		b := make([]byte, bulkHeader+64)
		if _, err := file.ReadAt(b, page*pageSize); err != nil {
			return 0, nil, fmt.Errorf("reading meta page %d: %w", page, err)
		}
		meta := b[bulkHeader:]
		sum := fnv.New64a()
		sum.Write(meta[:56])
		number := func(at int) uint64 { return binary.NativeEndian.Uint64(meta[at:]) }
		if number(56) != sum.Sum64() || binary.NativeEndian.Uint32(meta) != boltMagic || w != nil && number(48) < newest {
			continue
		}
		newest, root = number(48), number(16)
		w = &pageWalk{file: file, pageSize: pageSize, freelist: number(32), pages: number(40)}
	}
	if w == nil {
		return 0, nil, errors.New("neither of its meta pages is sound")
	}
	if w.pages < bulkFirst || w.pages > uint64(size/pageSize) {
		return 0, nil, fmt.Errorf("it claims to have %d pages, and has %d bytes", w.pages, size)
	}
	w.seen = make([]uint64, w.pages/64+1)
	return root, w, nil
}

// take reads a page with those that belong to it, and notes that it was referred
// to.
func (w *pageWalk) take(id uint64) (flags uint16, count int, content []byte, err error) {
	if w.visited++; w.visited%64 == 0 && w.ctx.Err() != nil {
		return 0, 0, nil, context.Cause(w.ctx)
	}
	if id < 2 || id >= w.pages {
		return 0, 0, nil, fmt.Errorf("page %d is referred to, there are %d", id, w.pages)
	}
	var head [bulkHeader]byte
	if _, err := w.file.ReadAt(head[:], int64(id)*w.pageSize); err != nil {
		return 0, 0, nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	further := uint64(binary.NativeEndian.Uint32(head[12:]))
	if own := binary.NativeEndian.Uint64(head[:]); own != id || further >= w.pages-id {
		return 0, 0, nil, fmt.Errorf("page %d says that it is page %d with %d further ones", id, own, further)
	}
	for page := id; page <= id+further; page++ {
		if w.mark(page) {
			return 0, 0, nil, fmt.Errorf("page %d is referred to twice", page)
		}
	}
	content = make([]byte, int64(further+1)*w.pageSize)
	if _, err := w.file.ReadAt(content, int64(id)*w.pageSize); err != nil {
		return 0, 0, nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	return binary.NativeEndian.Uint16(head[8:]), int(binary.NativeEndian.Uint16(head[10:])), content, nil
}

// mark notes a page and reports whether it was noted before.
func (w *pageWalk) mark(id uint64) bool {
	bit := uint64(1) << (id % 64)
	was := w.seen[id/64]&bit != 0
	w.seen[id/64] |= bit
	return was
}

// free checks the list of free pages, which are then not to be referred to.
func (w *pageWalk) free() error {
	if w.freelist == math.MaxUint64 {
		return nil // there is none: bbolt looks for itself
	}
	flags, n, content, err := w.take(w.freelist)
	if err != nil {
		return fmt.Errorf("the list of free pages: %w", err)
	}
	at := bulkHeader
	if n == 0xFFFF {
		n = int(min(binary.NativeEndian.Uint64(content[at:]), math.MaxInt32))
		at += 8
	}
	if flags != pageFreelist || n > (len(content)-at)/8 {
		return fmt.Errorf("page %d is not the list of %d free pages", w.freelist, n)
	}
	for i := range n {
		id := binary.NativeEndian.Uint64(content[at+8*i:])
		if id < 2 || id >= w.pages || w.mark(id) {
			return fmt.Errorf("page %d is free and does not exist or is in use", id)
		}
	}
	return nil
}

// maxDepth bounds how deep a tree is: with two elements a branch it would have
// more pages than any disk.
const maxDepth = 48

// tree checks a page and what it refers to. Keys lie between low and high.
func (w *pageWalk) tree(id uint64, buckets bool, low, high []byte, depth int) error {
	flags, count, content, err := w.take(id)
	if err != nil {
		return err
	}
	if depth > maxDepth || flags != pageLeaf && flags != pageBranch || flags == pageBranch && count == 0 {
		return fmt.Errorf("page %d with %d elements is of kind %x", id, count, flags)
	}
	return w.elements(content, id, flags, count, buckets, low, high, depth)
}

// elements checks the elements of a page. Each ends before the next begins, so a
// branch's child is visited once the next element is known.
func (w *pageWalk) elements(content []byte, id uint64, flags uint16, count int, buckets bool, low, high []byte, depth int) error {
	var last element
	for i := range count {
		e, err := elementAt(content, flags, i, count)
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		least := low
		if i > 0 {
			least = append(bytes.Clone(last.key), 0) // the next key there can be
		}
		if len(e.key) == 0 || bytes.Compare(e.key, least) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("page %d: key %x is out of place", id, e.key)
		}
		if (e.flags == elementBucket) != (buckets && flags == pageLeaf) {
			return fmt.Errorf("page %d: the element with key %x is of kind %x", id, e.key, e.flags)
		}
		if i > 0 {
			err = w.below(last, id, flags, buckets, e.key, depth)
		}
		if err != nil {
			return err
		}
		last = e
	}
	if count == 0 {
		return nil
	}
	return w.below(last, id, flags, buckets, high, depth)
}

// below checks what an element leads to: the page of a branch, or a bucket.
func (w *pageWalk) below(e element, id uint64, flags uint16, buckets bool, high []byte, depth int) error {
	switch {
	case flags == pageBranch:
		return w.tree(e.page, buckets, e.key, high, depth+1)
	case e.flags == elementBucket:
		return w.bucket(e, id, depth)
	}
	return nil
}

// bucket checks a bucket: its root is a page, or it lies within its parent.
func (w *pageWalk) bucket(e element, id uint64, depth int) error {
	if len(e.value) < bulkHeader {
		return fmt.Errorf("page %d: bucket %q is cut off", id, e.key)
	}
	root := binary.NativeEndian.Uint64(e.value)
	if root != 0 {
		return w.tree(root, false, nil, nil, depth+1)
	}
	inline := e.value[bulkHeader:]
	if len(inline) < bulkHeader || binary.NativeEndian.Uint16(inline[8:]) != pageLeaf {
		return fmt.Errorf("page %d: bucket %q is cut off", id, e.key)
	}
	return w.elements(inline, id, pageLeaf, int(binary.NativeEndian.Uint16(inline[10:])), false, nil, nil, depth+1)
}

// element is an element of a page.
type element struct {
	flags      uint32
	page       uint64
	key, value []byte
}

func elementAt(content []byte, flags uint16, i, count int) (element, error) {
	at := bulkHeader + bulkElement*i
	if bulkHeader+bulkElement*count > len(content) {
		return element{}, fmt.Errorf("it claims to have %d elements", count)
	}
	number := func(n int) uint64 { return uint64(binary.NativeEndian.Uint32(content[at+4*n:])) }
	var e element
	var distance, key, value uint64
	if flags == pageLeaf {
		e.flags, distance, key, value = uint32(number(0)), number(1), number(2), number(3)
	} else {
		distance, key = number(0), number(1)
		e.page = binary.NativeEndian.Uint64(content[at+8:])
	}
	from := uint64(at) + distance
	if distance < bulkElement || from+key+value > uint64(len(content)) {
		return e, fmt.Errorf("element %d lies outside of it", i)
	}
	e.key, e.value = content[from:from+key], content[from+key:from+key+value]
	return e, nil
}
