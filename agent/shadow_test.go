package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/ota/update"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

func TestDistance(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b []float64
		want float64
	}{
		"the same":         {[]float64{1, 2, 3}, []float64{3, 1, 2}, 0},
		"apart":            {[]float64{0.1, 0.2}, []float64{0.8, 0.9}, 1},
		"half":             {[]float64{0, 0, 1, 1}, []float64{1, 1, 1, 1}, 0.5},
		"different counts": {[]float64{1, 2, 3, 4}, []float64{1, 4}, 0.25},
		"ties":             {[]float64{0, 0, 0, 0}, []float64{0, 0}, 0},
	} {
		if got := distance(tt.a, tt.b); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestSameFirst(t *testing.T) {
	one := func(index int, label string) []tflite.Result {
		return []tflite.Result{{Index: index, Label: label, Score: 1}}
	}
	for name, tt := range map[string]struct {
		a, b []tflite.Result
		want bool
	}{
		"nothing":                 {nil, nil, true},
		"one sees nothing":        {one(1, "cat"), nil, false},
		"label":                   {one(1, "cat"), one(7, "cat"), true},
		"other label, same index": {one(1, "cat"), one(1, "dog"), false},
		"index without label":     {one(1, ""), one(1, "dog"), true},
	} {
		if got := sameFirst(tt.a, tt.b); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPlausible(t *testing.T) {
	nan := float32(math.NaN())
	for want, results := range map[string][]tflite.Result{
		"":               {{Score: 0}, {Score: 1, HasBox: true}},
		"the score NaN":  {{Score: 1}, {Score: nan}},
		"the score 1.5":  {{Score: 1.5}},
		"the score -0.1": {{Score: -0.1}},
		"no number":      {{Score: 1, HasBox: true, Box: [4]float32{0, nan, 1, 1}}},
	} {
		err := plausible(results)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", results, err, want)
		}
	}
}

func pngPicture(t *testing.T, class int) pixel.Image {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, smallmodel.Picture(class, 96)); err != nil {
		t.Fatal(err)
	}
	return pixel.Image{Format: pixel.PNG, Data: b.Bytes()}
}

// rawPicture is a picture as packed RGB with padding after each row.
func rawPicture(class int) pixel.Image {
	img := smallmodel.Picture(class, 96).(*image.RGBA)
	const stride = 96*3 + 5
	out := pixel.Image{Format: pixel.RGB24, Width: 96, Height: 96, Stride: stride, Data: make([]byte, stride*96)}
	for y := range 96 {
		for x := range 96 {
			c := img.RGBAAt(x, y)
			copy(out.Data[y*stride+3*x:], []byte{c.R, c.G, c.B})
		}
	}
	return out
}

// TestCompanion: a model in a process of its own answers frames of several
// formats, says what is no picture, and its end is an error in one line.
func TestCompanion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m", "1")
	if err := smallmodel.WriteBundle(dir, smallmodel.Options{}); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c, err := startCompanion(ctx, ProbeRequest{Model: dir, Delegate: tflite.CPU, Threads: 1, Runs: 3}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if !c.report.OK || c.report.Golden != 1 || c.report.Memory == 0 {
		t.Errorf("report %+v", c.report)
	}
	if runtime.GOOS == "linux" { // when memory runs out, it goes first
		score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", c.cmd.Process.Pid))
		if err != nil || strings.TrimSpace(string(score)) != "1000" {
			t.Errorf("oom_score_adj %q, %v", score, err)
		}
	}
	for class := range 4 {
		for _, img := range []pixel.Image{pngPicture(t, class), rawPicture(class)} {
			a, err := c.answer(ctx, img)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Results) == 0 || a.Results[0].Label != smallmodel.Label(class) || a.InvokeUs <= 0 || a.Memory == 0 {
				t.Errorf("class %d as %v: %+v", class, img.Format, a)
			}
		}
	}
	if _, err := c.answer(ctx, pixel.Image{Format: pixel.JPEG, Data: []byte("no picture")}); !errors.Is(err, errPicture) {
		t.Errorf("no picture: %v", err)
	}
	if _, err := c.answer(ctx, pngPicture(t, 1)); err != nil { // it goes on
		t.Error(err)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.answer(ctx, pngPicture(t, 1)); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("after its death: %v", err)
	}
}

