//go:build race

package pixel

// The race detector allocates on its own account.
const raceEnabled = true
