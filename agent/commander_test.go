package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/jpeg"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sensors/pixel"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/payload"
)

// answers are what a commander published, by topic.
type answers struct {
	mu   sync.Mutex
	all  map[string][]byte
	fail error
}

func (a *answers) publish(m mqtt.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.Retained {
		return errors.New("retained")
	}
	if a.fail != nil {
		return a.fail
	}
	a.all[m.Topic] = m.Payload
	return nil
}

// newTestCommander has cameras without anything behind them.
func newTestCommander(t *testing.T, cameras ...string) (*commander, *answers) {
	t.Helper()
	a := &answers{all: map[string][]byte{}}
	var view snapshot
	for _, name := range cameras {
		view.cameras = append(view.cameras, &camera{name: name, log: slog.New(slog.DiscardHandler), sup: &sensors.Supervisor{}})
	}
	return &commander{
		inbox: mqtt.NewInbox(4), topics: payload.Topics{Fleet: "test", Device: "dev"}, log: slog.New(slog.DiscardHandler),
		level: &slog.LevelVar{}, view: func() snapshot { return view }, publish: a.publish,
		diagnose: func() payload.Diagnosis { return payload.Diagnosis{Version: "1.0.0"} }, patience: time.Millisecond,
	}, a
}

// ask carries out one command and returns its reply.
func ask(t *testing.T, c *commander, a *answers, name, body string) payload.Reply {
	t.Helper()
	topic := c.topics.Reply("r")
	delete(a.all, topic)
	c.handle(t.Context(), mqtt.Request{Name: name, Body: []byte(body)})
	var r payload.Reply
	if err := json.Unmarshal(a.all[topic], &r); err != nil {
		t.Fatalf("%s %s: reply %q: %v", name, body, a.all[topic], err)
	}
	if r.ID != "r" || r.Command != name || r.OK != (r.Error == "") || strings.Contains(r.Error, "\n") {
		t.Errorf("%s %s: reply %+v", name, body, r)
	}
	return r
}

func TestCommandsThatFail(t *testing.T) {
	c, a := newTestCommander(t, "front", "back")
	for _, tt := range []struct{ name, body, problem string }{
		{"snapshot", `{"id":"r"}`, "there are 2 cameras: name one"},
		{"snapshot", `{"id":"r","camera":"side"}`, `no camera "side"`},
		{"snapshot", `{"id":"r","camera":"front"}`, `camera "front": no frame came within`},
		{"restart-camera", `{"id":"r","camera":"side"}`, `no camera "side"`},
		{"set", `{"id":"r","camera":"side","max_fps":1,"log_level":"debug"}`, `no camera "side"`},
		{"set", `{"id":"r"}`, "nothing to set"},
		{"dance", `{"id":"r"}`, "no command"},
	} {
		if r := ask(t, c, a, tt.name, tt.body); r.OK || !strings.Contains(r.Error, tt.problem) {
			t.Errorf("%s %s: %+v, want %q", tt.name, tt.body, r, tt.problem)
		}
	}
	if c.level.Level() != slog.LevelInfo {
		t.Error("a command that failed changed something")
	}
	if n := c.telemetry(); n.Failed != 7 || n.Done != 0 {
		t.Errorf("counted %+v", n)
	}
}

func TestSetAndDiagnose(t *testing.T) {
	c, a := newTestCommander(t, "front")
	if c.telemetry() != nil {
		t.Error("there are counters before the first command")
	}
	if r := ask(t, c, a, "set", `{"id":"r","max_fps":4,"log_level":"debug"}`); !r.OK {
		t.Error(r.Error)
	}
	cam := c.view().cameras[0]
	if c.level.Level() != slog.LevelDebug || cam.pace.interval.Load() != int64(250*time.Millisecond) {
		t.Errorf("level %v, interval %d", c.level.Level(), cam.pace.interval.Load())
	}
	cam.configure(cam.cfg) // as a reload does
	if cam.pace.interval.Load() != 0 {
		t.Error("a reload left what a command had set")
	}
	if r := ask(t, c, a, "diagnose", `{"id":"r"}`); !r.OK || r.Result.(map[string]any)["version"] != "1.0.0" {
		t.Errorf("%+v", r)
	}
}

func TestRestartCameraByCommand(t *testing.T) {
	c, a := newTestCommander(t, "front")
	if r := ask(t, c, a, "restart-camera", `{"id":"r"}`); !r.OK {
		t.Error(r.Error)
	}
	if !c.view().cameras[0].sup.Restarted(t.Context()) {
		t.Error("not restarted")
	}
}

