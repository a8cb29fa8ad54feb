package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/egret-edge/egret/configs"
)

// governor slows inference, step by step, before the processor gets so hot
// that it slows everything, and speeds it up again.
type governor struct {
	cfg   configs.Governor
	log   *slog.Logger
	level int       // index of duties
	since time.Time // of the level
}

// duties are the shares of the time, in percent, that models may work.
var duties = [...]int32{100, 75, 50, 35, 20, 10}

// How often the temperature is read, and how long a level lasts at least: heat
// takes about ten seconds from the die to the sensor's smoothed value and
// longer to leave the case.
const (
	governorPeriod = 2 * time.Second
	hotterAfter    = 10 * time.Second
	coolerAfter    = 30 * time.Second
)

// step is the duty at the time for what the host's sensors say; a nil one is
// not there.
func (g *governor) step(now time.Time, celsius *float64, throttled *bool) int32 {
	hot := celsius != nil && *celsius >= g.cfg.SlowAt || throttled != nil && *throttled
	cool := (celsius == nil || *celsius < g.cfg.SlowAt-g.cfg.Hysteresis) && (throttled == nil || !*throttled)
	before := g.level
	switch lasted := now.Sub(g.since); {
	case hot && g.level < len(duties)-1 && (g.level == 0 || lasted >= hotterAfter):
		g.level++
	case cool && g.level > 0 && lasted >= coolerAfter:
		g.level--
	}
	if g.level != before {
		g.since = now
		attrs := []any{"duty_percent", duties[g.level]}
		if celsius != nil {
			attrs = append(attrs, "temperature_c", *celsius)
		}
		if throttled != nil {
			attrs = append(attrs, "throttled", *throttled)
		}
		if g.level > before {
			why := "the processor is hot"
			if celsius == nil || *celsius < g.cfg.SlowAt {
				why = "the processor is held back, for its heat or its supply's voltage"
			}
			g.log.Warn("slowing inference, "+why, attrs...)
		} else {
			g.log.Info("inference may work more again", attrs...)
		}
	}
	return duties[g.level]
}

// startGovernor watches the host's sensors and slows all models alike.
func (a *Agent) startGovernor() {
	a.governorTask = nil
	if !a.cfg.Governor.Enabled {
		a.setDuty(100)
		return
	}
	g := &governor{cfg: a.cfg.Governor, log: a.log}
	dir := a.cfg.StateDir
	a.governorTask = a.tasks.start("governor", otherBound, func(ctx context.Context) error {
		tick := time.NewTicker(governorPeriod)
		defer tick.Stop()
		for {
			h := a.hostInfo.Read(dir)
			a.setDuty(g.step(time.Now(), h.TemperatureC, h.Throttled))
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func (a *Agent) setDuty(percent int32) {
	for _, w := range a.view().workers {
		w.throttle.duty.Store(percent)
	}
}
