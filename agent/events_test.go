package agent

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/sync/payload"
)

func TestListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		gate := make(chan struct{})
		kinds := map[string]int{}
		lost := 0
		done := make(chan error)
		go func() {
			done <- e.follow(ctx, func() api.State { return api.State{Device: "d"} }, func(ev api.Event) error {
				if kinds[ev.Type]++; ev.Type == api.EventPrediction && kinds[ev.Type] == 1 {
					<-gate // slow, for once
				}
				if ev.Type == api.EventLost {
					var n struct{ Events int }
					if err := json.Unmarshal(ev.Data, &n); err != nil {
						t.Error(err)
					}
					lost += n.Events
				}
				return nil
			})
		}()
		synctest.Wait()
		for i := range 200 {
			e.prediction(&payload.Prediction{Seq: uint64(i + 1)})
			synctest.Wait()
		}
		close(gate)
		time.Sleep(3*stateInterval + time.Millisecond)
		synctest.Wait()
		if kinds[api.EventPrediction]+lost != 200 || kinds[api.EventPrediction] != eventRoom+1 {
			t.Errorf("%d predictions heard and %d lost of 200", kinds[api.EventPrediction], lost)
		}
		if kinds[api.EventState] != 4 {
			t.Errorf("the state was told %d times in three seconds", kinds[api.EventState])
		}
		cancel()
		if err := <-done; err != nil || e.count.Load() != 0 {
			t.Errorf("%v, %d listeners left", err, e.count.Load())
		}
	})
}

// TestFindWorkers: names, versions and labels, and the one that waits least.
func TestFindWorkers(t *testing.T) {
	rec := newRecorder("d", 1, func([]byte) error { return nil }, func(string, []byte) {})
	load := func(name, owner string, version int) *worker {
		w := newWorker(name, &fakeModel{}, rec, func() payload.Clock { return payload.ClockSynced }, quiet)
		info := *w.info.Load()
		info.Version, w.owner = version, owner
		w.info.Store(&info)
		return w
	}
	shared, own, canary, old := load("m", "", 3), load("m", "c", 3), load("m@canary", "", 4), load("m@2", "", 2)
	other, otherToo := load("n", "a", 1), load("n", "b", 1)
	other.desk.waiting.Store(2)
	s := &servables{view: func() snapshot { return snapshot{workers: []*worker{own, shared, canary, old, other, otherToo}} }}
	two := 2
	for _, c := range []struct {
		sel  serving.Selector
		want *worker
	}{
		{serving.Selector{Model: "m"}, shared}, {serving.Selector{Model: "m", Label: "stable"}, shared}, {serving.Selector{Model: "m", Label: "canary"}, canary},
		{serving.Selector{Model: "m", Version: &two}, old}, {serving.Selector{Model: "n"}, otherToo},
		{serving.Selector{Model: "n", Label: "canary"}, nil}, {serving.Selector{Model: "n", Version: &two}, nil}, {serving.Selector{Model: "m@2"}, nil}, {serving.Selector{}, nil},
	} {
		if got := s.find(c.sel); got != c.want {
			t.Errorf("%+v: %v", c.sel, got)
		}
	}
	var got []int
	for _, v := range s.Versions("m") {
		got = append(got, v.Number)
	}
	if !slices.Equal(got, []int{4, 3, 2}) || s.Versions("x") != nil {
		t.Errorf("versions %v", got)
	}
}
