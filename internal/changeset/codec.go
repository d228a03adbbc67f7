package changeset

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// Version is the version of the body's format, its first element. A decoder
// refuses a higher one.
const Version = 1

// A body is a CBOR array in core deterministic encoding (RFC 8949, 4.2.1).
type wireChangeset struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Branch  string
	Seq     uint64
	Clock   uint64
	Base    []wireDot
	Prev    []byte
	Author  string
	Comment string
	Objects []wireObject
}

type wireDot struct {
	_      struct{} `cbor:",toarray"`
	Branch string
	Seq    uint64
}

type wireStamp struct {
	_      struct{} `cbor:",toarray"`
	Clock  uint64
	Branch string
	Seq    uint64
}

type wireObject struct {
	_      struct{} `cbor:",toarray"`
	Root   string
	Delete bool
	Floor  *wireStamp
	Props  []wireProp
}

type wireProp struct {
	_         struct{} `cbor:",toarray"`
	Subject   string
	Predicate string
	Mode      uint8
	Removed   []wireValue
	Added     []wireValue
}

type wireValue struct {
	_         struct{} `cbor:",toarray"`
	Text      string
	Type      string
	Scope     string
	Positions []int
}

// modes builds the CBOR modes once. The options are constants, so an error can
// only be a mistake in this file; it is returned by every Encode and Decode.
var modes = sync.OnceValues(func() (m struct {
	enc cbor.EncMode
	dec cbor.DecMode
}, err error) {
	opts := cbor.CoreDetEncOptions()
	opts.NilContainers = cbor.NilContainerAsEmpty
	if m.enc, err = opts.EncMode(); err != nil {
		return m, fmt.Errorf("preparing the changeset encoder: %w", err)
	}
	m.dec, err = cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   8,
		MaxArrayElements:  1 << 20,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		return m, fmt.Errorf("preparing the changeset decoder: %w", err)
	}
	return m, nil
})

// Encode checks the changeset and returns its body and hash. The same changeset
// always gives the same bytes.
func Encode(c Changeset) (Envelope, error) {
	if err := c.check(DefaultLimits()); err != nil {
		return Envelope{}, fmt.Errorf("encoding changeset %s: %w", c.Dot(), err)
	}
	m, err := modes()
	if err != nil {
		return Envelope{}, err
	}
	body, err := m.enc.Marshal(toWire(c))
	if err != nil {
		return Envelope{}, fmt.Errorf("encoding changeset %s: %w", c.Dot(), err)
	}
	if err := checkLimit("the changeset", len(body), DefaultLimits().BodyBytes); err != nil {
		return Envelope{}, fmt.Errorf("encoding changeset %s: %w", c.Dot(), err)
	}
	return Envelope{Dot: c.Dot(), Body: body, Hash: sha256.Sum256(body)}, nil
}

// Decode returns the changeset of an envelope. It checks the hash, that the
// body is the dot's, every limit, and everything Encode guarantees. The result
// does not alias the envelope's body.
func Decode(e Envelope, limits Limits) (Changeset, error) {
	c, err := decode(e, limits)
	if err != nil {
		return Changeset{}, fmt.Errorf("decoding changeset %s: %w", e.Dot, err)
	}
	return c, nil
}

func decode(e Envelope, limits Limits) (Changeset, error) {
	if err := checkLimit("the body", len(e.Body), limits.BodyBytes); err != nil {
		return Changeset{}, err
	}
	if sha256.Sum256(e.Body) != e.Hash {
		return Changeset{}, &HashError{Size: len(e.Body), Want: e.Hash}
	}
	m, err := modes()
	if err != nil {
		return Changeset{}, err
	}
	var w wireChangeset
	if err := checkVersion(m.dec, e.Body); err != nil {
		return Changeset{}, err
	}
	if err := m.dec.Unmarshal(e.Body, &w); err != nil {
		return Changeset{}, err
	}
	c, err := fromWire(w)
	if err != nil {
		return Changeset{}, err
	}
	if c.Dot() != e.Dot {
		return Changeset{}, fmt.Errorf("the body is that of %s", c.Dot())
	}
	return c, c.check(limits)
}

