package agent

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
)

const (
	// liveInterval is the shortest time between two live pictures: more a second
	// nobody needs, and each costs a copy.
	liveInterval = time.Second / 15
	// liveIdle is how long who looks waits for a frame that is inferred before
	// one comes as it is: with the motion gate on there may be none for long.
	liveIdle = time.Second
	// livePassed is the largest JPEG of a camera that is handed on as it is.
	livePassed = 1 << 20
)

// live hands a camera's frames to who looks. Its zero value is ready; a frame
// that nobody looks at costs one load. Any goroutine may use it.
type live struct {
	count atomic.Int32 // viewers
	next  atomic.Int64 // when the next shot is wanted, on the monotonic clock
	last  atomic.Int64 // when the last one was, or the first viewer came

	mu      sync.Mutex // guards all following fields
	viewers map[*viewer]struct{}
	gone    bool
}

// viewer is someone who looks. The newest shot waits for it.
type viewer struct {
	shots chan *shot // capacity 1; closed when the camera goes away
}

// shot is a frame in memory of its own, made a picture when somebody takes it.
type shot struct {
	frame      sensors.Frame
	prediction *payload.Prediction // nil when it was not inferred

	once    sync.Once
	picture api.Picture
	err     error
}

// take makes a shot of a borrowed frame that is about to be inferred, when one
// is wanted; nil otherwise.
func (l *live) take(f *sensors.Frame) *shot {
	if l.count.Load() == 0 {
		return nil
	}
	now := int64(monotonic(time.Now()))
	if now < l.next.Load() {
		return nil
	}
	l.next.Store(now + int64(liveInterval))
	return newShot(f)
}

// pass shows a borrowed frame that was not inferred, when there has been
// nothing to see for long.
func (l *live) pass(f *sensors.Frame) {
	if l.count.Load() == 0 || int64(monotonic(time.Now()))-l.last.Load() < int64(liveIdle) {
		return
	}
	l.show(newShot(f))
}

func newShot(f *sensors.Frame) *shot {
	s := &shot{frame: *f}
	s.frame.Image.Data = bytes.Clone(f.Image.Data)
	return s
}

// show gives a shot to all who look; the newest wins.
func (l *live) show(s *shot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.Store(int64(monotonic(time.Now())))
	for v := range l.viewers {
		select {
		case <-v.shots:
		default:
		}
		v.shots <- s // it has room: only show fills it
	}
}

// join adds a viewer; nil when the camera is gone.
func (l *live) join() *viewer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return nil
	}
	if l.viewers == nil {
		l.viewers = map[*viewer]struct{}{}
	}
	if len(l.viewers) == 0 {
		now := int64(monotonic(time.Now()))
		l.last.Store(now)
		l.next.Store(now)
	}
	v := &viewer{shots: make(chan *shot, 1)}
	l.viewers[v] = struct{}{}
	l.count.Add(1)
	return v
}

func (l *live) leave(v *viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.viewers[v]; there {
		delete(l.viewers, v)
		l.count.Add(-1)
	}
}

// close sends all viewers away.
func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	for v := range l.viewers {
		close(v.shots)
	}
	l.viewers = nil
	l.count.Store(0)
}

// watch calls each with the pictures as they come, at most one per interval,
// until ctx is done (nil), each fails or the camera goes away (nil).
func (l *live) watch(ctx context.Context, interval time.Duration, each func(api.Picture) error) error {
	v := l.join()
	if v == nil {
		return nil
	}
	defer l.leave(v)
	var room darkroom
	defer room.close()
	var due time.Time
	for {
		var s *shot
		select {
		case <-ctx.Done():
			return nil
		case s = <-v.shots:
		}
		if s == nil {
			return nil
		}
		// A shot that comes a little early counts, or the rate would halve.
		if now := time.Now(); now.Before(due.Add(-interval / 4)) {
			continue
		} else {
			due = now.Add(interval)
		}
		p, err := s.encoded(&room)
		if err != nil {
			continue // the camera's own count of failed frames has it
		}
		if err := each(p); err != nil {
			return err
		}
	}
}

// encoded is the shot as JPEG, made once for all who look, by the first of
// them in its darkroom.
func (s *shot) encoded(room *darkroom) (api.Picture, error) {
	s.once.Do(func() {
		s.picture.Time, s.picture.Prediction = stamp(s.frame.Time), s.prediction
		img := s.frame.Image
		if w, h, err := pixel.Size(img); err == nil && max(w, h) <= photoSide && len(img.Data) <= livePassed && img.Format == pixel.JPEG && plainJPEG(img.Data) {
			s.picture.JPEG, s.picture.Width, s.picture.Height = img.Data, w, h
			return
		}
		s.picture.JPEG, s.picture.Width, s.picture.Height, s.err = room.photo(img, livePassed)
	})
	return s.picture, s.err
}

// plainJPEG tells whether any browser shows the picture as the model saw it,
// and nothing but the picture is in it: with Huffman tables, which USB cameras
// leave out (ITU T.81, B.2.4.2), and without metadata, which may turn it (APP1,
// Exif), say where it was taken (that, and APP13, IPTC) or hold more pictures
// (APP2).
func plainJPEG(data []byte) bool {
	tables := false
	for i := 2; i+4 <= len(data) && data[i] == 0xff; {
		marker, size := data[i+1], int(data[i+2])<<8|int(data[i+3])
		switch marker {
		case 0xff: // filler
			i++
			continue
		case 0xc4: // DHT
			tables = true
		case 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xef: // APP1 and on but Adobe's APP14
			return false
		case 0xda: // SOS: the picture itself follows
			return tables
		}
		i += 2 + size
	}
	return false
}
