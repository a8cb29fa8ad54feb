//go:build !linux

package agent

// monotonicMicros is only asked for by systemd.
func monotonicMicros() int64 { return 0 }
