package checkup

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPower(t *testing.T) {
	const throttled, zone = "sys/devices/platform/soc/soc:firmware/get_throttled", "sys/class/thermal/thermal_zone0/temp"
	for _, tt := range []struct {
		name  string
		files map[string]string
		level Level
		says  string
	}{
		{"voltage low now", map[string]string{throttled: "50005"}, Fail, "too low now"},
		{"by the kernel's sensor", map[string]string{"sys/class/hwmon/hwmon1/name": "rpi_volt", "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"}, Fail, "too low now"},
		{"voltage low before", map[string]string{throttled: "50000"}, Warn, "too low since boot"},
		{"hot", map[string]string{zone: "81000", throttled: "0"}, Warn, "81 °C"},
		{"held back", map[string]string{throttled: "0x4"}, Warn, "held back now"},
		{"held back before", map[string]string{throttled: "60000"}, Warn, "held back since boot"},
		{"good", map[string]string{throttled: "0", zone: "51200"}, OK, "51 °C, voltage good"},
		{"good by the kernel's sensor", map[string]string{"sys/class/hwmon/hwmon0/name": "rpi_volt", "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "0"}, OK, "voltage good"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, asked := fake(t, tt.files).Power(75)
			if !asked {
				t.Error("nothing to say")
			}
			holds(t, v, tt.level, tt.says)
		})
	}
	if v, asked := fake(t, nil).Power(75); asked {
		t.Errorf("a device without sensors: %v", v)
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	device := func(synced bool, err error, files map[string]string) Device {
		d := fake(t, files)
		d.Synced = func() (bool, error) { return synced, err }
		return d
	}
	chrony := map[string]string{"proc/9/comm": "chronyd\n"}
	holds(t, device(true, nil, nil).Clock(now, nil), OK, "synchronised, 2026-11-21")
	holds(t, device(false, nil, nil).Clock(now, nil), Warn, "no time service runs")
	holds(t, device(false, nil, chrony).Clock(now, nil), Warn, "chronyd runs and has not set it yet")
	holds(t, device(false, errors.New("cannot be read"), nil).Clock(now, nil), Warn, "cannot be read")
	holds(t, device(true, nil, nil).Clock(time.Unix(1000, 0), nil), Fail, "it is 1970")
	service := &Unit{ClockHidden: true}
	holds(t, device(true, nil, chrony).Clock(now, service), Warn, "examples/time-service.conf")
	holds(t, device(true, nil, chrony).Clock(now, &Unit{}), OK, "synchronised")
	holds(t, device(true, nil, map[string]string{"run/systemd/timesync/synchronized": ""}).Clock(now, service), OK, "synchronised")
}

const mountinfo = `21 1 179:2 / / rw,noatime - ext4 /dev/mmcblk0p2 rw
22 21 0:20 / /run rw - tmpfs tmpfs rw
23 21 0:21 / /var/lib/with\040blank ro shared:1 - ext4 /dev/sda1 rw
24 21 0:22 / /over rw - overlay overlay rw
25 21 8:1 / /data rw - ext4 /dev/sda2 rw
26 21 8:2 / /failed rw - ext4 /dev/sdb2 ro,errors=remount-ro
`

func TestStorage(t *testing.T) {
	d := fake(t, map[string]string{"proc/self/mountinfo": mountinfo})
	mib := func(n uint64) *uint64 { n <<= 20; return &n }
	for _, tt := range []struct {
		name  string
		s     Storage
		level Level
		says  string
	}{
		{"card", Storage{Dir: "/var/lib/egret", Free: mib(900), Outbox: 256 << 20}, OK, "flash_budget"},
		{"card with a budget", Storage{Dir: "/var/lib/egret", Free: mib(900), Budgeted: true}, OK, "/var/lib/egret, 900 MiB free"},
		{"disk", Storage{Dir: "/data/egret", Free: mib(900)}, OK, "/data/egret, 900 MiB free"},
		{"name that begins alike", Storage{Dir: "/database", Free: mib(900)}, OK, "flash_budget"},
		{"memory", Storage{Dir: "/run/egret", Free: mib(900)}, Warn, "in memory (tmpfs)"},
		{"overlay", Storage{Dir: "/over/egret", Free: mib(900)}, Warn, "overlay"},
		{"read-only mount", Storage{Dir: "/var/lib/with blank/egret", Free: mib(900)}, Fail, "read-only"},
		{"read-only disk", Storage{Dir: "/failed/egret", Free: mib(900)}, Fail, "read-only"},
		{"full", Storage{Dir: "/data/egret", Free: mib(3)}, Fail, "has 3 MiB free"},
		{"less than the outbox may take", Storage{Dir: "/data/egret", Free: mib(100), Outbox: 256 << 20, Taken: 6 << 20}, Warn, "may take 250 MiB more"},
		{"the outbox has taken it", Storage{Dir: "/data/egret", Free: mib(100), Outbox: 256 << 20, Taken: 200 << 20}, OK, "100 MiB free"},
	} {
		t.Run(tt.name, func(t *testing.T) { holds(t, d.Storage(tt.s), tt.level, tt.says) })
	}
}

func TestMemory(t *testing.T) {
	const cgroups = "sys/fs/cgroup/cgroup.controllers"
	d := fake(t, map[string]string{"proc/meminfo": "MemTotal: 1048576 kB\n"})
	holds(t, d.Memory(100<<20, nil), OK, "about 148 MiB needed of the 1024 MiB of this machine")
	holds(t, d.Memory(2000<<20, nil), Warn, "fewer or smaller models")
	holds(t, d.Memory(600<<20, &Unit{MemoryMax: 512 << 20}), Warn, "512 MiB that MemoryMax gives the service")
	holds(t, fake(t, nil).Memory(1<<20, nil), OK, "49 MiB needed")
	holds(t, fake(t, map[string]string{cgroups: "cpuset cpu io memory pids\n"}).Memory(100<<20, &Unit{MemoryMax: 512 << 20}), OK, "of the 512 MiB that MemoryMax gives")
	holds(t, fake(t, map[string]string{cgroups: "cpuset cpu io pids\n"}).Memory(100<<20, &Unit{MemoryMax: 512 << 20}), Warn, "cgroup_enable=memory")
}

func TestSystem(t *testing.T) {
	for _, tt := range []struct {
		arch, kernel string
		mixed        bool
	}{{"arm", "aarch64", true}, {"386", "x86_64", true}, {"arm64", "aarch64", false}, {"arm", "armv7l", false}, {"amd64", "x86_64", false}} {
		v, asked := mixed(tt.arch, tt.kernel)
		if asked != tt.mixed {
			t.Errorf("%s on %s: %v", tt.arch, tt.kernel, v)
		}
		if asked {
			holds(t, v, Warn, "install the 64-bit system")
		}
	}
	if _, asked := (Device{}).System(); asked {
		t.Error("these tests run on a mixed system")
	}
}

func TestAccelerator(t *testing.T) {
	usb := map[string]string{"sys/bus/usb/devices/1-1/idVendor": "1a6e\n", "sys/bus/usb/devices/1-1/idProduct": "089a\n"}
	pci := map[string]string{"sys/bus/pci/devices/0/vendor": "0x1ac1\n", "sys/bus/pci/devices/0/device": "0x089a\n"}
	apex := map[string]string{"dev/apex_0": ""}
	library := map[string]string{"usr/lib/aarch64-linux-gnu/libedgetpu.so.1": ""}
	closed := &Unit{Closed: true, Devices: []string{"char-video4linux"}}
	open := &Unit{Closed: true, Devices: []string{"char-video4linux", "char-usb_device"}}
	for _, tt := range []struct {
		name  string
		files []map[string]string
		names string
		unit  *Unit
		level Level
		says  string
	}{
		{"stick without library", []map[string]string{usb}, "auto", nil, Warn, "libedgetpu.so.1 is not"},
		{"stick and library", []map[string]string{usb, library}, "edgetpu", nil, OK, "a Coral and /usr/lib/aarch64-linux-gnu/libedgetpu.so.1"},
		{"closed sandbox", []map[string]string{usb, library}, "auto", closed, Warn, "examples/coral-usb.conf"},
		{"open sandbox", []map[string]string{usb, library}, "auto", open, OK, "a Coral"},
		{"library without stick", []map[string]string{library}, "edgetpu auto", nil, Warn, "no Coral is there"},
		{"card without driver", []map[string]string{pci, library}, "auto", nil, Warn, "no /dev/apex_0"},
		{"card in a closed sandbox", []map[string]string{pci, apex, library}, "edgetpu", closed, Warn, "examples/coral-pcie.conf"},
		{"GPU in a closed sandbox", nil, "gpu", closed, Warn, "examples/gpu.conf"},
		{"nothing", nil, "auto", closed, "", ""},
		{"library alone", []map[string]string{library}, "auto", closed, "", ""},
		{"stick that nobody asked for", []map[string]string{usb}, "cpu", closed, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := map[string]string{}
			for _, m := range tt.files {
				for k, v := range m {
					all[k] = v
				}
			}
			v, asked := fake(t, all).Accelerator(strings.Fields(tt.names), tt.unit)
			if asked != (tt.level != "") {
				t.Errorf("asked is %v: %v", asked, v)
			}
			if asked {
				holds(t, v, tt.level, tt.says)
			}
		})
	}
}
