//go:build unix

package agent

import (
	"runtime"
	"syscall"
)

// peakMemory is the most that this process had resident, in bytes; 0 when it is
// not known. The kernel counts in KiB, Darwin's in bytes (getrusage(2)).
func peakMemory() uint64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil || u.Maxrss < 0 {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return uint64(u.Maxrss)
	}
	return uint64(u.Maxrss) << 10
}
