package pixel

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Fit says how a picture of another shape than the target meets it.
type Fit uint8

// The fits.
const (
	Stretch   Fit = iota // fill the target, change the shape
	Crop                 // fill the target, cut off what reaches out
	Letterbox            // show the whole picture, with grey bars
)

var fitNames = [...]string{"stretch", "crop", "letterbox"}

// String is the fit's name in configuration.
func (f Fit) String() string {
	if int(f) < len(fitNames) {
		return fitNames[f]
	}
	return fmt.Sprintf("fit(%d)", uint8(f))
}

// ParseFit reads a fit's name.
func ParseFit(s string) (Fit, error) {
	for i, name := range fitNames {
		if s == name {
			return Fit(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no fit: stretch, crop or letterbox", s)
}

// Encoding says how a channel's 8-bit value becomes the tensor's. The zero
// value leaves it as it is.
type Encoding struct {
	Flip   byte // value ^ Flip, when there is no table: 0x80 makes int8 of uint8
	Bytes  *[3][256]byte
	Floats *[3][256]float32 // native-endian output
}

// Size is the bytes per value: 1, or 4 with Floats.
func (e Encoding) Size() int {
	if e.Floats != nil {
		return 4
	}
	return 1
}

// Target is the tensor that pictures are brought to: [Height Width 3], rows
// from top to bottom.
type Target struct {
	Width, Height int
	Fit           Fit
	Encoding      Encoding
}

// Bytes is the tensor's size.
func (t *Target) Bytes() int { return t.Width * t.Height * 3 * t.Encoding.Size() }

// View is the part of the frame, 0 to 1 of its width and height, that the
// target's corners show.
type View struct{ X0, Y0, X1, Y1 float32 }

// Frame maps a box (x0, y0, x1, y1, each 0 to 1 of the target) to the frame.
func (v View) Frame(box [4]float32) [4]float32 {
	w, h := v.X1-v.X0, v.Y1-v.Y0
	return [4]float32{unit(v.X0 + box[0]*w), unit(v.Y0 + box[1]*h), unit(v.X0 + box[2]*w), unit(v.Y0 + box[3]*h)}
}

func unit(v float32) float32 { return min(max(v, 0), 1) }

// Tensor decodes src and writes it to dst.
func (s *Scaler) Tensor(dst []byte, t *Target, src Image) (View, error) {
	rgb := dst
	if t.Encoding.Size() > 1 {
		rgb = make([]byte, t.Width*t.Height*3)
	}
	err := s.RGB(rgb, t.Width, t.Height, src)
	for i, p := range rgb {
		switch e := t.Encoding; {
		case e.Floats != nil:
			binary.NativeEndian.PutUint32(dst[4*i:], math.Float32bits(e.Floats[i%3][p]))
		case e.Bytes != nil:
			dst[i] = e.Bytes[i%3][p]
		default:
			dst[i] = p ^ e.Flip
		}
	}
	return View{0, 0, 1, 1}, err
}

// Close does nothing.
func (s *Scaler) Close() {}