// TestCompanionRefuses: what does not load is in the report, and a process that
// does not answer is killed.
func TestCompanionRefuses(t *testing.T) {
	ctx := context.Background()
	c, err := startCompanion(ctx, ProbeRequest{Model: t.TempDir(), Delegate: tflite.CPU, Threads: 1}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if c.report.OK || c.report.Reason == "" {
		t.Errorf("report %+v", c.report)
	}
	c.close()
	dir := filepath.Join(t.TempDir(), "m", "1")
	if err := smallmodel.WriteBundle(dir, smallmodel.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := startCompanion(ctx, ProbeRequest{Model: dir, Delegate: tflite.CPU, Threads: 1}, time.Microsecond); !errors.Is(err, errHung) {
		t.Errorf("a process that does not answer: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := startCompanion(done, ProbeRequest{Model: dir, Delegate: tflite.CPU, Threads: 1}, time.Minute); err == nil {
		t.Error("started although the agent is ending")
	}
}

// TestJudgeTrial: what a model on trial may not do.
func TestJudgeTrial(t *testing.T) {
	w := newWorker("m", &fakeModel{}, nil, nil, quiet)
	for _, tt := range []struct {
		answered, failed int
		busy             time.Duration
		want             string
	}{
		{0, 0, 0, ""}, {10, 2, 0, ""}, {100, 9, 0, ""},
		{0, 3, 0, "3 of 3 frames failed"}, {20, 3, 0, "3 of 23 frames failed"},
		{1, 0, 9 * time.Second, ""}, {1, 0, 21 * time.Second, "worked on one frame for more than 20s"},
	} {
		w.busySince.Store(0)
		if tt.busy > 0 {
			w.busySince.Store(int64(monotonic(time.Now().Add(-tt.busy))))
		}
		err := judgeTrial([]*worker{w}, &payload.Proof{Answered: tt.answered, Failed: tt.failed}, 1e6)
		var refusal *update.Refusal
		if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestShadowWaits: why it waits is said once, not at every look.
func TestShadowWaits(t *testing.T) {
	w := newWorker("m", &fakeModel{}, nil, nil, quiet)
	for want, workers := range map[string][]*worker{"no camera has this model": nil, "none came": {w}} {
		synctest.Test(t, func(t *testing.T) {
			var said []string
			s := &shadow{workers: func(string) []*worker { return workers }, hold: func(reason string) { said = append(said, reason) }}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if _, err := s.next(ctx); err == nil {
				t.Error("a frame from nowhere")
			}
			if said = slices.Compact(said); len(said) != 1 || !strings.Contains(said[0], want) {
				t.Errorf("it said %q, want %s", said, want)
			}
		})
	}
}

// TestShadowOfASlowModel: a frame that came is waited for, however long its
// Invoke takes, but not for ever: that may hang.
func TestShadowOfASlowModel(t *testing.T) {
	const slow = 12 * time.Second
	for name, lost := range map[string]int{"answers": 0, "the first is lost": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorker("m", &fakeModel{}, nil, nil, quiet)
				s := &shadow{workers: func(string) []*worker { return []*worker{w} }, hold: func(string) {}}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				go func() {
					for sleep(ctx, time.Second) == nil {
						tap := w.tap.Load()
						to := tap.copyFrame(&sensors.Frame{})
						if to == nil {
							continue
						}
						if lost--; lost < 0 && sleep(ctx, slow) == nil {
							tap.answered(to, &tflite.Output{InvokeTime: slow}, nil)
						}
					}
				}()
				if got, err := s.next(ctx); err != nil || got.invoke != slow {
					t.Errorf("%+v, %v", got, err)
				}
			})
		})
	}
}

// TestShadowOfAFailingModel: without answers to compare with, it says why it
// waits, and does not wait for ever: a model that fails on so many frames as
// were to be compared cannot keep its successor away.
func TestShadowOfAFailingModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m", "1")
	if err := smallmodel.WriteBundle(dir, smallmodel.Options{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := startCompanion(ctx, ProbeRequest{Model: dir, Delegate: tflite.CPU, Threads: 1, Runs: 3}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	w := newWorker("m", &fakeModel{}, nil, nil, quiet)
	frame := &sensors.Frame{Image: rawPicture(1)}
	w.tap.Store(nil)
	go func() {
		for ctx.Err() == nil {
			if tap := w.tap.Load(); tap != nil {
				if to := tap.copyFrame(frame); to != nil {
					tap.answered(to, &tflite.Output{}, errors.New("no device"))
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var said []string
	s := &shadow{
		frames: manySkipped + 5, workers: func(string) []*worker { return []*worker{w} }, step: func(int, int) {},
		hold: func(reason string) { said = append(said, reason) },
	}
	var p payload.Proof
	if err := s.run(ctx, c, true, &p); err != nil || p.Frames != 0 || p.Agreement != nil {
		t.Errorf("error %v, proof %+v", err, p)
	}
	if len(said) != 1 || !strings.Contains(said[0], "the present model fails: no device") {
		t.Errorf("it said %q", said[:min(len(said), 5)])
	}
}

// TestHangLimit: a model on trial is found to hang before systemd's watchdog
// ends the agent.
func TestHangLimit(t *testing.T) {
	for _, tt := range []struct {
		watchdog     string
		invoke, want time.Duration
	}{
		{"", 36 * time.Millisecond, 10 * time.Second},
		{"", 2 * time.Second, 40 * time.Second},
		{"30000000", 36 * time.Millisecond, 10 * time.Second},
		{"30000000", 2 * time.Second, 12 * time.Second},
	} {
		t.Setenv("WATCHDOG_PID", "")
		t.Setenv("WATCHDOG_USEC", tt.watchdog)
		if tt.watchdog == "" {
			os.Unsetenv("WATCHDOG_USEC")
		}
		os.Unsetenv("WATCHDOG_PID")
		if got := hangLimit(tt.invoke); got != tt.want {
			t.Errorf("watchdog %q, Invoke %v: %v, want %v", tt.watchdog, tt.invoke, got, tt.want)
		}
	}
}