// TestButtonsNeedNoReply: an empty payload takes the only camera.
func TestButtonsNeedNoReply(t *testing.T) {
	c, a := newTestCommander(t, "front")
	c.handle(t.Context(), mqtt.Request{Name: "restart-camera"})
	c.handle(t.Context(), mqtt.Request{Name: "dance"})
	if n := c.telemetry(); n.Done != 1 || n.Failed != 1 || len(a.all) != 0 {
		t.Errorf("counted %+v, published %d", n, len(a.all))
	}
}

func TestSnapshotPublishesTheNextFrame(t *testing.T) {
	c, a := newTestCommander(t, "front", "back")
	c.patience = time.Minute
	cam := c.view().cameras[1]
	frame := cameraFrame(t, 0)
	frame.Time = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	offered := make(chan struct{})
	go func() {
		defer close(offered)
		for cam.shutter.wanted.Load() == nil {
			time.Sleep(time.Millisecond)
		}
		cam.emit(&frame)
		clear(frame.Image.Data) // borrowed
	}()
	r := ask(t, c, a, "snapshot", `{"id":"r","camera":"back"}`)
	<-offered
	if !r.OK {
		t.Fatal(r.Error)
	}
	picture := a.all[c.topics.Snapshot("back")]
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(picture))
	if err != nil || cfg.Width != 320 || cfg.Height != 320 {
		t.Errorf("%d bytes: %+v, %v", len(picture), cfg, err)
	}
	result := r.Result.(map[string]any)
	if result["bytes"] != float64(len(picture)) || result["width"] != 320.0 || result["time"] != "2026-11-20T10:00:00Z" {
		t.Errorf("result %v", result)
	}
	if cam.shutter.wanted.Load() != nil {
		t.Error("somebody still waits")
	}
	a.fail = errors.New("the broker is away")
	c.patience = 0
	c.handle(t.Context(), mqtt.Request{Name: "snapshot", Body: []byte(`{"camera":"back"}`)})
	if c.telemetry().Failed != 1 {
		t.Error("a failure was not counted")
	}
}

// TestPhotoOfEveryFormat: raw layouts come out as JPEG, large ones smaller, and
// all within the limit.
func TestPhotoOfEveryFormat(t *testing.T) {
	noise := make([]byte, 1920*1080*3)
	x := uint32(1)
	for i := range noise { // what a JPEG cannot make small
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, tt := range []struct {
		name string
		src  pixel.Image
		w, h int // 0: whatever fits
	}{
		{"jpeg", cameraFrame(t, 1).Image, 320, 320},
		{"yuyv", pixel.Image{Format: pixel.YUYV, Width: 64, Height: 48, Data: make([]byte, 64*48*2)}, 64, 48},
		{"nv12", pixel.Image{Format: pixel.NV12, Width: 64, Height: 48, Data: make([]byte, 64*48*3/2)}, 64, 48},
		{"large", pixel.Image{Format: pixel.Gray8, Width: 1920, Height: 1080, Data: make([]byte, 1920*1080)}, 1280, 720},
		{"noise", pixel.Image{Format: pixel.RGB24, Width: 1920, Height: 1080, Data: noise}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, w, h, err := new(darkroom).photo(tt.src, 100<<10)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := jpeg.DecodeConfig(bytes.NewReader(out))
			if err != nil || cfg.Width != w || cfg.Height != h || tt.w != 0 && (w != tt.w || h != tt.h) || len(out) > 100<<10 {
				t.Errorf("%d bytes, %d×%d said %d×%d: %v", len(out), cfg.Width, cfg.Height, w, h, err)
			}
		})
	}
	for _, data := range []string{"", "no picture", "\xff\xd8\xff\xe0 cut"} {
		if _, _, _, err := new(darkroom).photo(pixel.Image{Format: pixel.JPEG, Data: []byte(data)}, 1<<20); err == nil {
			t.Errorf("%q gave a picture", data)
		}
	}
	if _, _, _, err := new(darkroom).photo(pixel.Image{Format: pixel.RGB24, Width: 1920, Height: 1080, Data: noise}, 100); err == nil {
		t.Error("a picture of 100 bytes")
	}
}

func TestCommanderEndsWithItsContext(t *testing.T) {
	c, _ := newTestCommander(t, "front")
	c.pause = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
