package pixel

import (
	"encoding/binary"
	"math"
)

// Target is the tensor that pictures are brought to: [Height Width 3], rows
// from top to bottom, R, G, B.
type Target struct {
	Width, Height int
	Fit           Fit
	Encoding      Encoding
}

// Bytes is the tensor's size.
func (t *Target) Bytes() int { return t.Width * t.Height * 3 * t.Encoding.Size() }

// Encoding says how a channel's 8-bit value becomes the tensor's. The zero
// value leaves it as it is.
type Encoding struct {
	// Flip is what a value is xored with when there is no table: 0x80 makes
	// int8 of uint8, value − 128.
	Flip byte
	// Bytes and Floats are tables for R, G and B; one of them at most.
	Bytes  *[3][256]byte
	Floats *[3][256]float32 // in the machine's byte order
}

// Size is the bytes per value: 1, or 4 with Floats.
func (e Encoding) Size() int {
	if e.Floats != nil {
		return 4
	}
	return 1
}

// encode writes packed RGB as the tensor has it; dst and rgb may be the same
// memory when a value is a byte.
func (e Encoding) encode(dst, rgb []byte) {
	switch {
	case e.Floats != nil:
		for i, p := range rgb {
			binary.NativeEndian.PutUint32(dst[4*i:], math.Float32bits(e.Floats[i%3][p]))
		}
	case e.Bytes != nil:
		for i := 0; i+2 < len(rgb); i += 3 {
			dst[i], dst[i+1], dst[i+2] = e.Bytes[0][rgb[i]], e.Bytes[1][rgb[i+1]], e.Bytes[2][rgb[i+2]]
		}
	default:
		for i, p := range rgb {
			dst[i] = p ^ e.Flip
		}
	}
}
