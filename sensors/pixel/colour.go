package pixel

// Colour says what the samples of a raw YUV picture mean. The zero value is
// what V4L2 cameras deliver: BT.601 with limited range. JPEG is always BT.601
// with full range (JFIF), whatever is set.
type Colour struct {
	Matrix Matrix
	Range  Range
}

// Matrix names the weights of R, G and B in luma.
type Matrix uint8

// The matrices.
const (
	BT601 Matrix = iota // ITU-R BT.601: standard definition, and nearly all cameras
	BT709               // ITU-R BT.709: high definition
)

// Range says which values stand for black and white.
type Range uint8

// The ranges.
const (
	DefaultRange Range = iota // limited
	Limited                   // Y 16 to 235, chroma 16 to 240
	Full                      // 0 to 255
)

// model says what the three planes of a picture are.
type model uint8

const (
	rgb  model = iota
	gray       // the first plane only
	yuv        // Y, Cb, Cr
)

// matrix converts YCbCr to RGB in 16.16 fixed point; black is Y's own value.
type matrix struct{ black, y, rv, gu, gv, bu int32 }

// matrices by Matrix and whether the range is full.
var matrices = [2][2]matrix{
	BT601: {newMatrix(0.299, 0.114, false), newMatrix(0.299, 0.114, true)},
	BT709: {newMatrix(0.2126, 0.0722, false), newMatrix(0.2126, 0.0722, true)},
}

// jfif is JPEG's matrix.
var jfif = &matrices[BT601][1]

// newMatrix derives the factors from luma's weights of red and blue (BT.601-7,
// section 2.5; BT.709-6, section 3). Limited range stretches luma by 255/219
// and chroma by 255/224.
func newMatrix(kr, kb float64, fullRange bool) matrix {
	black, luma, chroma := int32(16), 255./219, 255./224
	if fullRange {
		black, luma, chroma = 0, 1, 1
	}
	fixed := func(v float64) int32 { return int32(v*(1<<16) + 0.5) }
	kg := 1 - kr - kb
	return matrix{
		black: black, y: fixed(luma),
		rv: fixed(2 * (1 - kr) * chroma), bu: fixed(2 * (1 - kb) * chroma),
		gu: fixed(2 * kb * (1 - kb) / kg * chroma), gv: fixed(2 * kr * (1 - kr) / kg * chroma),
	}
}

func (c Colour) matrix() *matrix {
	m := min(c.Matrix, BT709)
	return &matrices[m][btoi(c.Range == Full)]
}

// interleave writes the planes to dst as packed RGB.
func interleave(dst []byte, a, b, c []byte, m model, k *matrix) {
	switch m {
	case gray:
		for i, v := range a {
			d := dst[i*3 : i*3+3 : i*3+3]
			d[0], d[1], d[2] = v, v, v
		}
	case rgb:
		b, c = b[:len(a)], c[:len(a)]
		for i, v := range a {
			d := dst[i*3 : i*3+3 : i*3+3]
			d[0], d[1], d[2] = v, b[i], c[i]
		}
	default:
		b, c = b[:len(a)], c[:len(a)]
		for i, v := range a {
			y := k.y*(int32(v)-k.black) + 1<<15
			u, w := int32(b[i])-128, int32(c[i])-128
			d := dst[i*3 : i*3+3 : i*3+3]
			d[0] = clamp8((y + k.rv*w) >> 16)
			d[1] = clamp8((y - k.gu*u - k.gv*w) >> 16)
			d[2] = clamp8((y + k.bu*u) >> 16)
		}
	}
}

func clamp8(v int32) byte {
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
