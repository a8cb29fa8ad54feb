package mqtt

import "time"

// window bounds how many messages of a backlog are in flight. It opens by one
// with each acknowledgement that comes soon and halves with one that comes
// late, as TCP's does: a link or a broker that is slow, or that a whole fleet
// has just come back to, is not filled with what is old while something new
// waits behind it.
type window struct {
	size, used int
	most       int
	// shrunk is when it last halved: what was sent before tells nothing more.
	shrunk time.Time
}

const (
	// soonAck is how long what is new may be kept waiting by what is old.
	soonAck = 100 * time.Millisecond
	// liveReserve messages in flight are never the backlog's.
	liveReserve = 2
)

func newWindow(maxInFlight int) window {
	most := max(maxInFlight-liveReserve, 1)
	return window{size: min(4, most), most: most}
}

func (w *window) open() bool { return w.used < w.size }

func (w *window) sent() { w.used++ }

func (w *window) acknowledged(sent, now time.Time) {
	w.used--
	switch {
	case now.Sub(sent) <= soonAck:
		w.size = min(w.size+1, w.most)
	case sent.After(w.shrunk):
		w.size, w.shrunk = max(w.size/2, 1), now
	}
}
