package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/jpeg"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/payload"
)

// patience bounds each wait of the suite.
const patience = 30 * time.Second

// Suite holds a device to what api.Device promises. The camera must give frames
// all the time and be inferred, and the device must have kept predictions.
func Suite(t *testing.T, device api.Device, camera string) {
	s := suite{device, camera}
	for name, run := range map[string]func(*testing.T){
		"state": s.state, "snapshot": s.snapshot, "watch": s.watch, "events": s.events,
		"predictions": s.predictions, "predict": s.predict, "commands": s.commands, "all at once": s.atOnce,
	} {
		t.Run(name, run)
	}
}

type suite struct {
	api.Device
	camera string
}

func (s *suite) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (s *suite) state(t *testing.T) {
	st := s.State()
	if st.Device == "" || st.Fleet == "" || st.Version == "" || st.Boot == 0 || st.Time.IsZero() || st.Clock == "" {
		t.Errorf("the device does not say what it is: %+v", st)
	}
	if st.NotReady == nil || len(st.Cameras) == 0 || len(st.Models) == 0 {
		t.Errorf("not_ready %v, %d cameras, %d models", st.NotReady, len(st.Cameras), len(st.Models))
	}
	sum := st.Delivery.Acknowledged + st.Delivery.Held + st.Delivery.Stored
	for _, n := range st.Delivery.Dropped {
		sum += n
	}
	if sum != st.Delivery.Produced {
		t.Errorf("the account does not add up: %+v", st.Delivery)
	}
	seen := map[string]bool{}
	for _, c := range st.Cameras {
		if !payload.ValidID(c.Name) || seen[c.Name] || strings.Contains(c.Source, "@") {
			t.Errorf("camera %q from %q", c.Name, c.Source)
		}
		seen[c.Name] = true
	}
	for _, m := range st.Models {
		checkModel(t, m)
	}
	if _, err := json.Marshal(st); err != nil {
		t.Error(err)
	}
}

func checkModel(t *testing.T, m api.Model) {
	t.Helper()
	if m.Versions == nil || m.Labels == nil {
		t.Errorf("model %s: versions %v, labels %v", m.Name, m.Versions, m.Labels)
	}
	for i, v := range m.Versions {
		if v.Serving && i > 0 {
			t.Errorf("model %s: what serves is not the first", m.Name)
		}
		for _, in := range v.Interpreters {
			last := uint64(0)
			if len(in.Invokes.Counts) != len(api.InvokeBounds) {
				t.Errorf("%s: %d counts for %d bounds", in.Name, len(in.Invokes.Counts), len(api.InvokeBounds))
			}
			for _, n := range append(in.Invokes.Counts, in.Invokes.Count) {
				if n < last {
					t.Errorf("%s: the histogram is not cumulative: %+v", in.Name, in.Invokes)
				}
				last = n
			}
		}
	}
}

