package agent

import "golang.org/x/sys/unix"

// monotonicMicros is CLOCK_MONOTONIC in microseconds.
func monotonicMicros() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // the clock exists on every kernel; systemd ignores a zero
	}
	return ts.Nano() / 1000
}
