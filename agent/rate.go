package agent

import (
	"sync"
	"time"
)

const (
	rateRoom   = 64
	rateWindow = 5 * time.Second
)

// rate is how many a second there were lately. Its zero value is ready; any
// goroutine may use it.
type rate struct {
	mu    sync.Mutex // guards all following fields
	times [rateRoom]time.Duration
	n     int // of all
}

// add counts one at a time on the monotonic clock.
func (r *rate) add(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times[r.n%rateRoom] = now
	r.n++
}

// perSecond is the mean over the last five seconds, or over the last 64 when
// they came in less.
func (r *rate) perSecond(now time.Duration) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	window, n := rateWindow, 0
	for n < min(r.n, rateRoom) && now-r.times[(r.n-1-n)%rateRoom] <= rateWindow {
		n++
	}
	if n == rateRoom {
		window = now - r.times[r.n%rateRoom]
	}
	if window <= 0 {
		return 0
	}
	return float64(n) / window.Seconds()
}
