//go:build unix

package api

import "syscall"

// processorTime is what this process used, in seconds.
func processorTime() (user, system float64, ok bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, 0, false
	}
	return float64(u.Utime.Nano()) / 1e9, float64(u.Stime.Nano()) / 1e9, true
}
