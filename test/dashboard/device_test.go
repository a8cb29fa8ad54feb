package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sync/payload"
)

// device is an agent of our own making, whose values move and which can be
// brought into states that a real one reaches seldom.
type device struct {
	began time.Time

	mu        sync.Mutex        // guards all below
	change    func(*api.State)  // nil: a device in good health
	history   []json.RawMessage // newest last
	watchers  int               // open live pictures
	listeners int               // open event streams
	quiet     bool              // nothing is predicted
	boot      uint64            // of the next prediction
	seq       uint64            // of the last prediction
}

func newDevice() *device { return &device{began: time.Now(), boot: 7} }

// set makes each further state go through change.
func (d *device) set(change func(*api.State)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.change = change
}

// restart is another start of the agent, whose counters begin anew.
func (d *device) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boot++
	d.seq = 0
}

// watched waits until as many look at live pictures.
func (d *device) watched(t *testing.T, want int) { d.wait(t, "live pictures", &d.watchers, want) }

// listened waits until as many follow the events.
func (d *device) listened(t *testing.T, want int) { d.wait(t, "event streams", &d.listeners, want) }

func (d *device) wait(t *testing.T, what string, counter *int, want int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		d.mu.Lock()
		got := *counter
		d.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s, want %d", got, what, want)
		}
	}
}

func (d *device) State() api.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.healthy(time.Since(d.began).Seconds() + 3600)
	if d.change != nil {
		d.change(&s)
	}
	return s
}

const digest = "sha256:7a2f31c0d7a2f31c0d7a2f31c0d7a2f31c0d7a2f31c0d7a2f31c0d7a2f31c0dff"

func (d *device) healthy(up float64) api.State {
	n := uint64(up * 5)
	agreement, slowdown := 0.972, 1.04
	temperature, load, throttled := 61.4+2*math.Sin(up/9), 1.37, false
	total, available, disk, rss := uint64(3_976_000_000), uint64(2_310_000_000), uint64(18_400_000_000), uint64(96_300_000)
	camera := func(name, source, model string, fps float64) api.Camera {
		return api.Camera{Name: name, Source: source, Model: model, Watchers: d.watchers, CameraTelemetry: payload.CameraTelemetry{
			State: "running", Captured: uint64(up * fps * 2), Predicted: uint64(up * fps), Dropped: uint64(up / 3), FPS: fps + 0.2*math.Sin(up),
			Skipped: map[string]uint64{"motion": uint64(up * fps * 0.9), "max_fps": 12},
		}}
	}
	loaded := func(name, task, delegate string, us float64, labels map[string]int) api.Model {
		return api.Model{Name: name, Task: task, Labels: labels, Versions: []api.Version{{
			Version: labels["stable"], Digest: digest, Serving: true, Interpreters: []api.Interpreter{{
				Name: name, Delegate: delegate, Threads: 2, Duty: 1, Answered: n, InvokeUsP50: us + 300*math.Sin(up/5), InvokeUsP95: us*1.3 + 500*math.Sin(up/3),
			}},
		}}}
	}
	return api.State{
		Device: "cam-7", Fleet: "harbour", Version: "0.6.0", Boot: d.boot, Time: time.Now(), Clock: payload.ClockSynced, Uptime: up,
		Broker:   api.Broker{Enabled: true, Connected: true, Address: "tls://broker.example.com:8883", Since: d.began.Add(-time.Hour), Attempts: 1},
		Cameras:  []api.Camera{camera("yard", "v4l2:/dev/video0", "detector", 5), camera("feeder", "http://127.0.0.1:8081/stream", "classifier", 2)},
		Models:   []api.Model{loaded("detector", "detect", "xnnpack", 21400, map[string]int{"stable": 2}), loaded("classifier", "classify", "cpu", 7300, map[string]int{"stable": 3, "canary": 3})},
		Delivery: payload.Account{Produced: n + 1540, Acknowledged: n + 1480, Held: 8, Stored: 40, Dropped: map[string]uint64{"outbox_full": 12}, StoredBytes: 4096},
		Flash:    payload.FlashTelemetry{Written: 812_000},
		Host:     payload.HostTelemetry{TemperatureC: &temperature, Throttled: &throttled, MemAvailable: &available, MemTotal: &total, DiskFree: &disk, RSS: &rss, Load1: &load},
		Update: &payload.Reported{Device: "cam-7", Cohort: "default", State: payload.Shadow, Since: d.began, Release: "birds-4", Gen: 3,
			Model: &payload.Model{Name: "classifier", Version: 4, Digest: digest}, Progress: &payload.Progress{Done: int64(n % 500), Of: 500},
			Proof: &payload.Proof{Golden: 3, Frames: int(n % 500), Agreement: &agreement, Slowdown: &slowdown}},
		Requests: api.Requests{Answered: 42, Refused: 1},
	}
}

