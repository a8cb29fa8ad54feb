// Package slowdown stretches the bounds of tests on machines that are far slower
// than real ones: under an emulator, or with many others on few cores. It is for
// tests alone, and for bounds alone: how long a test waits for what must happen
// before it gives the program up.
package slowdown

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Variable names the whole number that bounds are multiplied by; without it they
// stay as they are.
const Variable = "EGRET_TEST_SLOWDOWN"

// Of is d, as long as it takes here. It panics when the variable is no number
// from 1 to 1000: a test that ran with other bounds than were asked for would mislead.
func Of(d time.Duration) time.Duration {
	s := os.Getenv(Variable)
	if s == "" {
		return d
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1000 {
		panic(fmt.Sprintf("%s=%q: want a whole number from 1 to 1000", Variable, s))
	}
	return d * time.Duration(n)
}
