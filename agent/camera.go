package agent

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// camera is one configured source with its supervisor, its slot and its
// counters. It outlives a reload that does not change its source.
type camera struct {
	name string
	cfg  configs.Camera // as configured; only the reloading goroutine reads it
	log  *slog.Logger
	slot slot
	sup  *sensors.Supervisor
	// worker is who gets the frames; replaced by a reload.
	worker    atomic.Pointer[worker]
	pace      pace
	gate      gate
	shutter   shutter
	live      live
	newest    newest
	rate      rate
	events    *events      // nil when nobody can listen
	told      atomic.Int64 // when events were, on the monotonic clock
	predicted atomic.Uint64
	waited    atomic.Int64  // µs in all, from capture to the decoder, of the predicted frames
	dropped   atomic.Uint64 // replaced by a fresher frame because the model was busy
	heat      atomic.Uint64 // replaced while the governor slowed the model

	rulesMu sync.Mutex // guards rules: during a reload two workers may meet
	rules   rules

	failMu    sync.Mutex // guards all following fields
	failed    uint64
	lastError string
	lastLog   time.Time
	unlogged  uint64
}

// emit is the callback of the camera's source: it copies the borrowed frame
// and wakes the worker.
func (c *camera) emit(f *sensors.Frame) {
	c.shutter.offer(f)
	c.live.pass(f)
	if !c.pace.admit(f.Time) {
		return
	}
	replaced := c.slot.put(f)
	w := c.worker.Load()
	switch {
	case !replaced:
	case w != nil && w.throttle.slowed():
		c.heat.Add(1)
	default:
		c.dropped.Add(1)
	}
	if w != nil {
		w.poke()
	}
}

// predictedNow shows a prediction, which is borrowed, to all who look; s is its
// frame, nil when nobody looks at that.
func (c *camera) predictedNow(p *payload.Prediction, s *shot) {
	c.newest.set(p)
	now := monotonic(time.Now())
	c.rate.add(now)
	if s != nil {
		s.prediction = clone(p)
		c.live.show(s)
	}
	if c.events != nil && c.events.count.Load() > 0 && now-time.Duration(c.told.Load()) >= eventInterval {
		c.told.Store(int64(now))
		c.events.prediction(p)
	}
}

// configure takes over what a reload may change of a camera that stays.
func (c *camera) configure(cfg configs.Camera) {
	c.cfg = cfg
	c.pace.limit(cfg.MaxFPS)
	c.gate.set(cfg.Motion)
	c.setRules(cfg.EffectiveRules)
}

// pace thins a camera's frames to a rate. Its zero value lets all through.
type pace struct {
	interval atomic.Int64 // 0: no limit
	skipped  atomic.Uint64
	next     time.Time // only the camera's goroutine uses it
}

// limit sets frames per second; 0 is no limit.
func (p *pace) limit(fps float64) {
	interval := 0.0
	if fps > 0 {
		interval = float64(time.Second) / fps
	}
	p.interval.Store(int64(interval))
}

// admit tells whether the frame captured at t is due. A camera's own rate
// wavers: a frame that comes a quarter of an interval early is let through, and
// the next one is due from where this one was, so that the mean rate holds.
func (p *pace) admit(t time.Time) bool {
	interval := time.Duration(p.interval.Load())
	if interval == 0 {
		return true
	}
	if p.next.Sub(t) > 2*interval { // the limit was raised
		p.next = t
	}
	if t.Before(p.next.Add(-interval / 4)) {
		p.skipped.Add(1)
		return false
	}
	if p.next = p.next.Add(interval); p.next.Before(t) {
		p.next = t.Add(interval)
	}
	return true
}

func (c *camera) keep(now time.Time, results []tflite.Result) bool {
	c.rulesMu.Lock()
	defer c.rulesMu.Unlock()
	return c.rules.keep(now, results)
}

// setRules changes what is kept; what was kept before is remembered.
func (c *camera) setRules(cfg configs.Rules) {
	c.rulesMu.Lock()
	defer c.rulesMu.Unlock()
	c.rules.cfg = cfg
}

// failLogEvery is how often failing frames are said: a camera with a broken
// cable fails fifteen times a second.
const failLogEvery = time.Minute

// fail counts a frame that gave no prediction; the first is logged at once,
// repeats are summed up.
func (c *camera) fail(err error) {
	c.failMu.Lock()
	defer c.failMu.Unlock()
	c.failed++
	c.unlogged++
	c.lastError = err.Error()
	if now := time.Now(); c.lastLog.IsZero() || now.Sub(c.lastLog) >= failLogEvery {
		c.log.Warn("frames failed", "count", c.unlogged, "last", err)
		c.lastLog, c.unlogged = now, 0
	}
}

func (c *camera) failures() (n uint64, last string) {
	c.failMu.Lock()
	defer c.failMu.Unlock()
	return c.failed, c.lastError
}
