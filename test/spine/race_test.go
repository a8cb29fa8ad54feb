//go:build race

package spine

// The program under test is built with the race detector when the tests are.
func init() { buildFlags = append(buildFlags, "-race") }
