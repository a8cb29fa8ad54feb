package pixel

// model says what the three planes of a picture mean.
type model uint8

const (
	rgb     model = iota
	gray          // the first plane only
	full          // YCbCr of JPEG (JFIF): BT.601 with all values from 0 to 255
	limited       // YCbCr of video (ITU-R BT.601): Y 16 to 235, chroma 16 to 240
)

// matrix converts YCbCr to RGB in 16.16 fixed point.
type matrix struct{ black, y, rv, gu, gv, bu int32 }

// The factors are 1.402, 0.344136, 0.714136 and 1.772 of BT.601; limited range
// multiplies luma by 255/219 and chroma by 255/224.
var matrices = [...]matrix{
	full:    {0, 65536, 91881, 22554, 46802, 116130},
	limited: {16, 76309, 104597, 25675, 53279, 132201},
}

// interleave writes n pixels of three planes to dst as packed RGB.
func interleave(dst []byte, a, b, c []byte, m model) {
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
		k := matrices[m]
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
