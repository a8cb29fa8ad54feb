// Package pixel turns the bytes a camera delivers into the pixels a model
// takes: it decodes JPEG and the raw camera layouts and scales to the tensor's
// size.
//
// It knows nothing of cameras or models. What a tensor's values look like is
// told by a Target; the result is packed RGB, rows top to bottom, written once
// in the tensor's own type. With cgo the work is done in C and by
// libjpeg-turbo; without it, the same is done in Go.
package pixel

import "fmt"

// Format names the layout of an Image's bytes.
type Format uint8

// The layouts. Encoded formats carry their own dimensions; raw ones need
// Width, Height and Stride.
const (
	Unknown Format = iota
	JPEG           // ITU-T T.81, baseline or progressive, any subsampling
	PNG            // ISO/IEC 15948
	BMP            // Windows bitmap
	WebP           // RFC 9649
	YUYV           // 4:2:2 packed Y0 U Y1 V; V4L2_PIX_FMT_YUYV
	NV12           // 4:2:0, a Y plane then interleaved UV; V4L2_PIX_FMT_NV12
	I420           // 4:2:0, planes Y, U, V; V4L2_PIX_FMT_YUV420
	RGB24          // packed R G B; V4L2_PIX_FMT_RGB24
	Gray8          // one byte a pixel; V4L2_PIX_FMT_GREY
)

var formatNames = [...]string{"unknown", "jpeg", "png", "bmp", "webp", "yuyv", "nv12", "i420", "rgb24", "gray8"}

// String is the format's name in configuration and logs.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// Encoded tells whether the bytes are a compressed file that carries its own
// dimensions.
func (f Format) Encoded() bool { return f >= JPEG && f <= WebP }

// Image is one picture as it came: it borrows Data, copies nothing and owns
// nothing.
type Image struct {
	Format Format
	// Width and Height are in pixels; zero for an encoded format means "ask
	// the bytes".
	Width, Height int
	// Stride is the number of bytes from one row of the first plane to the
	// next; zero means tightly packed.
	Stride int
	// Colour is what raw YUV samples mean; encoded formats know their own.
	Colour Colour
	Data   []byte
}
