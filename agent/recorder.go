package agent

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/egret-edge/egret/sync/payload"
)

// recorder gives kept predictions their place in the sequence and hands them
// on: to the outbox, to the broker as a camera's latest, to who looks. Any
// goroutine may call record; calls are taken one at a time, so the outbox
// holds predictions in the order of their numbers.
type recorder struct {
	device string
	boot   uint64
	append func(rec []byte) error // the outbox; never waits for the disk
	latest func(camera string, rec []byte)
	watch  func(*payload.Prediction) // nil when nobody looks

	mu  sync.Mutex // guards all following fields
	seq uint64
	// shown is the last prediction of each camera that was sent as its latest.
	shown map[string]payload.Prediction
}

// record stores p when keep is set, and shows it in any case. A number is
// spent only on a prediction that the outbox took, so that a gap in the
// numbers always means loss.
func (r *recorder) record(p *payload.Prediction, keep bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Device, p.Boot = r.device, r.boot
	if keep {
		p.Seq = r.seq + 1
		p.ID = payload.NewID(r.device, r.boot, p.Seq)
	}
	show := r.changed(p)
	if !keep && !show && r.watch == nil {
		return nil
	}
	rec, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode prediction of camera %q: %w", p.Camera, err)
	}
	if keep {
		if err := r.append(rec); err != nil {
			return fmt.Errorf("store prediction %s: %w", p.ID, err)
		}
		r.seq++
	}
	if show {
		r.shown[p.Camera] = *p
		r.latest(p.Camera, rec)
	}
	if r.watch != nil {
		r.watch(p)
	}
	return nil
}

// changed tells whether a dashboard should see p: another model, other labels,
// a score that moved by 0.05 or a box that moved by a twentieth of the frame.
func (r *recorder) changed(p *payload.Prediction) bool {
	const step = 0.05
	last, ok := r.shown[p.Camera]
	if !ok || last.Model != p.Model || last.Delegate != p.Delegate || len(last.Results) != len(p.Results) {
		return true
	}
	for i, a := range p.Results {
		b := last.Results[i]
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
