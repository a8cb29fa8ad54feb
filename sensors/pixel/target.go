package pixel

import "unsafe"

// Encoding says how a channel's 8-bit value becomes the tensor's. Floats goes
// before Bytes, and Bytes before Flip.
type Encoding struct {
	// Flip changes the bits that are set in it: 0 leaves uint8 as it is, 0x80
	// makes the int8 that is 128 less.
	Flip byte
	// Bytes is a table for each of R, G and B.
	Bytes *[3][256]byte
	// Floats is a table for each of R, G and B; the values are stored in the
	// machine's own byte order.
	Floats *[3][256]float32
}

// Size is the number of bytes for one value: 1, or 4 with Floats.
func (e Encoding) Size() int {
	if e.Floats != nil {
		return 4
	}
	return 1
}

// Target is what a model takes: packed RGB of a size, rows from top to bottom.
type Target struct {
	Width, Height int
	Fit           Fit
	Encoding      Encoding
}

// Bytes is the length of the tensor.
func (t *Target) Bytes() int { return t.Width * t.Height * 3 * t.Encoding.Size() }

// padding is the grey around a letterboxed picture.
const padding = 128

// put writes one pixel.
func (e Encoding) put(d []byte, r, g, b byte) {
	switch {
	case e.Floats != nil:
		for i, v := range [3]byte{r, g, b} {
			// A byte slice need not lie where a float32 may.
			*(*[4]byte)(d[i*4:]) = *(*[4]byte)(unsafe.Pointer(&e.Floats[i][v]))
		}
	case e.Bytes != nil:
		d[0], d[1], d[2] = e.Bytes[0][r], e.Bytes[1][g], e.Bytes[2][b]
	default:
		d[0], d[1], d[2] = r^e.Flip, g^e.Flip, b^e.Flip
	}
}

// pad fills what the picture leaves free.
func (j *job) pad(dst []byte) {
	if j.over.w == j.wide && j.over.h == j.tall {
		return
	}
	px := j.enc.Size() * 3
	row := j.wide * px
	j.enc.put(dst, padding, padding, padding)
	top := j.over.top * row
	if top > 0 { // the first pixel is padding already: double it
		repeat(dst[:top], px)
	}
	below := dst[top+j.over.h*row:]
	if len(below) > 0 {
		j.enc.put(below, padding, padding, padding)
		repeat(below, px)
	}
	left, right := j.over.left*px, (j.over.left+j.over.w)*px
	if left == 0 && right == row {
		return
	}
	for y := j.over.top; y < j.over.top+j.over.h; y++ {
		line := dst[y*row : (y+1)*row]
		for _, free := range [2][]byte{line[:left], line[right:]} {
			if len(free) > 0 {
				j.enc.put(free, padding, padding, padding)
				repeat(free, px)
			}
		}
	}
}

// repeat fills b with its own first n bytes.
func repeat(b []byte, n int) {
	for n < len(b) {
		n += copy(b[n:], b[:n])
	}
}
