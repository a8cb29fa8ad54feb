package agent

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/egret-edge/egret/sync/payload"
)

// corrector gives predictions that were recorded before the clock was set their
// true time when they are published after it was. Any goroutine may use it.
//
// It can do so only within one start of the kernel: nothing tells how long a
// device without a clock was switched off.
type corrector struct {
	clock func() payload.Clock
	boot  string // the kernel's start
	// now reads the clock that can be set and the one that cannot (µs).
	now func() (wall time.Time, uptime int64)
}

func newCorrector(clock func() payload.Clock) *corrector {
	return &corrector{
		clock: clock, boot: kernelBoot(),
		now: func() (time.Time, int64) { return time.Now(), bootMicros() },
	}
}

// uncorrected is in every record that may need a correction, as AppendJSON
// writes it.
var uncorrected = []byte(`"clock":"unsynced"`)

// rewrite is the record with its true time, or the record itself when there is
// nothing to correct or no way to.
func (c *corrector) rewrite(rec []byte) []byte {
	if !bytes.Contains(rec, uncorrected) || c.clock() != payload.ClockSynced {
		return rec
	}
	var p struct {
		Clock    payload.Clock `json:"clock"`
		UptimeUs int64         `json:"uptime_us"`
		BootID   string        `json:"boot_id"`
	}
	if json.Unmarshal(rec, &p) != nil || p.Clock != payload.ClockUnsynced || p.BootID == "" || p.BootID != c.boot {
		return rec
	}
	wall, uptime := c.now()
	if p.UptimeUs <= 0 || p.UptimeUs > uptime {
		return rec
	}
	ago := time.Duration(uptime-p.UptimeUs) * time.Microsecond
	corrected, err := payload.Restamp(rec, stamp(wall.Add(-ago)))
	if err != nil {
		return rec // a wrong time that says so is better than none
	}
	return corrected
}
