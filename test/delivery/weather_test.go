//go:build linux

package delivery

import (
	"math/rand/v2"
	"time"

	"github.com/egret-edge/egret/test/mosquitto"
)

// weather is what happens between the child and the broker.
type weather struct {
	rng    *rand.Rand
	broker *mosquitto.Broker
	link   *link
	counts map[string]int
}

// The weathers that a round may have.
const (
	up = iota
	down
	flapping
	kinds
)

// blow lets a round's weather blow for a while.
func (w *weather) blow(kind int, lasts time.Duration) {
	switch kind {
	case up:
		w.calm()
	case down:
		w.link.set(func() { w.link.down = true })
	}
	for end := time.Now().Add(lasts); ; {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		if kind == flapping {
			w.gust()
			left = min(left, time.Duration(5+w.rng.IntN(100))*time.Millisecond)
		}
		time.Sleep(left)
	}
}

// calm has everything work again.
func (w *weather) calm() {
	w.broker.Thaw()
	w.link.setDeaf(false)
	w.link.set(func() { w.link.down = false })
}

func (w *weather) gust() {
	switch n := w.rng.IntN(12); {
	case n < 3:
		w.counts["cut"]++
		w.link.set(func() {})
	case n < 5:
		w.counts["closed"]++
		w.link.set(func() { w.link.down = true })
	case n < 7:
		w.counts["deaf"]++
		w.link.setDeaf(true)
	case n < 8:
		w.counts["frozen"]++
		w.broker.Freeze()
	case n < 9:
		w.counts["restarted"]++
		w.broker.Thaw()
		w.broker.Restart()
	default:
		w.counts["calm"]++
		w.calm()
	}
}
