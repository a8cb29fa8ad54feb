package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
)

// shutter copies one frame for who asked. Its zero value is ready; a frame that
// nobody asked for costs one load.
type shutter struct {
	wanted atomic.Pointer[chan sensors.Frame]
}

// offer gives the borrowed frame to who waits.
func (s *shutter) offer(f *sensors.Frame) {
	if s.wanted.Load() == nil {
		return
	}
	if to := s.wanted.Swap(nil); to != nil {
		held := *f
		held.Image.Data = bytes.Clone(f.Image.Data)
		*to <- held // it has room
	}
}

// take waits for the next frame, for as long as given. Only one goroutine may
// call it at a time.
func (s *shutter) take(ctx context.Context, patience time.Duration) (sensors.Frame, error) {
	to := make(chan sensors.Frame, 1)
	s.wanted.Store(&to)
	defer s.wanted.CompareAndSwap(&to, nil)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case f := <-to:
		return f, nil
	case <-timer.C:
		return sensors.Frame{}, fmt.Errorf("no frame came within %v", patience)
	case <-ctx.Done():
		return sensors.Frame{}, errors.New("the agent is ending")
	}
}

// photoSide bounds a snapshot's width and height in pixels: enough to see what
// the camera sees.
const photoSide = 1280

// darkroom makes JPEGs in the same memory again and again. Its zero value is
// ready; it is for one goroutine, which closes it.
type darkroom struct {
	scaler pixel.Scaler
	rgb    []byte
	image  image.RGBA
	out    bytes.Buffer
}

func (d *darkroom) close() { d.scaler.Close() }

// photo is the picture as JPEG of at most limit bytes, with its size. It is
// always made anew: so it is whole, upright and without a camera's metadata.
func (d *darkroom) photo(src pixel.Image, limit int) (out []byte, width, height int, err error) {
	w, h, err := pixel.Size(src)
	if err != nil {
		return nil, 0, 0, err
	}
	for side := photoSide; side >= 80; side /= 2 {
		width, height = within(w, h, side)
		d.rgb = grow(d.rgb, width*height*3)
		if err := d.scaler.RGB(d.rgb, width, height, src); err != nil {
			return nil, 0, 0, err
		}
		d.opaque(width, height)
		for _, quality := range []int{85, 60} {
			d.out.Reset()
			if err := jpeg.Encode(&d.out, &d.image, &jpeg.Options{Quality: quality}); err != nil {
				return nil, 0, 0, fmt.Errorf("encode picture: %w", err)
			}
			if d.out.Len() <= limit {
				return bytes.Clone(d.out.Bytes()), width, height, nil
			}
		}
	}
	return nil, 0, 0, fmt.Errorf("the picture does not fit into %d bytes", limit)
}

// within is the size with its longer side at most side, in the same shape.
func within(w, h, side int) (int, int) {
	if longer := max(w, h); longer > side {
		w, h = max(1, w*side/longer), max(1, h*side/longer)
	}
	return w, h
}

// opaque is the packed RGB as the encoder takes it fastest.
func (d *darkroom) opaque(w, h int) {
	d.image = image.RGBA{Pix: grow(d.image.Pix, w*h*4), Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}
	for i := range w * h {
		pix, rgb := d.image.Pix[4*i:4*i+4:4*i+4], d.rgb[3*i:3*i+3:3*i+3]
		pix[0], pix[1], pix[2], pix[3] = rgb[0], rgb[1], rgb[2], 0xff
	}
}

// grow is n bytes of memory, the same if it is large enough.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
