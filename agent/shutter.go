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

// photo is the picture as JPEG of at most limit bytes, with its size. It is
// always made anew: so it is whole, upright and without a camera's metadata.
func photo(src pixel.Image, limit int) (out []byte, width, height int, err error) {
	w, h, err := pixel.Size(src)
	if err != nil {
		return nil, 0, 0, err
	}
	var scaler pixel.Scaler
	defer scaler.Close()
	for side := photoSide; side >= 80; side /= 2 {
		width, height = within(w, h, side)
		rgb := make([]byte, width*height*3)
		if err := scaler.RGB(rgb, width, height, src); err != nil {
			return nil, 0, 0, err
		}
		for _, quality := range []int{85, 60} {
			var buf bytes.Buffer
			if err := jpeg.Encode(&buf, opaque(rgb, width, height), &jpeg.Options{Quality: quality}); err != nil {
				return nil, 0, 0, fmt.Errorf("encode picture: %w", err)
			}
			if buf.Len() <= limit {
				return buf.Bytes(), width, height, nil
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

// opaque is packed RGB as the encoder takes it fastest.
func opaque(rgb []byte, w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2], img.Pix[4*i+3] = rgb[3*i], rgb[3*i+1], rgb[3*i+2], 0xff
	}
	return img
}
