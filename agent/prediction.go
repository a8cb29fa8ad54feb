package agent

import (
	"sync"
	"time"

	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// NewPrediction fills in what the model knows of a prediction: its identity,
// delegate, task and results, which are copied.
func NewPrediction(info tflite.Info, results []tflite.Result) payload.Prediction {
	var b predictionBuffer
	return *b.fill(&info, results)
}

// predictionBuffer makes predictions in the same memory again and again. Its
// zero value is ready.
type predictionBuffer struct {
	p       payload.Prediction
	results []payload.Result
	boxes   [][4]float32
}

// fill is NewPrediction; what it returns is valid until the next call.
func (b *predictionBuffer) fill(info *tflite.Info, results []tflite.Result) *payload.Prediction {
	b.results = resize(b.results, len(results))
	b.boxes = resize(b.boxes, len(results))
	for i := range results {
		r := &results[i]
		b.results[i] = payload.Result{Index: r.Index, Label: r.Label, Score: r.Score}
		if r.HasBox {
			b.boxes[i] = r.Box
			b.results[i].Box = &b.boxes[i]
		}
	}
	b.p = payload.Prediction{
		Model:    payload.Model{Name: info.Name, Version: info.Version, Digest: info.Digest},
		Delegate: info.Delegate, Converted: info.Converted,
		Task:    payload.Task(info.Task),
		Results: b.results,
	}
	return &b.p
}

// hold copies a borrowed prediction; what it returns is valid until the next
// call.
func (b *predictionBuffer) hold(p *payload.Prediction) *payload.Prediction {
	b.results = append(b.results[:0], p.Results...)
	b.boxes = resize(b.boxes, len(p.Results))
	for i := range b.results {
		if box := b.results[i].Box; box != nil {
			b.boxes[i] = *box
			b.results[i].Box = &b.boxes[i]
		}
	}
	b.p = *p
	b.p.Results = b.results
	return &b.p
}

// newest is a camera's latest prediction, kept or not. Its zero value has none;
// any goroutine may use it.
type newest struct {
	mu     sync.Mutex // guards all following fields
	buffer predictionBuffer
	there  bool
}

// set copies a borrowed prediction.
func (n *newest) set(p *payload.Prediction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buffer.hold(p)
	n.there = true
}

// get is the caller's; nil before the first.
func (n *newest) get() *payload.Prediction {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.there {
		return nil
	}
	return clone(&n.buffer.p)
}

// clone is a prediction in memory of its own, with its id.
func clone(p *payload.Prediction) *payload.Prediction {
	c := new(predictionBuffer).hold(p)
	if c.ID == "" && c.Seq > 0 {
		c.ID = payload.NewID(c.Device, c.Boot, c.Seq)
	}
	return c
}

// resize gives a slice of n elements, not nil, in the old one's memory if it
// is large enough.
func resize[T any](s []T, n int) []T {
	if s == nil || cap(s) < n {
		return make([]T, n, max(n, 8))
	}
	return s[:n]
}

// stamp is a capture time as predictions carry it: UTC, to the millisecond,
// which is finer than any camera's clock.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
