// Package backoff is the program's one retry delay: capped exponential growth
// with full jitter, reset only after a period of stable success.
//
// It holds no goroutine and no timer of its own beyond a single Wait, so a
// supervisor owns when and how often it is used. It is not a retry loop: what
// counts as a failure, and whether to try again at all, is the caller's to say.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff yields the delays between attempts. The zero value is usable and
// waits between 0 and 1 s, then 0 and 2 s, … up to 2 min. It is not safe for
// concurrent use.
type Backoff struct {
	// Min is the upper bound of the first delay. Zero means 1 s.
	Min time.Duration
	// Max caps the upper bound of every delay. Zero means 120 s.
	Max time.Duration
	// Floor is added to every delay, so that full jitter never gives a busy
	// loop. Zero means Min/10.
	Floor time.Duration
	// Stable is how long an attempt must have lasted to count as a success
	// that resets the growth (see Lasted). Zero means Max.
	Stable time.Duration

	attempts int
}

func (b *Backoff) min() time.Duration {
	if b.Min > 0 {
		return b.Min
	}
	return time.Second
}

func (b *Backoff) max() time.Duration {
	if b.Max > 0 {
		return b.Max
	}
	return 120 * time.Second
}

// Next returns the delay before the next attempt and counts that attempt.
// Full jitter (uniform between Floor and the current bound) keeps a fleet that
// lost its broker at one instant from returning at one instant.
func (b *Backoff) Next() time.Duration {
	bound := b.min()
	for i := 0; i < b.attempts && bound < b.max(); i++ {
		bound *= 2
	}
	bound = min(bound, b.max())
	b.attempts++
	floor := b.Floor
	if floor <= 0 {
		floor = b.min() / 10
	}
	if floor >= bound {
		return bound
	}
	return floor + rand.N(bound-floor)
}

// Lasted tells how long the last attempt stayed up. Growth starts anew when
// that was at least Stable; a shorter success changes nothing, so something
// that connects and fails at once still backs off.
func (b *Backoff) Lasted(d time.Duration) {
	stable := b.Stable
	if stable <= 0 {
		stable = b.max()
	}
	if d >= stable {
		b.attempts = 0
	}
}

// Attempts is the number of delays handed out since the last reset.
func (b *Backoff) Attempts() int { return b.attempts }

// Wait sleeps for Next, or until ctx is done; then it returns ctx's error.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
