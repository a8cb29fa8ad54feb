package checkup

import (
	"fmt"
	"slices"
	"time"

	"github.com/egret-edge/egret/sensors"
)

// firstYear is before this program was: a clock that says so was never set.
const firstYear = 2026

// timeServices are processes that set clocks, as /proc names them (15 bytes).
var timeServices = []string{"systemd-timesyn", "chronyd", "ntpd", "ntpsec", "openntpd"}

// Clock tells whether the clock can be believed. One that is not synchronised
// is no failure: results made before are corrected afterwards. The service's
// sandbox sees less than the doctor does: of other time services than
// systemd-timesyncd, which leaves a mark, it learns nothing.
func (d Device) Clock(now time.Time, u *Unit) Verdict {
	stamp := now.UTC().Format(time.RFC3339)
	if now.UTC().Year() < firstYear {
		return Verdict{Fail, fmt.Sprintf("it is %s here: certificates and signatures cannot be judged; %s", stamp, d.setClock())}
	}
	ask := d.Synced
	if ask == nil {
		ask = sensors.ClockSynced
	}
	synced, err := ask()
	switch {
	case err != nil:
		return Verdict{Warn, err.Error() + ": a container may not ask, and has its host's clock"}
	case !synced:
		return Verdict{Warn, fmt.Sprintf("not synchronised (it says %s): %s", stamp, d.setClock())}
	case u != nil && u.ClockHidden && !d.exists("run/systemd/timesync/synchronized"):
		return Verdict{Warn, "synchronised, but not by systemd-timesyncd, so that the service does not know: " + use("time-service.conf")}
	}
	return Verdict{OK, "synchronised, " + stamp}
}

// setClock is what to do for a clock that nobody has set.
func (d Device) setClock() string {
	for _, comm := range d.glob("proc/[0-9]*/comm") {
		if name := d.text(comm); slices.Contains(timeServices, name) {
			return name + " runs and has not set it yet: does it reach its server (timedatectl timesync-status, chronyc sources)?"
		}
	}
	return "no time service runs: sudo apt install systemd-timesyncd (a container has its host's clock)"
}
