package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// place starts asking for n examples, and waits until they are in the queue.
func place(t *testing.T, ctx context.Context, d *desk, n int) (done chan error, answers []serving.Answer) {
	t.Helper()
	done, answers = make(chan error, 1), make([]serving.Answer, n)
	go func() { done <- d.ask(ctx, make([][]byte, n), answers) }()
	synctest.Wait()
	return done, answers
}

func TestDeskKeepsOrderAndBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(3, 1, 0)
		first, _ := place(t, t.Context(), d, 2)
		second, _ := place(t, t.Context(), d, 1)
		if third, _ := place(t, t.Context(), d, 1); !errors.Is(<-third, serving.ErrFull) {
			t.Error("a fourth example was taken into a queue of three")
		}
		for i, want := range []int{0, 1, 0} {
			e := d.take(time.Now())
			if len(e) != 1 || e[0].at != want {
				t.Fatalf("turn %d: %v, want example %d", i, e, want)
			}
			d.answered(e, nil)
		}
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		if e := d.take(time.Now()); e != nil || d.waiting.Load() != 0 {
			t.Errorf("%v is left, %d wait", e, d.waiting.Load())
		}
	})
}

func TestDeskFillsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(16, 4, 50*time.Millisecond)
		first, _ := place(t, t.Context(), d, 1)
		if e := d.take(time.Now()); e != nil {
			t.Error("a batch was begun before its time")
		}
		second, _ := place(t, t.Context(), d, 3)
		e := d.take(time.Now())
		if len(e) != 4 {
			t.Fatalf("%d examples in a full batch, want 4", len(e))
		}
		d.answered(e, nil)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		alone, _ := place(t, t.Context(), d, 2)
		<-d.bell // of asking
		<-d.bell // of the time
		if e := d.take(time.Now()); len(e) != 1 {
			t.Errorf("%d examples, want 1: half a batch costs as much as a whole one", len(e))
		} else {
			d.answered(e, nil)
		}
		d.close()
		if err := <-alone; !errors.Is(err, serving.ErrGone) {
			t.Errorf("error %v at the end, want ErrGone", err)
		}
	})
}

func TestDeskLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(16, 1, 0)
		ctx, cancel := context.WithCancelCause(t.Context())
		waits, _ := place(t, ctx, d, 3)
		inHand := d.take(time.Now())
		cancel(serving.ErrDeadline)
		synctest.Wait()
		select {
		case err := <-waits:
			t.Fatalf("it ended with %v while the model used its memory", err)
		default:
		}
		if d.waiting.Load() != 0 {
			t.Errorf("%d examples wait for nobody", d.waiting.Load())
		}
		d.answered(inHand, nil)
		if err := <-waits; !errors.Is(err, serving.ErrDeadline) {
			t.Errorf("error %v, want ErrDeadline", err)
		}
		fails, _ := place(t, t.Context(), d, 2)
		d.answered(d.take(time.Now()), errNoFrame)
		if err := <-fails; !errors.Is(err, errNoFrame) || d.waiting.Load() != 0 {
			t.Errorf("error %v, %d wait", err, d.waiting.Load())
		}
		d.close()
		if late, _ := place(t, t.Context(), d, 1); !errors.Is(<-late, serving.ErrGone) {
			t.Error("a closed desk took an order")
		}
	})
}

// TestDeskForgets: a request may bring many megabytes, which nobody counts any
// more once it is answered.
func TestDeskForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(16, 2, 0)
		ctx, cancel := context.WithCancel(t.Context())
		place(t, ctx, d, 2)
		for range 3 {
			place(t, t.Context(), d, 2)
		}
		for range 2 {
			d.answered(d.take(time.Now()), nil)
		}
		cancel()
		synctest.Wait()
		d.answered(d.take(time.Now()), nil)
		d.answered(d.take(time.Now()), nil)
		synctest.Wait()
		for _, o := range d.waits[:cap(d.waits)] {
			if o != nil {
				t.Error("an order that is answered stays in the queue's memory")
			}
		}
		for _, e := range d.inHand[:cap(d.inHand)] {
			if e.order != nil {
				t.Error("an example that is answered stays in hand")
			}
		}
	})
}

var errNoFrame = errors.New("the model failed")

