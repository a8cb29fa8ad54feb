package checkup

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/egret-edge/egret/sensors"
)

// beside is what the agent needs besides its models, roughly: pictures, queue,
// connections.
const beside = 48 << 20

// Memory holds what the models need against what there is; models is the most
// that their trial processes had resident, in bytes. It is rough: each trial
// counts the library anew.
func (d Device) Memory(models uint64, u *Unit) Verdict {
	need, limit, whose := models+beside, uint64(0), ""
	if r := (&sensors.Host{Root: d.Root}).Read("/"); r.MemTotal != nil {
		limit, whose = *r.MemTotal, "of this machine"
	}
	bounded := u != nil && u.MemoryMax > 0
	if bounded && !d.unlimited() && (limit == 0 || u.MemoryMax < limit) {
		limit, whose = u.MemoryMax, "that MemoryMax gives the service"
	}
	switch {
	case limit > 0 && need > limit:
		return Verdict{Warn, fmt.Sprintf("about %d MiB needed and %d MiB %s: fewer or smaller models, or a larger MemoryMax in a drop-in", need>>20, limit>>20, whose)}
	case bounded && d.unlimited():
		return Verdict{Warn, fmt.Sprintf("about %d MiB needed; this kernel enforces no limit of memory, so MemoryMax holds nothing back: on a Raspberry Pi add cgroup_enable=memory to /boot/firmware/cmdline.txt and restart it", need>>20)}
	case limit == 0:
		return Verdict{OK, fmt.Sprintf("about %d MiB needed", need>>20)}
	}
	return Verdict{OK, fmt.Sprintf("about %d MiB needed of the %d MiB %s", need>>20, limit>>20, whose)}
}

// unlimited tells whether the kernel lacks cgroup v2's memory controller, as it
// does on a Raspberry Pi, whose firmware starts it with cgroup_disable=memory.
func (d Device) unlimited() bool {
	data, err := os.ReadFile(d.path("/sys/fs/cgroup/cgroup.controllers"))
	return err == nil && !slices.Contains(strings.Fields(string(data)), "memory")
}

// System tells of a 32-bit system on a 64-bit kernel, as older Raspberry Pi OS
// has it; there is no native library for it. asked is false when all is well.
func (d Device) System() (v Verdict, asked bool) {
	ask := d.Machine
	if ask == nil {
		ask = machine
	}
	return mixed(runtime.GOARCH, ask())
}

func mixed(arch, kernel string) (v Verdict, asked bool) {
	if (arch == "arm" && kernel == "aarch64") || (arch == "386" && kernel == "x86_64") {
		return Verdict{Warn, fmt.Sprintf("this program is for 32 bits (%s) and the kernel has 64 (%s): install the 64-bit system for inference", arch, kernel)}, true
	}
	return v, false
}
