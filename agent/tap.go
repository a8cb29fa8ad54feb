package agent

import (
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/tflite"
)

// tap copies one frame on its way through a worker, and what the model said of
// it, for who compares another model with it. A worker without a tap, or whose
// tap is not open, pays one load for each frame.
type tap struct {
	open  atomic.Bool // a frame is wanted
	taken chan *tapped
	spare *tapped // of who opens it
}

// tapped is a frame and its answer; valid until the tap is opened again.
type tapped struct {
	held    heldFrame
	results []tflite.Result
	invoke  time.Duration
	err     error
}

func newTap() *tap { return &tap{taken: make(chan *tapped, 1), spare: &tapped{}} }

// copyFrame takes the frame if one is wanted; nil otherwise.
func (t *tap) copyFrame(f *sensors.Frame) *tapped {
	if t == nil || !t.open.CompareAndSwap(true, false) {
		return nil
	}
	to := t.spare
	to.held.buf = append(to.held.buf[:0], f.Image.Data...)
	to.held.frame = *f
	to.held.frame.Image.Data = to.held.buf
	return to
}

// answered hands over what the model said.
func (t *tap) answered(to *tapped, out *tflite.Output, err error) {
	to.results = append(to.results[:0], out.Results...)
	to.invoke, to.err = out.InvokeTime, err
	t.taken <- to // it has room: only one is under way
}