// TestTurns: whoever is configured to goes first when frames and requests wait.
func TestTurns(t *testing.T) {
	for priority, want := range map[string]string{
		"fair":                "[frame request frame request frame request frame]",
		configs.CamerasFirst:  "[frame frame frame frame request request request]",
		configs.RequestsFirst: "[frame request request request frame frame frame]",
	} {
		t.Run(priority, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var got []string
				gate := make(chan struct{})
				m := &fakeModel{delegate: tflite.CPU, predict: func(tensor []byte, out *tflite.Output) error {
					<-gate
					mu.Lock()
					defer mu.Unlock()
					got = append(got, map[bool]string{true: "request", false: "frame"}[tensor == nil])
					return nil
				}}
				rec := newRecorder("d", 1, func([]byte) error { return nil }, func(string, []byte) {})
				w := newWorker("m", m, rec, func() payload.Clock { return payload.ClockSynced }, quiet)
				w.desk, w.priority = newDesk(8, 1, 0), priority
				var cameras []*camera
				for i := range 4 {
					c := &camera{name: fmt.Sprint(i), log: quiet}
					c.worker.Store(w)
					cameras = append(cameras, c)
				}
				w.serve(cameras)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); _ = w.run(ctx) }()
				cameras[0].emit(rgbFrame()) // in hand until the gate opens
				synctest.Wait()
				for _, c := range cameras[1:] {
					c.emit(rgbFrame())
				}
				done, _ := place(t, t.Context(), w.desk, 3)
				for range 7 {
					gate <- struct{}{}
					synctest.Wait()
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				cancel()
				<-ended
				if all := fmt.Sprint(got); all != want {
					t.Errorf("%s, want %s", all, want)
				}
			})
		})
	}
}

// TestRequestSurvivesALostDelegate: it is answered by what takes its place.
func TestRequestSurvivesALostDelegate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &fakeModel{delegate: "edgetpu", predict: func([]byte, *tflite.Output) error { return tflite.ErrDelegate }}
		good := &fakeModel{delegate: tflite.CPU}
		rec := newRecorder("d", 1, func([]byte) error { return nil }, func(string, []byte) {})
		w := newWorker("m", bad, rec, func() payload.Clock { return payload.ClockSynced }, quiet)
		w.desk = newDesk(8, 1, 0)
		w.recovery = &recovery{
			spare: func() (predictor, error) { return good, nil }, missing: func() bool { return false },
			revive: func(context.Context) (predictor, error) { return nil, errNoFrame },
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = w.run(ctx) }()
		done, answers := place(t, t.Context(), w.desk, 2)
		if err := <-done; err != nil || answers[1].Results[0].Label != "one" {
			t.Errorf("answers %v, %v", answers, err)
		}
		if bad.closed.Load() != 1 {
			t.Error("the lost delegate's model is still open")
		}
		cancel()
		<-ended
	})
}

// TestRequestsLeaveFramesATurn: though requests go first, a slow camera's frame
// is not kept for so long that the watchdog takes the model for stuck.
func TestRequestsLeaveFramesATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fakeModel{delegate: tflite.CPU, predict: func([]byte, *tflite.Output) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		}}
		rec := newRecorder("d", 1, func([]byte) error { return nil }, func(string, []byte) {})
		w := newWorker("m", m, rec, func() payload.Clock { return payload.ClockSynced }, quiet)
		w.desk, w.priority = newDesk(8, 1, 0), configs.RequestsFirst
		c := &camera{name: "c", log: quiet}
		c.worker.Store(w)
		w.serve([]*camera{c})
		ctx, cancel := context.WithCancel(t.Context())
		var parts sync.WaitGroup
		parts.Go(func() { _ = w.run(ctx) })
		for range 4 { // requests without end
			parts.Go(func() {
				for w.desk.ask(ctx, make([][]byte, 1), make([]serving.Answer, 1)) == nil {
				}
			})
		}
		for range 4 {
			c.emit(rgbFrame())
			time.Sleep(20 * time.Second)
			if err := (snapshot{workers: []*worker{w}, cameras: []*camera{c}}).stuck(time.Now(), 15*time.Second); err != nil {
				t.Error(err)
			}
		}
		if n := c.predicted.Load(); n != 4 {
			t.Errorf("%d frames of 4 were answered", n)
		}
		cancel()
		parts.Wait()
	})
}
