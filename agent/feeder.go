package agent

import (
	"context"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
)

// feeder is what the decoding half of a worker keeps from frame to frame.
type feeder struct {
	target pixel.Target
	scaler pixel.Scaler
	held   heldFrame
	turn   int // the camera to be asked next
}

// feed decodes frames into free jobs until ctx is done. It takes a frame from
// its slot only when there is a job for it: until then fresher ones replace
// it.
func (w *worker) feed(ctx context.Context) {
	defer w.feeder.scaler.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-w.free:
			if !w.fetch(ctx, j) {
				w.free <- j
				return
			}
			w.ready <- j // run takes all that come, also when ctx is done
		}
	}
}

// fetch fills j with the next frame that is worth an Invoke; false when ctx is
// done before there is one.
func (w *worker) fetch(ctx context.Context, j *job) bool {
	for ctx.Err() == nil && w.throttle.rest(ctx, w.free) {
		if c := w.next(); c != nil {
			if w.prepare(c, j) {
				return true
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		}
	}
	return false
}

// next takes the frame of the next camera in turn that has one.
func (w *worker) next() *camera {
	cameras := *w.cameras.Load()
	f := &w.feeder
	for i := range cameras {
		at := (f.turn + i) % len(cameras)
		if c := cameras[at]; c.slot.take(&f.held) {
			f.turn = at + 1
			return c
		}
	}
	return nil
}

// prepare decodes the held frame into j; false when it fails or shows nothing
// new.
func (w *worker) prepare(c *camera, j *job) bool {
	f := &w.feeder
	frame := &f.held.frame
	j.camera, j.captured, j.file = c, frame.Time, frame.Name
	j.start = time.Now()
	var err error
	if j.view, err = f.scaler.Tensor(j.tensor, &f.target, frame.Image); err != nil {
		c.fail(err)
		return false
	}
	if !c.gate.open(j.captured, &f.target, j.view, j.tensor) {
		return false
	}
	j.shot = c.live.take(frame)
	if t := w.tap.Load(); t != nil {
		j.tap, j.tapped = t, t.copyFrame(frame)
	}
	j.decoded = time.Now()
	return true
}
