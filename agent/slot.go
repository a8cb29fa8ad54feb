package agent

import (
	"sync"
	"time"

	"github.com/egret-edge/egret/sensors"
)

// slot is the latest-wins place between one camera and a worker: it holds at
// most one frame, and a fresher one replaces it. Its two buffers are reused,
// so after the first frames nothing is allocated. All methods may be called
// from any goroutine.
type slot struct {
	mu sync.Mutex // guards all following fields
	// pending is the frame that waits, valid when full.
	pending heldFrame
	full    bool

	captured uint64
}

// heldFrame is a frame whose bytes are the holder's own.
type heldFrame struct {
	frame sensors.Frame
	buf   []byte
}

// put copies the borrowed frame in, and tells whether it replaced one that
// still waited.
func (s *slot) put(f *sensors.Frame) (replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.captured++
	replaced = s.full
	s.pending.buf = append(s.pending.buf[:0], f.Image.Data...)
	s.pending.frame = *f
	s.pending.frame.Image.Data = s.pending.buf
	s.full = true
	return replaced
}

// take swaps the waiting frame with the caller's held one, whose buffer the
// slot keeps for a later frame. It is false when nothing waits.
func (s *slot) take(into *heldFrame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.full {
		return false
	}
	s.pending, *into = *into, s.pending
	s.full = false
	return true
}

// waiting is since when a frame waits; the zero time when none does.
func (s *slot) waiting() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.full {
		return time.Time{}
	}
	return s.pending.frame.Time
}

// count is the number of frames put.
func (s *slot) count() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.captured
}
