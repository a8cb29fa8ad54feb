package agent

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
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
	predicted atomic.Uint64

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
	c.slot.put(f)
	if w := c.worker.Load(); w != nil {
		w.poke()
	}
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
