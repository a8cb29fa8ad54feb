package agent

import (
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
		Delegate: info.Delegate,
		Task:     payload.Task(info.Task),
		Results:  b.results,
	}
	return &b.p
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
