package checkup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/sensors"
)

// The bits of a Raspberry Pi's get_throttled: the present, and since boot.
const (
	underVoltage, capped, throttled = 1 << 0, 1 << 1, 1 << 2
	sinceBoot                       = 16
)

// Power tells of low voltage and heat; slowAt is where the governor begins, in
// °C. asked is false when the device has no such sensors.
func (d Device) Power(slowAt float64) (v Verdict, asked bool) {
	host := sensors.Host{Root: d.Root}
	r := host.Read("/")
	bits, firmware := d.throttled()
	alarm, volt := d.voltAlarm()
	switch {
	case bits&underVoltage != 0 || alarm:
		return Verdict{Fail, "the supply's voltage is too low now, which breaks cameras and SD cards: use the board's own supply and a short cable"}, true
	case bits>>sinceBoot&underVoltage != 0:
		return Verdict{Warn, "the supply's voltage was too low since boot: use the board's own supply and a short cable"}, true
	case r.TemperatureC != nil && *r.TemperatureC >= slowAt:
		return Verdict{Warn, fmt.Sprintf("the processor has %.0f °C, the governor slows from %.0f °C on: better cooling, a lower max_fps, or another governor.slow_at", *r.TemperatureC, slowAt)}, true
	case bits&(capped|throttled) != 0 || r.Throttled != nil && *r.Throttled:
		return Verdict{Warn, "the processor is held back now, for its heat or its supply: better cooling, the board's own supply"}, true
	case bits>>sinceBoot&(capped|throttled) != 0:
		return Verdict{Warn, "the processor was held back since boot, for its heat or its supply: look again under load"}, true
	}
	var words []string
	if r.TemperatureC != nil {
		words = append(words, fmt.Sprintf("%.0f °C", *r.TemperatureC))
	}
	if firmware || volt {
		words = append(words, "voltage good")
	}
	return Verdict{OK, strings.Join(words, ", ")}, len(words) > 0
}

func (d Device) throttled() (bits uint64, there bool) {
	text := d.text("sys/devices/platform/soc/soc:firmware/get_throttled")
	bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	return bits, err == nil
}

// voltAlarm is the mainline kernel's word on a Pi's supply (raspberrypi-hwmon).
func (d Device) voltAlarm() (alarm, there bool) {
	for _, dir := range d.glob("sys/class/hwmon/hwmon*") {
		if d.text(dir+"/name") == "rpi_volt" {
			return d.text(dir+"/in0_lcrit_alarm") == "1", true
		}
	}
	return false, false
}
