package sensors

import (
	"path/filepath"
	"testing"
	"time"
)

func TestHostReadsItsFiles(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"sys/class/thermal/thermal_zone0/temp":        "48312\n",
		"sys/class/thermal/thermal_zone1/temp":        "61500\n",
		"sys/class/thermal/thermal_zone2/temp":        "-274000\n",
		"sys/class/thermal/thermal_zone4/temp":        "100000\n", // as on a Jetson, for ever
		"sys/class/thermal/thermal_zone4/type":        "PMIC-Die\n",
		"sys/class/thermal/thermal_zone3/temp":        "junk\n",
		"sys/class/thermal/cooling_device0/type":      "fan\n",
		"sys/class/thermal/cooling_device0/cur_state": "3\n",
		"sys/class/thermal/cooling_device1/type":      "cpufreq-cpu0\n",
		"sys/class/thermal/cooling_device1/cur_state": "0\n",
		"proc/meminfo":    "MemTotal:        1000 kB\nMemFree: 10 kB\nMemAvailable:  600 kB\n",
		"proc/loadavg":    "0.52 0.40 0.33 1/200 4242\n",
		"proc/self/statm": "5000 2 1 1 0 1 0\n",
	} {
		write(t, filepath.Join(root, name), []byte(text))
	}
	h := &Host{Root: root}
	r := h.Read(root)
	if r.TemperatureC == nil || *r.TemperatureC != 61.5 {
		t.Errorf("temperature %v, want 61.5", r.TemperatureC)
	}
	write(t, filepath.Join(root, "sys/class/thermal/thermal_zone0/type"), []byte("cpu-thermal\n"))
	if r := h.Read(root); r.TemperatureC == nil || *r.TemperatureC != 48.312 {
		t.Errorf("temperature %v, want the processor's, 48.312", r.TemperatureC)
	}
	if r.Throttled == nil || *r.Throttled {
		t.Error("throttled by a fan, or unknown")
	}
	if r.MemTotal == nil || *r.MemTotal != 1000<<10 || r.MemAvailable == nil || *r.MemAvailable != 600<<10 {
		t.Errorf("memory %v, %v", r.MemTotal, r.MemAvailable)
	}
	if r.Load1 == nil || *r.Load1 != 0.52 || r.RSS == nil || *r.RSS == 0 || r.DiskFree == nil {
		t.Errorf("load %v, rss %v, disk %v", r.Load1, r.RSS, r.DiskFree)
	}
	write(t, filepath.Join(root, "sys/class/thermal/cooling_device1/cur_state"), []byte("2\n"))
	if r := h.Read(root); r.Throttled == nil || !*r.Throttled {
		t.Error("a slowed processor is not seen")
	}
	for bits, want := range map[string]bool{"0": false, "50000": false, "0x50005": true, "4": true} {
		write(t, filepath.Join(root, "sys/devices/platform/soc/soc:firmware/get_throttled"), []byte(bits+"\n"))
		if r := h.Read(root); r.Throttled == nil || *r.Throttled != want {
			t.Errorf("get_throttled %s: want %v", bits, want)
		}
	}
}

func TestHostWithoutSensors(t *testing.T) {
	if r := (&Host{Root: t.TempDir()}).Read("/nonexistent"); r != (HostReading{}) {
		t.Errorf("readings out of nothing: %+v", r)
	}
}

func TestSynced(t *testing.T) {
	for _, c := range []struct {
		state  int
		status int32
		want   bool
	}{{0, 0, true}, {0, 0x2001, true}, {5, 0x40, false}, {0, 0x40, false}, {5, 0, false}} {
		if got := synced(c.state, c.status); got != c.want {
			t.Errorf("synced(%d, %#x) = %v", c.state, c.status, got)
		}
	}
	if _, err := ClockSynced(); err != nil {
		t.Error(err)
	}
}

func TestTimesyncd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "synchronized")
	now := time.Now()
	if timesyncd(path, now) {
		t.Error("synchronized without the file")
	}
	write(t, path, nil)
	if !timesyncd(path, now) {
		t.Error("not synchronized, with a fresh file")
	}
	if timesyncd(path, now.Add(10*time.Hour)) {
		t.Error("synchronized by a file of ten hours ago")
	}
}
