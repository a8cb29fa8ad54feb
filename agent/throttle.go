package agent

import (
	"context"
	"sync/atomic"
	"time"
)

// throttle slows a worker to a share of the time. Its zero value does not.
type throttle struct {
	// duty is the share in percent; 0 and 100 are full speed. Any goroutine
	// may set it.
	duty atomic.Int32
	// The frame before: how long it took and when it ended.
	took, ended atomic.Int64
}

// slowed tells whether frames are dropped for the throttle's sake.
func (t *throttle) slowed() bool {
	d := t.duty.Load()
	return d > 0 && d < 100
}

// worked notes a frame that was just done.
func (t *throttle) worked(d time.Duration) {
	t.took.Store(int64(d))
	t.ended.Store(time.Now().UnixNano())
}

// rest waits until the next frame may be begun. Slowed down, nothing is decoded
// ahead: the frame that is taken after the rest shall be fresh. It is false
// when ctx is done.
func (t *throttle) rest(ctx context.Context, free chan *job) bool {
	if !t.slowed() {
		return true
	}
	select { // the other job is free when its frame is done
	case j := <-free:
		free <- j
	case <-ctx.Done():
		return false
	}
	duty := int64(t.duty.Load())
	if duty <= 0 {
		return true
	}
	pause := t.took.Load() * (100 - duty) / duty
	timer := time.NewTimer(time.Until(time.Unix(0, t.ended.Load()+pause)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
