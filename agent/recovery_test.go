package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// TestLostDelegateComesBack: the frame that shows the loss fails, the next is
// answered by the CPU, and the delegate is tried with growing pauses until it
// works again. All models are closed, once each.
func TestLostDelegateComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := false
		first, cpu, again := &fakeModel{delegate: "edgetpu"}, &fakeModel{delegate: "cpu"}, &fakeModel{delegate: "edgetpu"}
		first.predict = func(_ []byte, out *tflite.Output) error {
			if gone {
				return fmt.Errorf("%w: unplugged", tflite.ErrDelegate)
			}
			out.Results = append(out.Results[:0], tflite.Result{Label: "one", Score: 1})
			return nil
		}
		w, rec := testWorker(first)
		var mu sync.Mutex
		var tries []time.Time
		tried := func() int { mu.Lock(); defer mu.Unlock(); return len(tries) }
		w.recovery = &recovery{
			spare: func() (predictor, error) { return cpu, nil },
			revive: func(context.Context) (predictor, error) {
				mu.Lock()
				defer mu.Unlock()
				if tries = append(tries, time.Now()); len(tries) < 4 {
					return nil, errors.New("still unplugged")
				}
				return again, nil
			},
			missing: func() bool { return false },
		}
		var made []string
		rec.watch = func(p *payload.Prediction) { made = append(made, p.Delegate) }
		c := testCamera("cam", w)
		w.serve([]*camera{c})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.run(ctx) }()
		frame := func() { c.emit(rgbFrame()); synctest.Wait() }

		frame()
		gone = true
		start := time.Now()
		frame()
		frame()
		if n, _ := c.failures(); n != 1 || fmt.Sprint(made) != "[edgetpu cpu]" || first.closed.Load() != 1 {
			t.Errorf("%d failures, predictions by %v, closed %d times; want 1, edgetpu and cpu, once", n, made, first.closed.Load())
		}
		for tried() < 4 && time.Since(start) < 24*time.Hour {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if tried() != 4 || tries[0].Sub(start) > 31*time.Second {
			t.Errorf("%d tries, the first after %v, want 4 from 30 s on", len(tries), tries[0].Sub(start))
		}
		frame()
		if fmt.Sprint(made) != "[edgetpu cpu edgetpu]" || cpu.closed.Load() != 1 {
			t.Errorf("predictions by %v, the CPU's model closed %d times", made, cpu.closed.Load())
		}
		cancel()
		if err := <-done; err != nil || again.closed.Load() != 1 {
			t.Errorf("ended with %v, closed %d times", err, again.closed.Load())
		}
	})
}

// TestLostFromTheStart: a delegate that was passed over at the start is tried
// again as well, and what comes too late is closed.
func TestLostFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cpu, late := &fakeModel{delegate: "cpu"}, &fakeModel{delegate: "edgetpu"}
		w, _ := testWorker(cpu)
		w.recovery = &recovery{missing: func() bool { return true }, revive: func(ctx context.Context) (predictor, error) {
			<-ctx.Done() // the agent ends while the trial runs
			return late, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if cpu.closed.Load() != 1 || late.closed.Load() != 1 {
			t.Errorf("closed %d and %d times, want once each", cpu.closed.Load(), late.closed.Load())
		}
	})
}

// TestThrottleRests: at half duty the worker rests as long as it works, and
// takes a fresh frame afterwards.
func TestThrottleRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const invoke = 100 * time.Millisecond
		m := &fakeModel{predict: func(_ []byte, out *tflite.Output) error { time.Sleep(invoke); return nil }}
		w, _ := testWorker(m)
		w.throttle.duty.Store(50)
		c := testCamera("cam", w)
		w.serve([]*camera{c})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.run(ctx) }()
		const seconds = 10
		for range seconds * 50 { // 50 frames a second
			c.emit(rgbFrame())
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
		<-done
		if n := c.predicted.Load(); n < 4*seconds || n > 6*seconds {
			t.Errorf("%d predictions in %d s, want about 5 a second", n, seconds)
		}
		if c.dropped.Load() != 0 || c.heat.Load() < 30*seconds {
			t.Errorf("%d dropped and %d skipped for the heat, want all for the heat", c.dropped.Load(), c.heat.Load())
		}
	})
}

// TestInterpreters: cameras of a model share a worker, but for those that want
// one of their own.
func TestInterpreters(t *testing.T) {
	dir := smallBundle(t, smallOptions).Dir
	p := &pipeline{tasks: newTasks(quiet), log: quiet, tuner: func(configs.Inference) *Tuner {
		return &Tuner{Probe: (&device{ms: map[string]float64{"cpu×1": 1}}).probe, Cores: 1}
	}}
	rec := newRecorder("dev", 1, func([]byte) error { return nil }, func(string, []byte) {})
	p.rec, p.clock = rec, func() payload.Clock { return payload.ClockSynced }
	cam := func(name, model, interpreter string) configs.Camera {
		return configs.Camera{Name: name, Model: model, Source: "pattern:", Interpreter: interpreter, StallTimeout: configs.Duration(time.Second)}
	}
	cfg := configs.Default()
	cfg.Inference.Delegate = configs.DelegateList("cpu")
	cfg.Models = []configs.Model{{Name: "a", Path: dir}, {Name: "b", Path: dir}, {Name: "idle", Path: dir}}
	cfg.Cameras = []configs.Camera{cam("one", "", "shared"), cam("two", "a", "shared"), cam("three", "a", "own"), cam("four", "b", "shared")}
	pl, err := p.prepare(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pl.discard()
	s := pl.serves
	if s[0] != s[1] || s[2] == s[0] || s[3] == s[0] || s[3] == s[2] || len(pl.workers) != 4 {
		t.Errorf("%d workers for 3 models and one camera with its own, served by %v", len(pl.workers), s)
	}
}
