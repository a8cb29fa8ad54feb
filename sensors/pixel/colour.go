package pixel

// Matrix names the standard after which YUV was made from RGB.
type Matrix uint8

// The matrices that cameras use.
const (
	BT601 Matrix = iota // ITU-R BT.601, standard definition; JPEG and webcams
	BT709               // ITU-R BT.709, high definition
)

// Range says which values black and white have in YUV.
type Range uint8

// The ranges.
const (
	DefaultRange Range = iota // the format's own: Limited for raw YUV
	Limited                   // Y from 16 to 235, chroma from 16 to 240
	Full                      // all values from 0 to 255
)

// Colour says what raw YUV samples mean.
type Colour struct {
	Matrix Matrix
	Range  Range
}

// String is the colour's name in logs.
func (c Colour) String() string {
	name := "bt601"
	if c.Matrix == BT709 {
		name = "bt709"
	}
	if c.Range == Full {
		return name + " full"
	}
	return name + " limited"
}

// model says what the three planes of a picture mean.
type model uint8

const (
	rgb  model = iota
	gray       // the first plane only
	ycc        // Y, Cb and Cr, of the picture's Colour
)

// matrix converts YCbCr to RGB in 16.16 fixed point.
type matrix struct{ black, y, rv, gu, gv, bu int32 }

// matrixOf holds the factors 2(1-Kr), 2Kb(1-Kb)/Kg, 2Kr(1-Kr)/Kg and 2(1-Kb);
// limited range multiplies luma by 255/219 and chroma by 255/224.
func matrixOf(c Colour) matrix {
	switch {
	case c.Matrix == BT709 && c.Range == Full:
		return matrix{0, 65536, 103206, 12276, 30679, 121609}
	case c.Matrix == BT709:
		return matrix{16, 76309, 117489, 13975, 34925, 138438}
	case c.Range == Full:
		return matrix{0, 65536, 91881, 22554, 46802, 116130}
	default:
		return matrix{16, 76309, 104597, 25675, 53279, 132201}
	}
}

// interleave writes n pixels of three planes to dst as packed RGB.
func interleave(dst []byte, a, b, c []byte, m model, k matrix) {
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
