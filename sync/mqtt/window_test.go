package mqtt

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	now := time.Now()
	w := newWindow(16)
	use := func() (n int) {
		for w.open() {
			w.sent()
			n++
		}
		return n
	}
	if n := use(); n != 4 {
		t.Errorf("starts with %d messages, want 4", n)
	}
	for range 50 {
		w.acknowledged(now, now.Add(time.Millisecond))
		use()
	}
	if w.used != 16-liveReserve {
		t.Errorf("%d in flight on a fast link, want all but %d of 16", w.used, liveReserve)
	}
	// All of one flight come late: that is one reason to shrink, not fourteen.
	for range w.used {
		w.acknowledged(now, now.Add(time.Second))
	}
	if n := use(); n != (16-liveReserve)/2 {
		t.Errorf("%d in flight after a late round, want half", n)
	}
	for round := range 10 {
		later := now.Add(time.Duration(round+2) * time.Minute)
		for range w.used {
			w.acknowledged(later, later.Add(time.Second))
		}
		use()
	}
	if w.used != 1 {
		t.Errorf("%d in flight on a slow link, want 1", w.used)
	}
	if w := newWindow(1); !w.open() {
		t.Error("a single message in flight leaves the backlog none")
	}
}
