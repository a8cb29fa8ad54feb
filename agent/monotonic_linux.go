package agent

import (
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/egret-edge/egret/sync/payload"
)

// monotonicMicros is CLOCK_MONOTONIC in microseconds.
func monotonicMicros() int64 { return clockMicros(unix.CLOCK_MONOTONIC) }

// bootMicros is CLOCK_BOOTTIME in microseconds: unlike the monotonic clock it
// goes on while the device is suspended.
func bootMicros() int64 { return clockMicros(unix.CLOCK_BOOTTIME) }

func clockMicros(id int32) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0 // both exist on every kernel; a zero is ignored
	}
	return ts.Nano() / 1000
}

// kernelBoot is the kernel's own id of its present start; empty when it cannot
// be read.
var kernelBoot = sync.OnceValue(func() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id := strings.TrimSpace(string(text))
	if err != nil || !payload.ValidID(id) {
		return ""
	}
	return id
})
