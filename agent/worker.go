package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// predictor is a loaded model; *tflite.Model is the one.
type predictor interface {
	Info() tflite.Info
	InputSize() (width, height int)
	Predict(rgb []byte, out *tflite.Output) error
	Close() error
}

// worker owns one model and serves the cameras assigned to it, one frame of
// each in turn, so that a fast camera starves no slow one.
type worker struct {
	name  string // the model's name in the configuration
	model predictor
	info  tflite.Info // read once: the model belongs to run's goroutine
	log   *slog.Logger
	clock func() payload.Clock
	rec   *recorder

	wake chan struct{} // a frame waits, or the cameras changed; capacity 1
	// cameras is replaced as a whole when the configuration is reloaded.
	cameras atomic.Pointer[[]*camera]
	// busySince is when the frame in hand was begun, in Unix nanoseconds; 0
	// when there is none. The watchdog reads it.
	busySince atomic.Int64
	invokes   durations

	// Only run's goroutine uses what follows.
	held   heldFrame
	scaler pixel.Scaler
	rgb    []byte
	out    tflite.Output
}

func newWorker(name string, model predictor, rec *recorder, clock func() payload.Clock, log *slog.Logger) *worker {
	w, h := model.InputSize()
	wk := &worker{
		name: name, model: model, info: model.Info(), rec: rec, clock: clock,
		log:  log.With("model", name),
		wake: make(chan struct{}, 1),
		rgb:  make([]byte, w*h*3),
	}
	wk.cameras.Store(&[]*camera{})
	return wk
}

// warm runs the model once on a grey picture: the first Invoke of a fresh
// interpreter touches all its memory and takes several times as long.
func (w *worker) warm() error {
	for i := range w.rgb {
		w.rgb[i] = 128
	}
	if err := w.model.Predict(w.rgb, &w.out); err != nil {
		return fmt.Errorf("warm up model %q: %w", w.name, err)
	}
	return nil
}

// run predicts until ctx is done, then closes the model.
func (w *worker) run(ctx context.Context) error {
	runtime.LockOSThread() // an interpreter's threads and caches stay with one
	defer runtime.UnlockOSThread()
	defer func() {
		if err := w.model.Close(); err != nil {
			w.log.Warn("close model", "error", err)
		}
	}()
	for {
		if !w.round(ctx) {
			select {
			case <-ctx.Done():
				return nil
			case <-w.wake:
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// round serves each camera at most one frame; false when none had any.
func (w *worker) round(ctx context.Context) (served bool) {
	for _, c := range *w.cameras.Load() {
		if ctx.Err() != nil {
			return served
		}
		if !c.slot.take(&w.held) {
			continue
		}
		served = true
		w.busySince.Store(time.Now().UnixNano())
		if err := w.predict(c); err != nil {
			c.fail(err)
		}
		w.busySince.Store(0)
	}
	return served
}

// predict takes the held frame to a recorded prediction.
func (w *worker) predict(c *camera) error {
	f := &w.held.frame
	start := time.Now()
	width, height := w.model.InputSize()
	if err := w.scaler.RGB(w.rgb, width, height, f.Image); err != nil {
		return err
	}
	decoded := time.Now()
	if err := w.model.Predict(w.rgb, &w.out); err != nil {
		return err
	}
	end := time.Now()
	w.invokes.add(w.out.InvokeTime)
	p := NewPrediction(w.info, w.out.Results)
	p.Camera, p.File = c.name, f.Name
	p.Time, p.Clock = stamp(f.Time), w.clock()
	p.Latency = payload.Latency{
		Wait:   max(0, start.Sub(f.Time).Microseconds()),
		Decode: decoded.Sub(start).Microseconds(),
		Invoke: w.out.InvokeTime.Microseconds(),
		Total:  max(0, end.Sub(f.Time).Microseconds()),
	}
	if err := w.rec.record(&p, c.keep(f.Time, w.out.Results)); err != nil {
		return err
	}
	c.predicted.Add(1)
	return nil
}

// stamp is a capture time as predictions carry it: UTC, to the millisecond,
// which is finer than any camera's clock.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// serve replaces the cameras that the worker serves.
func (w *worker) serve(cameras []*camera) {
	w.cameras.Store(&cameras)
	w.poke()
}

// poke wakes the worker; it never blocks.
func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// NewPrediction fills in what the model knows of a prediction: its identity,
// delegate, task and results, which are copied.
func NewPrediction(info tflite.Info, results []tflite.Result) payload.Prediction {
	p := payload.Prediction{
		Model:    payload.Model{Name: info.Name, Version: info.Version, Digest: info.Digest},
		Delegate: info.Delegate,
		Task:     payload.Task(info.Task),
		Results:  make([]payload.Result, len(results)),
	}
	for i, r := range results {
		p.Results[i] = payload.Result{Index: r.Index, Label: r.Label, Score: r.Score}
		if r.HasBox {
			box := r.Box
			p.Results[i].Box = &box
		}
	}
	return p
}

// durations keeps the latest Invoke times for percentiles. Its zero value is
// ready; any goroutine may use it.
type durations struct {
	mu   sync.Mutex
	ring [256]time.Duration
	n    int // written since the last snapshot
}

func (d *durations) add(t time.Duration) {
	d.mu.Lock()
	d.ring[d.n%len(d.ring)] = t
	d.n++
	d.mu.Unlock()
}

// drain returns the times since the last call, the latest 256 at most.
func (d *durations) drain() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := append([]time.Duration(nil), d.ring[:min(d.n, len(d.ring))]...)
	d.n = 0
	return out
}
