//go:build !unix

package api

// processorTime is not known here.
func processorTime() (user, system float64, ok bool) { return 0, 0, false }
