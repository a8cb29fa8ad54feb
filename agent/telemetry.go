package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// snapshot is the set of parts that ran when it was taken; their counters are
// read from any goroutine.
type snapshot struct {
	workers []*worker
	cameras []*camera
}

// telemeter makes the telemetry message. Only one goroutine may call next.
type telemeter struct {
	agent            *Agent
	device, stateDir string
	start            time.Time

	last      time.Time
	predicted map[string]uint64 // per camera, at last
}

// next is the telemetry since the last call.
func (t *telemeter) next(now time.Time) payload.Telemetry {
	view := t.agent.view()
	p := payload.Telemetry{
		Device: t.device, Boot: t.agent.box.Boot(),
		Time: now.UTC(), Clock: t.agent.clock.state(),
		Uptime:  now.Sub(t.start).Seconds(),
		Cameras: map[string]payload.CameraTelemetry{},
		Models:  map[string]payload.ModelTelemetry{},
		Account: t.agent.account(),
		Flash:   t.agent.flash(),
		Host:    t.agent.host(t.stateDir), Commands: t.agent.commander.telemetry(),
	}
	elapsed := now.Sub(t.last).Seconds()
	counts := make(map[string]uint64, len(view.cameras))
	for _, c := range view.cameras {
		ct := c.telemetry()
		if before, ok := t.predicted[c.name]; ok && elapsed > 0 && ct.Predicted >= before {
			ct.FPS = float64(ct.Predicted-before) / elapsed
		}
		counts[c.name] = ct.Predicted
		p.Cameras[c.name] = ct
	}
	for _, w := range view.workers {
		p.Models[w.label()] = w.telemetry()
	}
	t.last, t.predicted = now, counts
	return p
}

// startTelemetry publishes what the device says about itself, at once and then
// every interval of the configuration as it is now.
func (a *Agent) startTelemetry() {
	interval := time.Duration(a.cfg.Telemetry.Interval)
	t := &telemeter{agent: a, device: a.cfg.Device, stateDir: a.cfg.StateDir, start: a.started, last: time.Now()}
	a.telemetryTask = a.tasks.start("telemetry", otherBound, func(ctx context.Context) error {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			msg, err := json.Marshal(t.next(time.Now()))
			if err != nil {
				return fmt.Errorf("encode telemetry: %w", err)
			}
			if c := a.client.Load(); c != nil {
				c.Telemetry(msg)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

// host is what the box tells; any goroutine may ask.
func (a *Agent) host(stateDir string) payload.HostTelemetry {
	h := a.hostInfo.Read(stateDir)
	return payload.HostTelemetry{
		TemperatureC: h.TemperatureC, Throttled: h.Throttled,
		MemAvailable: h.MemAvailable, MemTotal: h.MemTotal,
		DiskFree: h.DiskFree, RSS: h.RSS, Load1: h.Load1,
	}
}

func (c *camera) telemetry() payload.CameraTelemetry {
	stats := c.sup.Stats()
	failed, last := c.failures()
	t := payload.CameraTelemetry{
		State: stats.State, Predicted: c.predicted.Load(), Dropped: c.dropped.Load(), Failed: failed,
		Restarts: stats.Restarts, LastError: stats.LastError, Skipped: map[string]uint64{},
		WaitedMs: float64(c.waited.Load()) / 1e3,
	}
	if t.LastError == "" {
		t.LastError = last
	}
	rate, still := c.pace.skipped.Load(), c.gate.skipped.Load()
	for reason, n := range map[string]uint64{"max_fps": rate, "motion": still, "heat": c.heat.Load()} {
		if n > 0 {
			t.Skipped[reason] = n
		}
	}
	if w := c.worker.Load(); w != nil {
		t.SavedMs = float64(still) * milliseconds(w.invokes.mean())
	}
	t.Captured = c.slot.count() + rate // last, so that it is never less than its parts
	return t
}

// label is the model's name, with the camera's when that has it to itself.
func (w *worker) label() string {
	if w.owner == "" {
		return w.name
	}
	return w.name + "/" + w.owner
}

func (w *worker) telemetry() payload.ModelTelemetry {
	times := w.invokes.drain()
	slices.Sort(times)
	info := w.info.Load()
	t := payload.ModelTelemetry{
		Version: info.Version, Delegate: info.Delegate, Converted: info.Converted, Threads: info.Threads,
		InvokeUsP50: percentile(times, 0.50), InvokeUsP95: percentile(times, 0.95),
		Duty: 1,
	}
	if w.throttle.slowed() {
		t.Duty = float64(w.throttle.duty.Load()) / 100
	}
	return t
}

// percentile is the value below which the share q of the sorted times lies, in
// microseconds; 0 without any.
func percentile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1)+0.5)].Nanoseconds()) / 1e3
}
