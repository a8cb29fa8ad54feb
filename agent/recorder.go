package agent

import (
	"fmt"
	"sync"

	"github.com/egret-edge/egret/sync/payload"
)

// recorder gives kept predictions their place in the sequence and hands them
// on: to the outbox, to the broker as a camera's latest, to who looks. Any
// goroutine may call record; calls are taken one at a time, so the outbox
// holds predictions in the order of their numbers. Nobody may keep what is
// handed to them: the memory is used again.
type recorder struct {
	device string
	boot   uint64
	append func(rec []byte) error // the outbox; never waits for the disk
	latest func(camera string, rec []byte)
	watch  func(*payload.Prediction) // nil when nobody looks

	mu   sync.Mutex // guards all following fields
	seq  uint64
	json []byte
	// shown is the last prediction of each camera that was sent as its latest.
	shown map[string]*shown
}

func newRecorder(device string, boot uint64, append func([]byte) error, latest func(string, []byte)) *recorder {
	return &recorder{device: device, boot: boot, append: append, latest: latest, shown: map[string]*shown{}}
}

// shown is what changed compares.
type shown struct {
	model    payload.Model
	delegate string
	results  []payload.Result
	boxes    [][4]float32
}

// record stores p when keep is set, and shows it in any case. A number is
// spent only on a prediction that the outbox took, so that a gap in the
// numbers always means loss.
func (r *recorder) record(p *payload.Prediction, keep bool) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Device, p.Boot = r.device, r.boot
	if keep {
		p.Seq = r.seq + 1
	}
	last := r.shown[p.Camera]
	show := last == nil || last.changed(p)
	if !keep && !show && r.watch == nil {
		return nil
	}
	if r.json, err = p.AppendJSON(r.json[:0]); err != nil {
		return fmt.Errorf("camera %q: %w", p.Camera, err)
	}
	if keep {
		if err := r.append(r.json); err != nil {
			return fmt.Errorf("store prediction %s: %w", payload.NewID(p.Device, p.Boot, p.Seq), err)
		}
		r.seq++
	}
	if show {
		if last == nil {
			last = &shown{}
			r.shown[p.Camera] = last
		}
		last.set(p)
		r.latest(p.Camera, r.json)
	}
	if r.watch != nil {
		if keep {
			p.ID = payload.NewID(p.Device, p.Boot, p.Seq)
		}
		r.watch(p)
	}
	return nil
}

func (s *shown) set(p *payload.Prediction) {
	s.model, s.delegate = p.Model, p.Delegate
	s.results = append(s.results[:0], p.Results...)
	s.boxes = resize(s.boxes, len(p.Results))
	for i := range s.results {
		if box := s.results[i].Box; box != nil {
			s.boxes[i] = *box
			s.results[i].Box = &s.boxes[i]
		}
	}
}

// changed tells whether a dashboard should see p: another model, other labels,
// a score that moved by 0.05 or a box that moved by a twentieth of the frame.
func (s *shown) changed(p *payload.Prediction) bool {
	const step = 0.05
	if s.model != p.Model || s.delegate != p.Delegate || len(s.results) != len(p.Results) {
		return true
	}
	for i := range p.Results {
		a, b := &p.Results[i], &s.results[i]
		if a.Index != b.Index || apart(a.Score, b.Score) >= step || (a.Box == nil) != (b.Box == nil) {
			return true
		}
		if a.Box == nil {
			continue
		}
		for k := range a.Box {
			if apart(a.Box[k], b.Box[k]) >= step {
				return true
			}
		}
	}
	return false
}

func apart(a, b float32) float32 { return max(a-b, b-a) }
