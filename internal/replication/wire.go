package replication

import (
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// wireModes gives the CBOR options of beacons and sync messages: deterministic
// out, and in with every count bounded before anything is allocated.
type wireModes struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

var modes = sync.OnceValues(func() (m wireModes, err error) {
	if m.enc, err = cbor.CoreDetEncOptions().EncMode(); err != nil {
		return m, err
	}
	m.dec, err = cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  8,
		MaxArrayElements: 4 * maxRanges, // each range asked for may come back in several pieces
		MaxMapPairs:      64,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
	}.DecMode()
	return m, err
})

func encodeWire(what string, v any) ([]byte, error) {
	m, err := modes()
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", what, err)
	}
	out, err := m.enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", what, err)
	}
	return out, nil
}

func decodeWire(what string, data []byte, limit int, v any) error {
	if len(data) > limit {
		return fmt.Errorf("decoding %s: %d bytes, the limit is %d", what, len(data), limit)
	}
	m, err := modes()
	if err != nil {
		return fmt.Errorf("decoding %s: %w", what, err)
	}
	if err := m.dec.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decoding %s: %w", what, err)
	}
	return nil
}
