// Package apitest holds what tests of api.Device and of its callers share: a
// device of functions, and the suite that every device passes. It is for tests
// alone.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
)

// Fake is a device of functions. One that is nil does what Plain's does.
type Fake struct {
	StateFunc       func() api.State
	SnapshotFunc    func(ctx context.Context, camera string) (api.Picture, error)
	WatchFunc       func(ctx context.Context, camera string, fps float64, each func(api.Picture) error) error
	EventsFunc      func(ctx context.Context, each func(api.Event) error) error
	PredictionsFunc func(ctx context.Context, q api.Query) (api.Page, error)
	PredictFunc     func(ctx context.Context, model string, picture []byte) (*payload.Prediction, error)
	CommandFunc     func(ctx context.Context, name string, body []byte) (payload.Reply, error)
}

// State is api.Device's.
func (f *Fake) State() api.State {
	if f.StateFunc != nil {
		return f.StateFunc()
	}
	return State()
}

// Snapshot is api.Device's.
func (f *Fake) Snapshot(ctx context.Context, camera string) (api.Picture, error) {
	if f.SnapshotFunc != nil {
		return f.SnapshotFunc(ctx, camera)
	}
	if !known(camera) {
		return api.Picture{}, fmt.Errorf("snapshot of %q: %w", camera, api.ErrNoCamera)
	}
	return Picture(camera), ctx.Err()
}

// Watch is api.Device's.
func (f *Fake) Watch(ctx context.Context, camera string, fps float64, each func(api.Picture) error) error {
	if f.WatchFunc != nil {
		return f.WatchFunc(ctx, camera, fps, each)
	}
	if !known(camera) {
		return fmt.Errorf("watch %q: %w", camera, api.ErrNoCamera)
	}
	return every(ctx, time.Duration(float64(time.Second)/fps), func() error { return each(Picture(camera)) })
}

// Events is api.Device's.
func (f *Fake) Events(ctx context.Context, each func(api.Event) error) error {
	if f.EventsFunc != nil {
		return f.EventsFunc(ctx, each)
	}
	return every(ctx, 100*time.Millisecond, func() error {
		for _, c := range State().Cameras {
			data, err := json.Marshal(c.Latest)
			if err != nil {
				return err
			}
			if err := each(api.Event{Type: api.EventPrediction, Data: data}); err != nil {
				return err
			}
		}
		data, err := json.Marshal(f.State())
		if err != nil {
			return err
		}
		return each(api.Event{Type: api.EventState, Data: data})
	})
}

// Predictions is api.Device's.
func (f *Fake) Predictions(ctx context.Context, q api.Query) (api.Page, error) {
	if f.PredictionsFunc != nil {
		return f.PredictionsFunc(ctx, q)
	}
	below := uint64(predictions + 1)
	if q.Before != "" {
		if _, err := fmt.Sscanf(q.Before, "seq-%d", &below); err != nil {
			return api.Page{}, fmt.Errorf("predictions before %q: %w", q.Before, api.ErrNoPage)
		}
	}
	page, limit := api.Page{}, q.Limit
	if limit == 0 {
		limit = 50
	}
	for seq := below - 1; seq > 0; seq-- {
		p := Prediction(names[seq%uint64(len(names))], seq)
		if !selects(q, p) {
			continue
		}
		if len(page.Predictions) == limit {
			page.Next = fmt.Sprintf("seq-%d", seq+1)
			break
		}
		data, err := json.Marshal(p)
		if err != nil {
			return page, err
		}
		page.Predictions = append(page.Predictions, data)
	}
	return page, ctx.Err()
}

func selects(q api.Query, p *payload.Prediction) bool {
	return (q.Camera == "" || q.Camera == p.Camera) &&
		(q.From.IsZero() || !p.Time.Before(q.From)) && (q.To.IsZero() || !p.Time.After(q.To)) &&
		(q.Label == "" && q.MinScore == 0 || slices.ContainsFunc(p.Results, func(r payload.Result) bool {
			return (q.Label == "" || strings.EqualFold(q.Label, r.Label)) && float64(r.Score) >= q.MinScore
		}))
}

// Predict is api.Device's.
func (f *Fake) Predict(ctx context.Context, model string, picture []byte) (*payload.Prediction, error) {
	if f.PredictFunc != nil {
		return f.PredictFunc(ctx, model, picture)
	}
	cameras := map[string]string{"classifier": "bird", "detector": "street"}
	if cameras[model] == "" {
		return nil, fmt.Errorf("ask %q: %w", model, api.ErrNoModel)
	}
	if pixel.Sniff(picture) == pixel.Unknown {
		return nil, &pixel.Error{Kind: pixel.ErrFormat, Detail: "want JPEG, PNG, BMP or WebP"}
	}
	p := Prediction(cameras[model], 0)
	p.ID, p.Camera = "", ""
	return p, ctx.Err()
}

// Command is api.Device's.
func (f *Fake) Command(ctx context.Context, name string, body []byte) (payload.Reply, error) {
	if f.CommandFunc != nil {
		return f.CommandFunc(ctx, name, body)
	}
	cmd, err := payload.ParseCommand(name, body)
	if err == nil && cmd.Camera != "" && !known(cmd.Camera) {
		err = fmt.Errorf("there is no camera %q", cmd.Camera)
	}
	if err != nil {
		return payload.Reply{ID: cmd.ID, Command: name, Error: err.Error()}, nil
	}
	return payload.Reply{ID: cmd.ID, Command: name, OK: true, Result: map[string]any{"camera": cmd.Camera}}, ctx.Err()
}

// every calls do at once and after each pause, until ctx is done or it fails.
func every(ctx context.Context, pause time.Duration, do func() error) error {
	tick := time.NewTicker(max(pause, time.Millisecond))
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// names are the fake's cameras; predictions is how many it remembers.
var names = []string{"bird", "street"}

const predictions = 120

func known(camera string) bool { return slices.Contains(names, camera) }

// moment is when everything of the fake happened.
var moment = time.Date(2026, 11, 20, 10, 0, 0, 123e6, time.UTC)

// Prediction is the fake's prediction of that number.
func Prediction(camera string, seq uint64) *payload.Prediction {
	p := &payload.Prediction{
		ID: payload.NewID("cam-7", 42, seq), Device: "cam-7", Boot: 42, Seq: seq, Camera: camera,
		Time: moment.Add(time.Duration(seq) * time.Second), Clock: payload.ClockSynced,
		Model:    payload.Model{Name: "classifier", Version: 3, Digest: "sha256:" + strings.Repeat("ab", 32)},
		Delegate: "xnnpack", Task: payload.Classify,
		Results: []payload.Result{{Index: 84, Label: "peacock", Score: 0.83}, {Index: 9, Label: "Bülbül 🐦", Score: 0.1}},
		Latency: payload.Latency{Wait: 90, Decode: 900, Invoke: 7200, Total: 8300},
	}
	if camera == "street" {
		p.Model.Name, p.Task = "detector", payload.Detect
		p.Results = []payload.Result{{Index: 0, Label: "person", Score: 0.75, Box: &[4]float32{0.1, 0.25, 0.5, 1}}}
	}
	return p
}

// Picture is a small picture of the fake's camera, with its prediction.
func Picture(camera string) api.Picture {
	img := image.NewYCbCr(image.Rect(0, 0, 160, 120), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = color.Gray{Y: uint8(i % 160)}.Y
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, nil); err != nil {
		panic(err) // of a picture that is always the same
	}
	return api.Picture{JPEG: out.Bytes(), Width: 160, Height: 120, Time: moment, Prediction: Prediction(camera, 120)}
}
