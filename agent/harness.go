package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/tflite"
)

// Harness runs one model on frames that its user gives, through the very parts
// that the daemon runs: camera, worker, rules, recorder and outbox. It is for
// benchmarks; nothing is published, and nothing is flushed. It is for one
// goroutine.
type Harness struct {
	worker   *worker
	camera   *camera
	box      *outbox.Outbox
	cancel   context.CancelFunc
	ended    chan struct{}
	done     atomic.Uint64
	recorded chan struct{} // done has grown
	frame    sensors.Frame
}

// NewHarness loads the bundle's model; dir is for the outbox's file.
func NewHarness(b *tflite.Bundle, opts tflite.Options, dir string) (*Harness, error) {
	model, err := openModel(b, opts)
	if err != nil {
		return nil, err
	}
	if err := warm(model); err != nil {
		_ = model.Close()
		return nil, err
	}
	box, err := outbox.Open(outbox.Options{Path: filepath.Join(dir, OutboxFile)})
	if err != nil {
		_ = model.Close()
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	h := &Harness{box: box, cancel: cancel, ended: make(chan struct{}), recorded: make(chan struct{}, 1)}
	record := func(rec []byte) error {
		err := box.Append(rec)
		h.done.Add(1)
		select {
		case h.recorded <- struct{}{}:
		default:
		}
		return err
	}
	rec := newRecorder("bench", box.Boot(), record, func(string, []byte) {})
	clock := &clockState{}
	h.worker = newWorker("bench", model, rec, clock.state, quiet)
	h.camera = &camera{name: "bench", log: quiet}
	h.camera.configure(configs.Camera{})
	h.camera.worker.Store(h.worker)
	h.worker.serve([]*camera{h.camera})
	go func() {
		defer close(h.ended)
		_ = h.worker.run(ctx) // gives no error
	}()
	return h, nil
}

// Serial takes one frame to its recorded prediction.
func (h *Harness) Serial(f sensors.Frame) {
	h.emit(f)
	<-h.recorded
}

// Pipelined takes n predictions of frames that are there as soon as there is
// room for one, as those of a fast camera are: one in Invoke, one decoded, one
// in the slot. It returns the time from one prediction to the n-th after it, so
// that the filling of the pipeline is not in it.
func (h *Harness) Pipelined(f sensors.Frame, n int) time.Duration {
	first := h.done.Load() + 1
	var start time.Time
	for {
		if done := h.done.Load(); done >= first+uint64(n) {
			return time.Since(start)
		} else if done >= first && start.IsZero() {
			start = time.Now()
		}
		switch {
		case h.camera.slot.waiting().IsZero():
			h.emit(f)
		case h.underWay() >= 3:
			<-h.recorded
		default: // it is about to be taken
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// underWay is the number of frames that are not answered yet.
func (h *Harness) underWay() uint64 {
	c := h.camera
	return c.slot.count() - min(c.slot.count(), h.done.Load()+c.dropped.Load())
}

// emit gives the worker a frame as a camera does.
func (h *Harness) emit(f sensors.Frame) {
	h.frame = f
	h.frame.Time = time.Now()
	h.camera.emit(&h.frame)
}

// Drain waits until no frame is under way, and forgets what was recorded, as a
// broker that acknowledges makes the outbox do.
func (h *Harness) Drain() error {
	for h.underWay() > 0 {
		if n, last := h.camera.failures(); n > 0 {
			return fmt.Errorf("%d frames failed: %s", n, last)
		}
		time.Sleep(100 * time.Microsecond)
	}
	select {
	case <-h.recorded:
	default:
	}
	for {
		b, ok := h.box.Take(1000, 1<<20)
		if !ok {
			return nil
		}
		if err := h.box.Ack(b); err != nil {
			return err
		}
	}
}

// InvokeTime is the sum of all Invokes so far, and how many there were.
func (h *Harness) InvokeTime() (time.Duration, int) {
	d := &h.worker.invokes
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sum, d.count
}

// Close ends the worker and the outbox.
func (h *Harness) Close() error {
	h.cancel()
	<-h.ended
	return h.box.Close()
}
