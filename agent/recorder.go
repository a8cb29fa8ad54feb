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
	shown map[string]*predictionBuffer
}

func newRecorder(device string, boot uint64, append func([]byte) error, latest func(string, []byte)) *recorder {
	return &recorder{device: device, boot: boot, append: append, latest: latest, shown: map[string]*predictionBuffer{}}
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
	show := last == nil || changed(&last.p, p)
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
			last = &predictionBuffer{}
			r.shown[p.Camera] = last
		}
		last.hold(p)
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

// changed tells whether a dashboard should see p: another model, other labels,
// a score that moved by 0.05 or a box that moved by a twentieth of the frame.
func changed(s, p *payload.Prediction) bool {
	const step = 0.05
	if s.Model != p.Model || s.Delegate != p.Delegate || s.Converted != p.Converted || len(s.Results) != len(p.Results) {
		return true
	}
	for i := range p.Results {
		a, b := &p.Results[i], &s.Results[i]
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
