package agent

import (
	"sync"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// processStart is where monotonic counts from.
var processStart = time.Now()

// monotonic is a moment as a number that may be kept in an atomic. Unix time
// would not do: the clock of a device without a battery jumps by years when it
// is set.
func monotonic(t time.Time) time.Duration { return t.Sub(processStart) }

// clockState caches whether the kernel's clock is synchronised, which costs a
// system call, for a second or until the clock is set. Its zero value is ready;
// any goroutine may use it.
type clockState struct {
	// For tests; nil means the real ones.
	now func() time.Time
	ask func() payload.Clock

	mu   sync.Mutex // guards all following fields
	at   time.Time
	last payload.Clock
}

func (c *clockState) state() payload.Clock {
	now, ask := c.now, c.ask
	if now == nil {
		now, ask = time.Now, ClockNow
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := now(); c.at.IsZero() || now.Sub(c.at) >= time.Second || wasSet(c.at, now) {
		c.at, c.last = now, ask()
	}
	return c.last
}

// wasSet tells whether the wall clock made a jump between two moments that
// carry monotonic readings. A clock that is only slewed makes none.
func wasSet(before, now time.Time) bool {
	jump := now.Round(0).Sub(before.Round(0)) - now.Sub(before)
	return jump > time.Second/10 || jump < -time.Second/10
}

// date fills in when a frame was captured and how far that can be trusted.
// clock must have been asked before now was read. The capture's own wall clock
// reading is not used: the clock may have been set since.
func date(p *payload.Prediction, clock payload.Clock, captured, now time.Time) {
	ago := now.Sub(captured)
	p.Time, p.Clock = stamp(now.Add(-ago)), clock
	if id := kernelBoot(); clock == payload.ClockUnsynced && id != "" {
		p.UptimeUs, p.BootID = bootMicros()-ago.Microseconds(), id
	}
}
