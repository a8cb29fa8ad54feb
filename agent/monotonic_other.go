//go:build !linux

package agent

// monotonicMicros is only asked for by systemd.
func monotonicMicros() int64 { return 0 }

// bootMicros and kernelBoot are Linux's: elsewhere no time is corrected.
func bootMicros() int64 { return 0 }

func kernelBoot() string { return "" }
