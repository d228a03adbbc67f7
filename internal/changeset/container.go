package changeset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"vesperdb.io/vesper/internal/branch"
)

// ContentType is the media type of a container.
const ContentType = "application/vnd.vesper.changesets"

// A container is the magic, the version, the unpacked length (uvarint) and a
// zstd frame of: the number of changesets (uvarint), then for each the length
// of its branch (uvarint), its branch, its sequence (uvarint), its hash (32
// bytes), the length of its body (uvarint), its body.
const (
	magic            = "VSPR"
	containerVersion = 1
)

// overheadBytes bounds what the container adds to one body.
const overheadBytes = 32 + branch.MaxWidth + 3*binary.MaxVarintLen64

// compressors builds the codec once: both are safe for use by many goroutines
// through EncodeAll and DecodeAll, and hold no goroutine of their own.
var compressors = sync.OnceValues(func() (c struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}, err error) {
	// A frame of a single segment always carries its length; others leave it out below 256 bytes.
	if c.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithSingleSegment(true)); err != nil {
		return c, fmt.Errorf("preparing the compressor: %w", err)
	}
	c.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2),
		zstd.WithDecoderMaxMemory(uint64(DefaultLimits().MessageBytes)))
	if err != nil {
		return c, fmt.Errorf("preparing the decompressor: %w", err)
	}
	return c, nil
})

// Pack puts changesets into one container, in order, their bytes unchanged.
func Pack(list []Envelope) ([]byte, error) {
	size := binary.MaxVarintLen64
	for _, e := range list {
		size += len(e.Body) + overheadBytes
	}
	if err := checkLimit("the message", size, DefaultLimits().MessageBytes); err != nil {
		return nil, fmt.Errorf("packing %d changesets: %w", len(list), err)
	}
	raw := binary.AppendUvarint(make([]byte, 0, size), uint64(len(list)))
	for _, e := range list {
		raw = appendEnvelope(raw, e)
	}
	c, err := compressors()
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(raw)/2+16), magic...)
	out = append(out, containerVersion)
	out = binary.AppendUvarint(out, uint64(len(raw)))
	return c.enc.EncodeAll(raw, out), nil
}

func appendEnvelope(b []byte, e Envelope) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.Dot.Branch)))
	b = append(b, e.Dot.Branch...)
	b = binary.AppendUvarint(b, e.Dot.Seq)
	b = append(b, e.Hash[:]...)
	b = binary.AppendUvarint(b, uint64(len(e.Body)))
	return append(b, e.Body...)
}

// Unpack returns the changesets of a container. Every length is checked before
// memory is allocated for it. The bodies are not decoded and their hashes not
// computed: Decode does both. They share one buffer, which is not message.
func Unpack(message []byte, limits Limits) ([]Envelope, error) {
	raw, err := decompress(message, limits)
	if err != nil {
		return nil, fmt.Errorf("unpacking changesets from a message of %d bytes: %w", len(message), err)
	}
	list, err := readEnvelopes(raw, limits)
	if err != nil {
		return nil, fmt.Errorf("unpacking changesets from a message of %d bytes: %w", len(message), err)
	}
	return list, nil
}

func decompress(message []byte, limits Limits) ([]byte, error) {
	if err := checkLimit("the message", len(message), limits.MessageBytes); err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(message, []byte(magic))
	if !ok || len(rest) == 0 {
		return nil, errors.New("it does not start like a container of changesets")
	}
	if rest[0] != containerVersion {
		return nil, fmt.Errorf("container version %d is not known (this program knows %d): upgrade this node", rest[0], containerVersion)
	}
	size, n := binary.Uvarint(rest[1:])
	if n <= 0 {
		return nil, errors.New("its length is cut off")
	}
	if err := checkLimit("the unpacked message", size, limits.MessageBytes); err != nil {
		return nil, err
	}
	return inflate(rest[1+n:], size)
}

// inflate checks the frame's own length against the announced one before
// anything is allocated: the frame of EncodeAll always carries it.
func inflate(frame []byte, size uint64) ([]byte, error) {
	var header zstd.Header
	if err := header.Decode(frame); err != nil {
		return nil, fmt.Errorf("reading the compressed part: %w", err)
	}
	if !header.HasFCS && size > 0 || header.FrameContentSize != size {
		return nil, fmt.Errorf("the compressed part announces %d bytes, not %d", header.FrameContentSize, size)
	}
	c, err := compressors()
	if err != nil {
		return nil, err
	}
	raw, err := c.dec.DecodeAll(frame, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if uint64(len(raw)) != size {
		return nil, fmt.Errorf("the compressed part has %d bytes, not %d", len(raw), size)
	}
	return raw, nil
}

func readEnvelopes(raw []byte, limits Limits) ([]Envelope, error) {
	r := reader{rest: raw}
	count := r.uvarint()
	// A changeset takes far more than two bytes, so a count beyond that is a
	// lie told to make the next line allocate.
	if count > uint64(len(raw)/2) {
		return nil, fmt.Errorf("%d changesets do not fit in %d bytes", count, len(raw))
	}
	list := make([]Envelope, 0, min(count, 4096))
	for range count {
		e, err := r.envelope(limits)
		if err != nil {
			return nil, fmt.Errorf("changeset %d of %d: %w", len(list)+1, count, err)
		}
		list = append(list, e)
	}
	if r.short || len(r.rest) > 0 {
		return nil, fmt.Errorf("%d bytes are left over or missing after the last changeset", len(r.rest))
	}
	return list, nil
}

// reader cuts pieces off a buffer; after the first that is not there, short is
// set and every piece is empty.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) envelope(limits Limits) (Envelope, error) {
	var e Envelope
	width := r.uvarint()
	if err := checkLimit("the branch id", width, branch.MaxWidth); err != nil {
		return e, err
	}
	id := r.bytes(width)
	e.Dot.Seq = r.uvarint()
	copy(e.Hash[:], r.bytes(uint64(len(e.Hash))))
	size := r.uvarint()
	if err := checkLimit("the body", size, limits.BodyBytes); err != nil {
		return e, err
	}
	e.Body = r.bytes(size)
	if r.short {
		return e, errors.New("it is cut off")
	}
	var err error
	if e.Dot.Branch, err = branch.ParseID(string(id)); err != nil {
		return e, err
	}
	if e.Dot.Seq == 0 {
		return e, errors.New("its sequence is 0")
	}
	return e, nil
}