// checkVersion reads the version before the rest, whose shape it decides.
func checkVersion(dec cbor.DecMode, body []byte) error {
	if len(body) < 2 || body[0]>>5 != 4 || body[0]&0x1f > 23 {
		return fmt.Errorf("the body of %d bytes is no changeset", len(body))
	}
	var version uint64
	if _, err := dec.UnmarshalFirst(body[1:], &version); err != nil {
		return fmt.Errorf("reading the format version: %w", err)
	}
	if version != Version {
		return fmt.Errorf("format version %d is not known (this program knows %d): upgrade this node", version, Version)
	}
	return nil
}

func toWire(c Changeset) wireChangeset {
	w := wireChangeset{
		Version: Version, Branch: string(c.Branch), Seq: c.Seq, Clock: uint64(c.Clock),
		Base: make([]wireDot, len(c.Base)), Author: c.Author, Comment: c.Comment,
		Objects: make([]wireObject, len(c.Objects)),
	}
	if c.Prev != [32]byte{} {
		w.Prev = c.Prev[:]
	}
	for i, d := range c.Base {
		w.Base[i] = wireDot{Branch: string(d.Branch), Seq: d.Seq}
	}
	for i, o := range c.Objects {
		w.Objects[i] = objectToWire(o)
	}
	return w
}

func objectToWire(o ObjectChange) wireObject {
	w := wireObject{Root: o.Root, Delete: o.Delete, Props: make([]wireProp, len(o.Props))}
	if !o.Floor.IsZero() {
		w.Floor = &wireStamp{Clock: uint64(o.Floor.Clock), Branch: string(o.Floor.Dot.Branch), Seq: o.Floor.Dot.Seq}
	}
	for i, p := range o.Props {
		w.Props[i] = wireProp{
			Subject: p.Subject, Predicate: p.Predicate, Mode: uint8(p.Mode),
			Removed: valuesToWire(p.Removed), Added: valuesToWire(p.Added),
		}
	}
	return w
}

func valuesToWire(values []Value) []wireValue {
	w := make([]wireValue, len(values))
	for i, v := range values {
		w[i] = wireValue{Text: v.Text, Type: shortType(v.Type), Scope: v.Scope, Positions: v.Positions}
	}
	return w
}

func fromWire(w wireChangeset) (Changeset, error) {
	c := Changeset{
		Branch: branch.ID(w.Branch), Seq: w.Seq, Clock: Clock(w.Clock), Author: w.Author, Comment: w.Comment,
		Objects: make([]ObjectChange, len(w.Objects)),
	}
	switch len(w.Prev) {
	case 0:
	case len(c.Prev):
		copy(c.Prev[:], w.Prev)
	default:
		return c, fmt.Errorf("the previous hash has %d bytes, not %d", len(w.Prev), len(c.Prev))
	}
	for _, d := range w.Base {
		c.Base = append(c.Base, branch.Dot{Branch: branch.ID(d.Branch), Seq: d.Seq})
	}
	for i, o := range w.Objects {
		c.Objects[i] = objectFromWire(o)
	}
	return c, nil
}

func objectFromWire(w wireObject) ObjectChange {
	o := ObjectChange{Root: w.Root, Delete: w.Delete}
	if w.Floor != nil {
		o.Floor = Stamp{
			Clock: Clock(w.Floor.Clock),
			Dot:   branch.Dot{Branch: branch.ID(w.Floor.Branch), Seq: w.Floor.Seq},
		}
	}
	for _, p := range w.Props {
		o.Props = append(o.Props, PropChange{
			Subject: p.Subject, Predicate: p.Predicate, Mode: Mode(p.Mode),
			Removed: valuesFromWire(p.Removed), Added: valuesFromWire(p.Added),
		})
	}
	return o
}

func valuesFromWire(w []wireValue) []Value {
	if len(w) == 0 {
		return nil
	}
	values := make([]Value, len(w))
	for i, v := range w {
		values[i] = Value{
			Term:  statement.Term{Text: v.Text, Type: longType(v.Type)},
			Scope: v.Scope,
		}
		if len(v.Positions) > 0 {
			values[i].Positions = v.Positions
		}
	}
	return values
}
