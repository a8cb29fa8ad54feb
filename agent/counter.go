package agent

import (
	"context"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/tflite"
)

// batcher is a model that is loaded for several pictures at once;
// *tflite.Model is the one.
type batcher interface {
	PredictBatch(tensors [][]byte, outs []*tflite.Output) error
	Close() error
}

// counter is the half of a worker that serves requests. Any goroutine may use
// the desk; the rest is the worker's.
type counter struct {
	desk     *desk
	priority string   // of configs.Requests
	labels   []string // the model's, by index; nil without any
	batched  batcher  // nil without one
	outs     []*tflite.Output
	tensors  [][]byte
	begged   bool      // the last turn was a request's
	framed   time.Time // when the last frame's turn was
}

// frameTurn is how long frames wait for requests that go first: far less than
// the watchdog's limit, which would take requests without end for a model that
// is stuck.
const frameTurn = time.Second

// requestFirst tells whose turn it is when frames and requests wait.
func (c *counter) requestFirst() bool {
	switch c.priority {
	case configs.CamerasFirst:
		return false
	case configs.RequestsFirst:
		return time.Since(c.framed) < frameTurn
	}
	return !c.begged
}

// serveRequests runs the examples that are next; false when none waits. When
// the delegate is lost they are run again without it.
func (w *worker) serveRequests(ctx context.Context, back *comeback) bool {
	if ctx.Err() != nil { // the frames that are decoded are the last
		return false
	}
	examples := w.desk.take(time.Now())
	if len(examples) == 0 {
		return false
	}
	w.begged = true
	start := time.Now()
	w.busySince.Store(int64(monotonic(start)))
	err := w.runExamples(examples)
	if back.lost(err) {
		back.spare(err)
		err = w.runExamples(examples)
	}
	w.busySince.Store(0)
	w.desk.answered(examples, err)
	w.throttle.worked(time.Since(start))
	w.throttle.pause(ctx)
	return true
}

// runExamples runs one example alone, or several as a batch.
func (w *worker) runExamples(examples []example) (err error) {
	for len(w.outs) < len(examples) {
		w.outs = append(w.outs, &tflite.Output{Raw: true})
	}
	outs, began := w.outs[:len(examples)], time.Now()
	w.tensors = w.tensors[:0]
	for i, e := range examples { // what they hold is the caller's
		a := e.answer()
		outs[i].Results, outs[i].Tensors = a.Results, a.Outputs
		w.tensors = append(w.tensors, e.tensor())
		a.Waited = max(0, began.Sub(e.since))
	}
	if w.batched != nil && len(examples) > 1 {
		err = w.batched.PredictBatch(w.tensors, outs)
	} else {
		for i := range examples {
			if err == nil {
				err = w.model.Predict(w.tensors[i], outs[i])
			}
		}
	}
	ended := time.Now()
	for i, e := range examples {
		e.since = ended
		a := e.answer()
		a.Results, a.Outputs, a.Invoke = outs[i].Results, outs[i].Tensors, outs[i].InvokeTime
		outs[i].Results, outs[i].Tensors, w.tensors[i] = nil, nil, nil
	}
	if err == nil && len(examples) == 1 { // a batch's time is no picture's
		w.invokes.add(outs[0].InvokeTime)
	}
	return err
}

// dropBatches runs examples one by one from now on.
func (w *worker) dropBatches() {
	w.desk.single()
	if w.batched == nil {
		return
	}
	if err := w.batched.Close(); err != nil {
		w.log.Warn("close the model for batches", "error", err)
	}
	w.batched = nil
}
