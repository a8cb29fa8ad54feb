package serving

import (
	"errors"
	"sync"

	"github.com/egret-edge/egret/sensors/pixel"
)

// scalers keep their buffers from picture to picture; the garbage collector
// frees those that are not asked for.
var scalers = sync.Pool{New: func() any { return new(pixel.Scaler) }}

// DecodePicture brings an encoded picture, such as a JPEG or a PNG, to a
// model's tensor in dst, whose length must be target.Bytes(). Any goroutine may
// call it; who serves many bounds how many do at a time, since a large picture
// costs memory while it is decoded.
func DecodePicture(dst []byte, target *pixel.Target, data []byte) (pixel.View, error) {
	format := pixel.Sniff(data)
	if format == pixel.Unknown {
		return pixel.View{}, errors.New("it is no picture that is known here: send JPEG, PNG, BMP or WebP")
	}
	s := scalers.Get().(*pixel.Scaler)
	defer scalers.Put(s)
	return s.Tensor(dst, target, pixel.Image{Format: format, Data: data})
}