func (s *suite) snapshot(t *testing.T) {
	pic, err := s.Snapshot(s.context(t), s.camera)
	if err != nil {
		t.Fatal(err)
	}
	checkPicture(t, pic)
	if _, err := s.Snapshot(s.context(t), "no-such-camera"); !errors.Is(err, api.ErrNoCamera) {
		t.Errorf("no such camera: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Snapshot(ctx, "no-such-camera"); err == nil {
		t.Error("a picture for nobody from nowhere")
	}
}

func checkPicture(t *testing.T, pic api.Picture) {
	t.Helper()
	c, err := jpeg.DecodeConfig(bytes.NewReader(pic.JPEG))
	if err != nil || c.Width != pic.Width || c.Height != pic.Height || max(c.Width, c.Height) > 1280 || pic.Time.IsZero() {
		t.Errorf("picture of %d×%d at %v is %d×%d: %v", pic.Width, pic.Height, pic.Time, c.Width, c.Height, err)
	}
}

var errEnough = errors.New("enough")

func (s *suite) watch(t *testing.T) {
	var kept, copies [][]byte
	inferred := 0
	err := s.Watch(s.context(t), s.camera, 30, func(pic api.Picture) error {
		checkPicture(t, pic)
		if p := pic.Prediction; p != nil {
			inferred++
			if p.Camera != s.camera {
				t.Errorf("a prediction of camera %s", p.Camera)
			}
		}
		kept, copies = append(kept, pic.JPEG), append(copies, bytes.Clone(pic.JPEG))
		if len(kept) >= 4 && inferred > 0 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %d pictures, %d inferred: %v", len(kept), inferred, err)
	}
	for i := range kept {
		if !bytes.Equal(kept[i], copies[i]) {
			t.Errorf("picture %d changed after it was given", i)
		}
	}
	if err := s.Watch(s.context(t), "no-such-camera", 1, func(api.Picture) error { return nil }); !errors.Is(err, api.ErrNoCamera) {
		t.Errorf("no such camera: %v", err)
	}
	ctx, cancel := context.WithCancel(s.context(t))
	if err := s.Watch(ctx, s.camera, 30, func(api.Picture) error { cancel(); return nil }); err != nil {
		t.Errorf("when nobody watches any longer: %v", err)
	}
}

func (s *suite) events(t *testing.T) {
	states, predictions := 0, 0
	err := s.Events(s.context(t), func(e api.Event) error {
		switch e.Type {
		case api.EventState:
			var st api.State
			if err := json.Unmarshal(e.Data, &st); err != nil || st.Device == "" {
				t.Errorf("state %s: %v", e.Data, err)
			}
			states++
		case api.EventPrediction:
			var p payload.Prediction
			if err := json.Unmarshal(e.Data, &p); err != nil || p.Camera == "" {
				t.Errorf("prediction %s: %v", e.Data, err)
			}
			predictions++
		case api.EventRelease, api.EventLost:
		default:
			t.Errorf("event of type %q", e.Type)
		}
		if bytes.ContainsAny(e.Data, "\r\n") {
			t.Errorf("more than a line: %q", e.Data)
		}
		if states >= 2 && predictions > 0 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("after %d states and %d predictions: %v", states, predictions, err)
	}
	ctx, cancel := context.WithCancel(s.context(t))
	if err := s.Events(ctx, func(api.Event) error { cancel(); return nil }); err != nil {
		t.Errorf("when nobody listens any longer: %v", err)
	}
}

// entry is what the suite reads of a prediction or a summary.
type entry struct {
	payload.Prediction
	Summary bool `json:"summary"`
}

// UnmarshalJSON reads both parts.
func (e *entry) UnmarshalJSON(data []byte) error {
	var s struct {
		Summary bool `json:"summary"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	e.Summary = s.Summary
	return json.Unmarshal(data, &e.Prediction)
}

func (s *suite) page(t *testing.T, q api.Query) ([]entry, string) {
	t.Helper()
	page, err := s.Predictions(s.context(t), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	all := make([]entry, len(page.Predictions))
	for i, data := range page.Predictions {
		if err := json.Unmarshal(data, &all[i]); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	}
	return all, page.Next
}

func (s *suite) predictions(t *testing.T) {
	seen := map[string]bool{}
	q := api.Query{Camera: s.camera, Limit: 7}
	var first *entry
	for range 5 {
		all, next := s.page(t, q)
		if len(all) > q.Limit {
			t.Errorf("%d of at most %d", len(all), q.Limit)
		}
		for i := range all {
			e := &all[i]
			if e.Camera != s.camera || e.ID != "" && seen[e.ID] {
				t.Errorf("%s of camera %s a second time, or of another camera", e.ID, e.Camera)
			}
			seen[e.ID] = true
			if first == nil && !e.Summary {
				first = e
			}
			if i > 0 && !e.Summary && !all[i-1].Summary && e.Boot == all[i-1].Boot && e.Seq > 0 && e.Seq > all[i-1].Seq && all[i-1].Seq > 0 {
				t.Errorf("%s comes after %s", e.ID, all[i-1].ID)
			}
		}
		if q.Before = next; next == "" {
			break
		}
	}
	if first == nil {
		t.Fatal("no predictions: the device must have kept some")
	}
	s.filters(t, first)
	if _, err := s.Predictions(s.context(t), api.Query{Before: "no page's next"}); !errors.Is(err, api.ErrNoPage) {
		t.Errorf("a page that is none: %v", err)
	}
}

// filters asks for what there is, and for what there cannot be.
func (s *suite) filters(t *testing.T, have *entry) {
	t.Helper()
	if len(have.Results) > 0 {
		label := have.Results[0].Label
		if all, _ := s.page(t, api.Query{Label: strings.ToUpper(label), Limit: 500}); len(all) == 0 {
			t.Errorf("none with the label %q in other letters", label)
		}
	}
	for _, q := range []api.Query{
		{Camera: "no-such-camera"}, {Label: "no such label"}, {To: time.Unix(1, 0)}, {From: time.Now().AddDate(50, 0, 0)}, {MinScore: 1.01},
	} {
		if all, next := s.page(t, q); len(all) > 0 || next != "" {
			t.Errorf("%+v: %d, next %q", q, len(all), next)
		}
	}
}

func (s *suite) commands(t *testing.T) {
	for _, c := range []struct {
		name, body string
		ok         bool
	}{
		{payload.Diagnose, `{"id":"a1"}`, true},
		{payload.Diagnose, `{"id":"a1","camra":"x"}`, false},
		{payload.RestartCamera, `{"id":"a1","camera":"no-such-camera"}`, false},
		{"no-such-command", `{"id":"a1"}`, false},
	} {
		reply, err := s.Command(s.context(t), c.name, []byte(c.body))
		if err != nil || reply.OK != c.ok || reply.ID != "a1" || reply.Command != c.name || (reply.Error == "") != c.ok {
			t.Errorf("%s %s: %+v %v", c.name, c.body, reply, err)
		}
	}
}

// atOnce calls everything from several goroutines; the race detector looks on.
func (s *suite) atOnce(t *testing.T) {
	ctx := s.context(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { s.State() })
		all.Go(func() {
			if _, err := s.Snapshot(ctx, s.camera); err != nil {
				t.Errorf("snapshot: %v", err)
			}
		})
		all.Go(func() {
			if err := s.Watch(ctx, s.camera, 30, func(api.Picture) error { return errEnough }); !errors.Is(err, errEnough) {
				t.Errorf("watch: %v", err)
			}
		})
		all.Go(func() {
			if err := s.Events(ctx, func(api.Event) error { return errEnough }); !errors.Is(err, errEnough) {
				t.Errorf("events: %v", err)
			}
		})
		all.Go(func() {
			if _, err := s.Predictions(ctx, api.Query{}); err != nil {
				t.Errorf("predictions: %v", err)
			}
		})
		all.Go(func() {
			if _, err := s.Command(ctx, payload.Diagnose, nil); err != nil && !errors.Is(err, api.ErrBusy) {
				t.Errorf("command: %v", err)
			}
		})
	}
	all.Wait()
}

func (s *suite) predict(t *testing.T) {
	pic, err := s.Snapshot(s.context(t), s.camera)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.State().Models {
		p, err := s.Predict(s.context(t), m.Name, pic.JPEG)
		if err != nil {
			t.Errorf("model %s: %v", m.Name, err)
			continue
		}
		if p.ID != "" || p.Seq != 0 || p.Camera != "" || string(p.Task) != m.Task || p.Results == nil || p.Device != s.State().Device || p.Time.IsZero() {
			t.Errorf("model %s: %+v", m.Name, p)
		}
		for _, r := range p.Results {
			if r.Label == "" || (r.Box != nil) != (p.Task == payload.Detect) {
				t.Errorf("model %s: result %+v", m.Name, r)
			}
		}
		var unreadable *pixel.Error
		if _, err := s.Predict(s.context(t), m.Name, []byte("no picture")); !errors.As(err, &unreadable) {
			t.Errorf("model %s: error %v for what is no picture", m.Name, err)
		}
	}
	if _, err := s.Predict(s.context(t), "no-such-model", pic.JPEG); !errors.Is(err, api.ErrNoModel) {
		t.Errorf("error %v, want ErrNoModel", err)
	}
}
