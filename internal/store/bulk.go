package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// bulk writes a bbolt file whose keys come in order: leaves one after another as
// they fill, branches as theirs do, and at the end the page that says where it
// all begins. Nothing is read back and nothing is kept but one page a level, so
// that a file of any size takes as long as the disk does. A transaction of bbolt
// would hold every page in memory and search for the place of every key.
//
// The layout is that of bbolt's file format, version 2 (its internal/common):
// numbers in the byte order of the machine, every page with a header of
//
//	id 8, flags 2, count 2, number of further pages 4
//
// and then count elements, which point to their key and value behind them:
//
//	leaf:   flags 4, distance 4, length of key 4, length of value 4
//	branch: distance 4, length of key 4, page 8
type bulk struct {
	out      *bufio.Writer
	file     *os.File
	pageSize int
	next     uint64 // the page that is written next
	roots    []bulkRoot
	levels   []*bulkPage // of the bucket in progress, leaves first
	last     []byte      // the last key of the bucket in progress
	open     bool        // a bucket is in progress
	zeros    []byte
}

type bulkRoot struct {
	name []byte
	page uint64
}

const (
	bulkHeader  = 16
	bulkElement = 16
	// bulkFill is how much of a page is filled: a little room is left, so that
	// the first writes after do not split every page they touch.
	bulkFill = 0.9
	// bulkFirst is the first page after two pages of meta data and an empty list
	// of free pages.
	bulkFirst = 3

	pageBranch, pageLeaf, pageMeta, pageFreelist = 0x01, 0x02, 0x04, 0x10

	elementBucket = 0x01

	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

// bulkPage is a page in progress.
type bulkPage struct {
	flags    uint16
	elements []bulkItem
	data     []byte
}

// bulkItem is an element: of a leaf with the length of its value, of a branch
// with its page.
type bulkItem struct {
	flags      uint32
	key, value int
	page       uint64
}

// newBulk begins a file, which must be empty.
func newBulk(file *os.File) (*bulk, error) {
	b := &bulk{file: file, out: bufio.NewWriterSize(file, 1<<20), pageSize: os.Getpagesize(), next: bulkFirst}
	b.zeros = make([]byte, b.pageSize)
	if _, err := file.Seek(int64(bulkFirst*b.pageSize), 0); err != nil {
		return nil, err
	}
	return b, nil
}

// size returns how many bytes the file has so far.
func (b *bulk) size() int64 { return int64(b.next) * int64(b.pageSize) }

// bucket ends the bucket in progress and begins the next one.
func (b *bulk) bucket(name []byte) error {
	if err := b.endBucket(); err != nil {
		return err
	}
	b.roots = append(b.roots, bulkRoot{name: name})
	b.levels = []*bulkPage{{flags: pageLeaf}}
	b.last, b.open = b.last[:0], true
	return nil
}

// add adds a key and its value to the bucket in progress. Keys must rise.
func (b *bulk) add(key, value []byte) error {
	switch {
	case len(key) == 0 || len(key) > bolt.MaxKeySize || len(value) > math.MaxInt32:
		return fmt.Errorf("a key of %d bytes with a value of %d cannot be stored", len(key), len(value))
	case bytes.Compare(key, b.last) <= 0:
		return fmt.Errorf("key %x comes after %x", key, b.last)
	}
	b.last = append(b.last[:0], key...)
	return b.put(0, bulkItem{key: len(key), value: len(value)}, key, value)
}

// put adds an element to the page in progress of a level.
func (b *bulk) put(level int, item bulkItem, key, value []byte) error {
	p := b.levels[level]
	limit := int(bulkFill * float64(b.pageSize))
	size := bulkHeader + bulkElement*(len(p.elements)+1) + len(p.data) + len(key) + len(value)
	full := size > limit || len(p.elements) == math.MaxUint16
	if full && len(p.elements) >= p.least() {
		if err := b.flush(level, p.carried()); err != nil {
			return err
		}
	}
	p.elements = append(p.elements, item)
	p.data = append(append(p.data, key...), value...)
	return nil
}

// least is how many elements a page has at least before it is written. bbolt
// wants two or more in every branch, so a branch hands its last one on to the
// next, which may not get any other.
func (p *bulkPage) least() int {
	if p.flags == pageBranch {
		return 3
	}
	return 1
}

// carried is how many elements a full page hands on.
func (p *bulkPage) carried() int {
	if p.flags == pageBranch {
		return 1
	}
	return 0
}

// flush writes the page in progress of a level, apart from the last few elements,
// and names it in the level above.
func (b *bulk) flush(level, carry int) error {
	p := b.levels[level]
	first := slices.Clone(p.data[:p.elements[0].key])
	kept, data := p.cut(carry)
	id, err := b.write(p)
	if err != nil {
		return err
	}
	p.elements, p.data = append(p.elements, kept...), append(p.data, data...)
	if level+1 == len(b.levels) {
		b.levels = append(b.levels, &bulkPage{flags: pageBranch})
	}
	return b.put(level+1, bulkItem{key: len(first), page: id}, first, nil)
}

// cut takes the last elements off.
func (p *bulkPage) cut(n int) ([]bulkItem, []byte) {
	at := len(p.elements) - n
	kept := slices.Clone(p.elements[at:])
	size := 0
	for _, e := range kept {
		size += e.key + e.value
	}
	data := slices.Clone(p.data[len(p.data)-size:])
	p.elements, p.data = p.elements[:at], p.data[:len(p.data)-size]
	return kept, data
}

// write writes a page, with as many further ones as its data takes, and empties
// it.
func (b *bulk) write(p *bulkPage) (id uint64, err error) {
	size := bulkHeader + bulkElement*len(p.elements) + len(p.data)
	pages := max(1, (size+b.pageSize-1)/b.pageSize)
	head := make([]byte, 0, bulkHeader+bulkElement*len(p.elements))
	id = b.next
	head = appendHeader(head, id, p.flags, len(p.elements), pages-1)
	at := bulkElement * len(p.elements) // from the element to its key
	for _, e := range p.elements {
		if p.flags == pageLeaf {
			head = binary.NativeEndian.AppendUint32(head, e.flags)
			head = binary.NativeEndian.AppendUint32(head, uint32(at))
			head = binary.NativeEndian.AppendUint32(head, uint32(e.key))
			head = binary.NativeEndian.AppendUint32(head, uint32(e.value))
		} else {
			head = binary.NativeEndian.AppendUint32(head, uint32(at))
			head = binary.NativeEndian.AppendUint32(head, uint32(e.key))
			head = binary.NativeEndian.AppendUint64(head, e.page)
		}
		at += e.key + e.value - bulkElement
	}
	b.next += uint64(pages)
	for _, part := range [][]byte{head, p.data} {
		if _, err := b.out.Write(part); err != nil {
			return 0, err
		}
	}
	p.elements, p.data = p.elements[:0], p.data[:0]
	_, err = b.out.Write(b.zeros[:pages*b.pageSize-size])
	return id, err
}

func appendHeader(out []byte, id uint64, flags uint16, count, further int) []byte {
	out = binary.NativeEndian.AppendUint64(out, id)
	out = binary.NativeEndian.AppendUint16(out, flags)
	out = binary.NativeEndian.AppendUint16(out, uint16(count))
	return binary.NativeEndian.AppendUint32(out, uint32(further))
}

// endBucket writes the pages in progress, from the leaves to the root.
func (b *bulk) endBucket() error {
	if !b.open {
		return nil
	}
	b.open = false
	for level := 0; level < len(b.levels)-1; level++ {
		if err := b.flush(level, 0); err != nil {
			return err
		}
	}
	root, err := b.write(b.levels[len(b.levels)-1])
	b.roots[len(b.roots)-1].page = root
	return err
}

// finish writes what makes the pages a file. It does not sync.
func (b *bulk) finish() error {
	if err := b.endBucket(); err != nil {
		return err
	}
	slices.SortFunc(b.roots, func(x, y bulkRoot) int { return bytes.Compare(x.name, y.name) })
	p := &bulkPage{flags: pageLeaf}
	for _, r := range b.roots {
		header := binary.NativeEndian.AppendUint64(nil, r.page)
		header = binary.NativeEndian.AppendUint64(header, 0) // its sequence, which we do not use
		p.elements = append(p.elements, bulkItem{flags: elementBucket, key: len(r.name), value: len(header)})
		p.data = append(append(p.data, r.name...), header...)
	}
	root, err := b.write(p)
	if err != nil {
		return err
	}
	if err := b.out.Flush(); err != nil {
		return err
	}
	_, err = b.file.WriteAt(b.beginning(root), 0)
	return err
}

// beginning returns the first three pages. bbolt takes the meta page with the
// greater transaction number, or the other one if that is damaged.
func (b *bulk) beginning(root uint64) []byte {
	out := make([]byte, bulkFirst*b.pageSize)
	for txid := range uint64(2) {
		page := appendHeader(nil, txid, pageMeta, 0, 0)
		meta := binary.NativeEndian.AppendUint32(nil, boltMagic)
		meta = binary.NativeEndian.AppendUint32(meta, boltVersion)
		meta = binary.NativeEndian.AppendUint32(meta, uint32(b.pageSize))
		meta = binary.NativeEndian.AppendUint32(meta, 0) // flags
		for _, n := range []uint64{root, 0, 2, b.next, txid} {
			meta = binary.NativeEndian.AppendUint64(meta, n)
		}
		sum := fnv.New64a()
		sum.Write(meta)
		meta = binary.NativeEndian.AppendUint64(meta, sum.Sum64())
		copy(out[int(txid)*b.pageSize:], append(page, meta...))
	}
	copy(out[2*b.pageSize:], appendHeader(nil, 2, pageFreelist, 0, 0))
	return out
}
