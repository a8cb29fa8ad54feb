package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/test/smallmodel"
	"github.com/egret-edge/egret/tflite"
)

// TestSwapUnderLoad swaps real models while a camera gives more frames than
// they can answer: every frame is answered or was replaced by a fresher one in
// its slot, and a camera's answers come in the order of its frames.
func TestSwapUnderLoad(t *testing.T) {
	const versions, swaps = 2, 12
	dir := t.TempDir()
	for v := range versions {
		if err := smallmodel.WriteBundle(filepath.Join(dir, "m", fmt.Sprint(v+1)), smallmodel.Options{Seed: uint64(v), Channels: 16, Layers: 3}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var last time.Time
	answers, disorder := map[int]int{}, 0
	more := make(chan struct{}, 1)
	rec := newRecorder("d", 1, func(data []byte) error {
		var p payload.Prediction
		if err := json.Unmarshal(data, &p); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if p.Time.Before(last) {
			disorder++
		}
		last = p.Time
		answers[p.Model.Version]++
		select {
		case more <- struct{}{}:
		default:
		}
		return nil
	}, func(string, []byte) {})
	tasks := newTasks(quiet)
	p := &pipeline{
		tasks: tasks, log: quiet, rec: rec, clock: func() payload.Clock { return payload.ClockSynced },
		tuner: func(inf configs.Inference) *Tuner { return NewTuner(inf, "", quiet) },
	}
	cfg := configs.Default()
	cfg.Inference.Delegate, cfg.Inference.Threads = configs.DelegateList(tflite.CPU), 1
	cfg.Cameras = []configs.Camera{{Name: "c", Source: "pattern:?fps=500&size=64x64", Interpreter: "shared", StallTimeout: configs.Duration(time.Minute)}}
	use := func(v int) {
		t.Helper()
		cfg.Models = []configs.Model{{Name: "m", Path: filepath.Join(dir, "m", fmt.Sprint(v))}}
		pl, err := p.prepare(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		p.apply(pl)
	}
	answered := func(v int) int {
		mu.Lock()
		defer mu.Unlock()
		return answers[v]
	}
	for i := range swaps {
		v := i%versions + 1
		before := answered(v)
		use(v)
		for answered(v) < before+3 {
			select {
			case <-more:
			case err := <-tasks.failed:
				t.Fatal(err)
			case <-time.After(time.Minute):
				t.Fatalf("version %d does not answer", v)
			}
		}
	}
	c := p.cameras[0]
	p.tasks.end(c.task) // no frame comes any more
	for !c.slot.waiting().IsZero() {
		time.Sleep(time.Millisecond)
	}
	p.stop()
	failed, reason := c.failures()
	in, out := c.slot.count(), c.predicted.Load()+c.dropped.Load()+failed
	if in != out || failed != 0 {
		t.Errorf("%d frames in, %d answered, %d replaced by fresher ones, %d failed (%s)", in, c.predicted.Load(), c.dropped.Load(), failed, reason)
	}
	if disorder > 0 {
		t.Errorf("%d answers came after one of a later frame", disorder)
	}
}
