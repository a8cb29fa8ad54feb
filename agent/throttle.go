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
	// The frame before: how long it took and when it ended, on the monotonic
	// clock.
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
	t.ended.Store(int64(monotonic(time.Now())))
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
	return t.pause(ctx)
}

// pause waits until as much of the time has passed idle as the duty asks for.
// It is false when ctx is done.
func (t *throttle) pause(ctx context.Context) bool {
	duty, took := int64(t.duty.Load()), t.took.Load()
	if duty <= 0 || duty >= 100 || took == 0 {
		return ctx.Err() == nil
	}
	pause := took * (100 - duty) / duty
	timer := time.NewTimer(time.Duration(t.ended.Load()+pause) - monotonic(time.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
