//go:build !unix

package agent

func peakMemory() uint64 { return 0 }