func (d *device) Snapshot(_ context.Context, camera string) (api.Picture, error) {
	if !slices.Contains([]string{"yard", "feeder"}, camera) {
		return api.Picture{}, api.ErrNoCamera
	}
	return d.picture(camera, 0), nil
}

func (d *device) Watch(ctx context.Context, camera string, fps float64, each func(api.Picture) error) error {
	d.count(&d.watchers, 1)
	defer d.count(&d.watchers, -1)
	tick := time.NewTicker(time.Duration(float64(time.Second) / fps))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := each(d.picture(camera, n)); err != nil {
			return err
		}
	}
}

func (d *device) count(counter *int, by int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*counter += by
}

func (d *device) Events(ctx context.Context, each func(api.Event) error) error {
	d.count(&d.listeners, 1)
	defer d.count(&d.listeners, -1)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		var events []api.Event
		if camera := []string{"yard", "feeder"}[n%2]; !d.quiet {
			events = append(events, api.Event{Type: api.EventPrediction, Data: d.remember(d.picture(camera, n).Prediction)})
		}
		if n%4 == 0 {
			events = append(events, api.Event{Type: api.EventState, Data: marshal(d.State())})
		}
		for _, e := range events {
			if err := each(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *device) remember(p *payload.Prediction) json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	p.Boot, p.Seq, p.ID = d.boot, d.seq, payload.NewID(p.Device, d.boot, d.seq)
	raw := marshal(p)
	d.history = append(d.history, raw)
	return raw
}

func (d *device) Predictions(_ context.Context, q api.Query) (api.Page, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	page := api.Page{Predictions: []json.RawMessage{}}
	end := len(d.history)
	if q.Before != "" {
		fmt.Sscan(q.Before, &end)
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	for i := min(end, len(d.history)) - 1; i >= 0; i-- {
		if len(page.Predictions) == limit {
			page.Next = fmt.Sprint(i + 1)
			break
		}
		var p payload.Prediction
		if json.Unmarshal(d.history[i], &p) == nil && matches(p, q) {
			page.Predictions = append(page.Predictions, d.history[i])
		}
	}
	return page, nil
}

func matches(p payload.Prediction, q api.Query) bool {
	if q.Camera != "" && p.Camera != q.Camera {
		return false
	}
	return q.Label == "" && q.MinScore == 0 || slices.ContainsFunc(p.Results, func(r payload.Result) bool {
		return (q.Label == "" || strings.EqualFold(r.Label, q.Label)) && float64(r.Score) >= q.MinScore
	})
}

func (d *device) Command(context.Context, string, []byte) (payload.Reply, error) {
	return payload.Reply{}, api.ErrBusy
}

// picture is a yard with a box that walks through it, or a feeder with a bird.
func (d *device) picture(camera string, n int) api.Picture {
	const w, h = 640, 360
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		c := color.RGBA{uint8(60 + y/6), uint8(86 + y/5), uint8(96 + y/8), 255}
		draw.Draw(img, image.Rect(0, y, w, y+1), image.NewUniform(c), image.Point{}, draw.Src)
	}
	x := 40 + (n*7)%460
	draw.Draw(img, image.Rect(x, 120, x+90, 330), image.NewUniform(color.RGBA{228, 231, 222, 255}), image.Point{}, draw.Src)
	var buf bytes.Buffer
	_ = jpeg.Encode(&buf, img, nil)
	p := &payload.Prediction{Device: "cam-7", Camera: camera, Time: time.Now(), Clock: payload.ClockSynced, Task: payload.Detect, Delegate: "xnnpack",
		Model:   payload.Model{Name: "detector", Version: 2, Digest: digest},
		Results: []payload.Result{{Index: 0, Label: "person", Score: 0.78 + 0.1*float32(math.Sin(float64(n)/7)), Box: &[4]float32{float32(x) / w, 120.0 / h, float32(x+90) / w, 330.0 / h}}},
		Latency: payload.Latency{Wait: 210, Decode: 1900, Invoke: 21000 + int64(2500*math.Sin(float64(n)/3)), Total: 23500 + int64(3000*math.Sin(float64(n)/3))}}
	if camera == "feeder" {
		p.Task, p.Delegate, p.Model = payload.Classify, "cpu", payload.Model{Name: "classifier", Version: 3, Digest: digest}
		p.Results = []payload.Result{{Index: 85, Label: "great white egret", Score: 0.82 + 0.1*float32(math.Sin(float64(n)/7))}, {Index: 86, Label: "little blue heron", Score: 0.09}, {Index: 9, Label: "<b>crane</b> & \"co\"", Score: 0.03}}
	}
	if n%8 == 7 {
		p.Results = []payload.Result{}
	}
	return api.Picture{JPEG: buf.Bytes(), Width: w, Height: h, Time: p.Time, Prediction: p}
}

func marshal(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}
