package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// TestMain serves as the trial process when the prober starts this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "probe" {
		if err := ServeProbe(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// fakeModel is a predictor of functions; test/spine runs the real one through
// the same worker.
type fakeModel struct {
	delegate string
	predict  func(tensor []byte, out *tflite.Output) error
	closed   atomic.Int32
}

func (f *fakeModel) Info() tflite.Info  { return tflite.Info{Name: "fake", Delegate: f.delegate} }
func (*fakeModel) Target() pixel.Target { return pixel.Target{Width: 2, Height: 2} }
func (f *fakeModel) Close() error       { f.closed.Add(1); return nil }
func (f *fakeModel) Predict(tensor []byte, out *tflite.Output) error {
	if f.predict != nil {
		return f.predict(tensor, out)
	}
	out.Results = append(out.Results[:0], tflite.Result{Index: 1, Label: "one", Score: 1})
	return nil
}

func rgbFrame() *sensors.Frame {
	return &sensors.Frame{Time: time.Now(), Image: pixel.Image{Format: pixel.RGB24, Width: 2, Height: 2, Data: make([]byte, 12)}}
}

func testWorker(m predictor) (*worker, *recorder) {
	rec := newRecorder("dev", 1, func([]byte) error { return nil }, func(string, []byte) {})
	return newWorker("fake", m, rec, func() payload.Clock { return payload.ClockSynced }, quiet), rec
}

// serveOne takes the next frame through both halves of the worker; false when
// none waits.
func serveOne(w *worker) bool {
	c := w.next()
	if c == nil {
		return false
	}
	j := <-w.free
	defer func() { w.free <- j }()
	if w.prepare(c, j) {
		_ = w.infer(j) // counted by the camera
	}
	return true
}

func testCamera(name string, w *worker) *camera {
	c := &camera{name: name, log: quiet}
	c.worker.Store(w)
	return c
}

// TestFairShare: a camera that always has a frame ready takes turns with one
// that seldom has.
func TestFairShare(t *testing.T) {
	w, rec := testWorker(&fakeModel{})
	fast, slow := testCamera("fast", w), testCamera("slow", w)
	w.serve([]*camera{fast, slow})
	var order []string
	rec.watch = func(p *payload.Prediction) {
		order = append(order, p.Camera)
		fast.emit(rgbFrame()) // it is ready again before anyone else is asked
	}
	fast.emit(rgbFrame())
	for range 5 {
		slow.emit(rgbFrame())
		for range 2 {
			if !serveOne(w) {
				t.Fatal("no frame was served")
			}
		}
	}
	if got := strings.Join(order, " "); got != strings.TrimSpace(strings.Repeat("fast slow ", 5)) {
		t.Errorf("served %s, want the two in turn", got)
	}
	if fast.predicted.Load() != 5 || slow.predicted.Load() != 5 {
		t.Errorf("counted %d and %d, want 5 each", fast.predicted.Load(), slow.predicted.Load())
	}
}

func TestFailuresAreCountedAndTheNextFrameGoesOn(t *testing.T) {
	broken := errors.New("no luck")
	m := &fakeModel{}
	w, _ := testWorker(m)
	c := testCamera("cam", w)
	w.serve([]*camera{c})
	m.predict = func([]byte, *tflite.Output) error { return broken }
	c.emit(rgbFrame())
	serveOne(w)
	m.predict = nil
	bad := rgbFrame()
	bad.Image.Data = bad.Image.Data[:5]
	c.emit(bad)
	serveOne(w)
	c.emit(rgbFrame())
	serveOne(w)
	if n, last := c.failures(); n != 2 || !strings.Contains(last, "rgb24") {
		t.Errorf("%d failures, last %q, want 2 and the short frame", n, last)
	}
	if c.predicted.Load() != 1 {
		t.Errorf("%d predictions, want 1", c.predicted.Load())
	}
}

// TestSwapLosesNoFrame: the frames that wait when a worker is replaced are the
// next one's.
func TestSwapLosesNoFrame(t *testing.T) {
	ts := newTasks(quiet)
	old, next := &fakeModel{}, &fakeModel{}
	w1, rec := testWorker(old)
	w2, _ := testWorker(next)
	w2.rec = rec
	done := make(chan string, 100)
	rec.watch = func(p *payload.Prediction) { done <- p.Camera }
	c := testCamera("cam", w1)
	w1.serve([]*camera{c})
	p := &pipeline{tasks: ts, log: quiet, rec: rec}
	p.workers = []*runningWorker{{worker: w1, cfg: configs.Model{Name: "a"}, task: ts.start("a", time.Minute, w1.run)}}
	c.sup = &sensors.Supervisor{Source: idle{}}
	rc := &runningCamera{camera: c, task: ts.start("camera", time.Minute, c.run)}
	p.cameras = []*runningCamera{rc}
	c.emit(rgbFrame())
	<-done
	successor := []*runningWorker{{worker: w2, cfg: configs.Model{Name: "b"}}}
	p.apply(&plan{workers: successor, cameras: p.cameras, configs: []configs.Camera{{Name: "cam"}}, serves: successor})
	if old.closed.Load() != 1 || next.closed.Load() != 0 {
		t.Errorf("closed the old model %d times and the new one %d times, want 1 and 0", old.closed.Load(), next.closed.Load())
	}
	c.emit(rgbFrame())
	<-done
	p.stop()
	if next.closed.Load() != 1 {
		t.Error("the new model was not closed at the end")
	}
	if captured, dropped := c.slot.count(), c.dropped.Load(); captured != 2 || dropped != 0 || c.predicted.Load() != 2 {
		t.Errorf("captured %d, dropped %d, predicted %d, want 2, 0 and 2", captured, dropped, c.predicted.Load())
	}
}

// idle is a source without frames.
type idle struct{}

func (idle) Run(ctx context.Context, _ func(*sensors.Frame)) error { <-ctx.Done(); return nil }
func (idle) String() string                                        { return "idle:" }

func TestStuck(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name          string
		busy, waiting time.Duration
		want          string
	}{
		{"idle", 0, 0, ""},
		{"at work", time.Second, 0, ""},
		{"Invoke hangs", time.Minute, 0, "model fake has worked on one frame for 1m0s"},
		{"a frame waits", 0, time.Second, ""},
		{"nobody takes it", 0, time.Minute, "a frame of camera cam has waited for 1m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := testWorker(&fakeModel{})
			c := testCamera("cam", w)
			if tt.busy > 0 {
				w.busySince.Store(int64(monotonic(now.Add(-tt.busy))))
			}
			if tt.waiting > 0 {
				f := rgbFrame()
				f.Time = now.Add(-tt.waiting)
				c.slot.put(f)
			}
			got := ""
			if err := (snapshot{workers: []*worker{w}, cameras: []*camera{c}}).stuck(now, 10*time.Second); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("stuck: %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	var d durations
	for i := range 300 {
		d.add(time.Duration(i+1) * time.Microsecond)
	}
	times := d.drain()
	if len(times) != 256 || len(d.drain()) != 0 {
		t.Fatalf("%d times, want the latest 256, once", len(times))
	}
	sorted := []time.Duration{1000, 2000, 3000, 4000}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 1: 4} {
		if got := percentile(sorted, q); got != want {
			t.Errorf("percentile %v is %v µs, want %v", q, got, want)
		}
	}
	if percentile(nil, 0.5) != 0 {
		t.Error("no times have a percentile")
	}
}

// TestStuckWithoutSystemd: nobody else would end an agent whose model hangs.
func TestStuckWithoutSystemd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Setenv("WATCHDOG_USEC", "")
		w, _ := testWorker(&fakeModel{})
		view := func() snapshot { return snapshot{workers: []*worker{w}} }
		d := newWatchdog(&notifier{log: quiet}, view, quiet)
		done := make(chan error, 1)
		go func() { done <- d.run(t.Context()) }()
		time.Sleep(time.Hour)
		w.busySince.Store(int64(monotonic(time.Now())))
		start := time.Now()
		err := <-done
		if !errors.Is(err, errStuck) || !strings.Contains(err.Error(), "has worked on one frame") {
			t.Errorf("ended with %v", err)
		}
		if d := time.Since(start); d < ownWatchdog/2 || d > ownWatchdog {
			t.Errorf("ended after %v", d)
		}
	})
}
