package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
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
	Target() pixel.Target
	Predict(tensor []byte, out *tflite.Output) error
	Close() error
}

// worker owns one interpreter and serves the cameras assigned to it, one frame
// of each in turn, so that a fast camera starves no slow one. Two goroutines
// share the work: one decodes frame n+1 (feed) while the other, which keeps
// its thread, invokes the model on frame n.
type worker struct {
	name  string // the model's name in the configuration
	owner string // the camera whose own interpreter it is; empty when shared
	log   *slog.Logger
	clock func() payload.Clock
	rec   *recorder
	// recovery is for a delegate that may be lost; nil when there is none.
	recovery *recovery

	wake  chan struct{} // a frame waits, or the cameras changed; capacity 1
	free  chan *job     // both of them, between uses
	ready chan *job     // decoded frames
	// cameras is replaced as a whole when the configuration is reloaded.
	cameras atomic.Pointer[[]*camera]
	// busySince is when the frame in hand was begun, on the monotonic clock; 0
	// when there is none. The watchdog reads it.
	busySince atomic.Int64
	invokes   durations
	info      atomic.Pointer[tflite.Info] // of model; any goroutine
	throttle  throttle
	// answered and failed count frames, the model's own failures alone. vouch
	// has the next answer kept, whatever the rules say.
	answered, failed atomic.Uint64
	vouch            atomic.Bool
	tap              atomic.Pointer[tap] // nil when nobody compares

	// Only run's goroutine uses these two.
	model predictor
	out   tflite.Output
	pred  predictionBuffer

	feeder feeder // of feed's goroutine
	counter
}

// job is one frame on its way through the worker.
type job struct {
	camera *camera
	tensor []byte
	view   pixel.View
	shot   *shot // somebody looks; else nil
	tap    *tap  // with tapped: somebody compares; else nil
	tapped *tapped
	// When the frame was captured, its decoding began and ended.
	captured, start, decoded time.Time
	file                     string
}

func newWorker(name string, model predictor, rec *recorder, clock func() payload.Clock, log *slog.Logger) *worker {
	w := &worker{
		name: name, model: model, rec: rec, clock: clock,
		log:  log.With("model", name),
		wake: make(chan struct{}, 1), free: make(chan *job, 2), ready: make(chan *job),
	}
	w.feeder.target = model.Target()
	for range cap(w.free) {
		w.free <- &job{tensor: make([]byte, w.feeder.target.Bytes())}
	}
	w.desk = newDesk(0, 1, 0)
	w.adopt(model)
	w.cameras.Store(&[]*camera{})
	return w
}

func (w *worker) adopt(model predictor) {
	info := model.Info()
	w.model = model
	w.info.Store(&info)
}

// warm runs the model once on a blank picture: the first Invoke of a fresh
// interpreter touches all its memory and takes several times as long.
func warm(model predictor) error {
	var out tflite.Output
	target := model.Target()
	if err := model.Predict(make([]byte, target.Bytes()), &out); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	return nil
}

// run predicts until ctx is done, answers what is decoded by then, and closes
// the model.
func (w *worker) run(ctx context.Context) error {
	runtime.LockOSThread() // an interpreter's threads and caches stay with one
	defer runtime.UnlockOSThread()
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts.Go(func() {
		defer close(w.ready)
		w.feed(ctx)
	})
	back := newComeback(w)
	defer w.end(&parts, cancel, back)
	for {
		select { // however many frames and requests come
		case <-back.again:
			back.try(ctx, &parts)
		case m := <-back.revived:
			back.came(m)
		default:
		}
		if w.requestFirst() && w.serveRequests(ctx, back) {
			continue
		}
		select {
		case j, ok := <-w.ready:
			if !ok {
				return nil
			}
			w.serveFrame(j, back)
			continue
		default:
		}
		if w.serveRequests(ctx, back) {
			continue
		}
		select {
		case j, ok := <-w.ready:
			if !ok {
				return nil
			}
			w.serveFrame(j, back)
		case <-w.desk.bell:
		case <-back.again:
			back.try(ctx, &parts)
		case m := <-back.revived:
			back.came(m)
		}
	}
}

// serveFrame takes a decoded frame to its prediction. The frame that shows that
// the delegate is lost has failed, the next one is answered.
func (w *worker) serveFrame(j *job, back *comeback) {
	w.begged, w.framed = false, time.Now()
	err := w.infer(j)
	w.free <- j
	if back.lost(err) {
		back.spare(err)
	}
}

// end closes what is loaded once nothing else can come.
func (w *worker) end(parts *sync.WaitGroup, cancel func(), back *comeback) {
	cancel()
	parts.Wait()
	w.desk.close()
	select {
	case m := <-back.revived:
		if m != nil {
			w.close(m)
		}
	default:
	}
	w.dropBatches()
	w.close(w.model)
}

func (w *worker) close(m predictor) {
	if err := m.Close(); err != nil {
		w.log.Warn("close model", "error", err)
	}
}

// infer takes a decoded frame to a recorded prediction.
func (w *worker) infer(j *job) error {
	start := time.Now()
	w.busySince.Store(int64(monotonic(start)))
	defer w.busySince.Store(0)
	c := j.camera
	err := w.model.Predict(j.tensor, &w.out)
	if err == nil {
		w.answered.Add(1)
		err = w.record(j)
	} else {
		w.failed.Add(1)
	}
	if j.tapped != nil {
		j.tap.answered(j.tapped, &w.out, err)
		j.tapped = nil
	}
	j.shot = nil
	w.throttle.worked(time.Since(start))
	if err != nil {
		c.gate.forget()
		c.fail(err)
		return err
	}
	c.predicted.Add(1)
	c.waited.Add(max(0, j.start.Sub(j.captured).Microseconds()))
	return nil
}

func (w *worker) record(j *job) error {
	clock := w.clock()
	end := time.Now()
	w.invokes.add(w.out.InvokeTime)
	w.out.Frame(j.view)
	p := w.pred.fill(w.info.Load(), w.out.Results)
	p.Camera, p.File = j.camera.name, j.file
	date(p, clock, j.captured, end)
	p.Latency = payload.Latency{
		Wait:   max(0, j.start.Sub(j.captured).Microseconds()),
		Decode: j.decoded.Sub(j.start).Microseconds(),
		Invoke: w.out.InvokeTime.Microseconds(),
		Total:  max(0, end.Sub(j.captured).Microseconds()),
	}
	keep := j.camera.keep(j.captured, w.out.Results)
	if w.vouch.Load() {
		keep = w.vouch.CompareAndSwap(true, false) || keep
	}
	if err := w.rec.record(p, keep); err != nil {
		return err
	}
	j.camera.predictedNow(p, j.shot)
	return nil
}

// beside tells a version that is loaded beside the one that serves.
func (w *worker) beside() bool { return strings.Contains(w.name, "@") }

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
