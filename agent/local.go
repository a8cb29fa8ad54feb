package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// local is the agent as its local interface sees it. It implements api.Device.
type local struct{ a *Agent }

// camera finds a camera by its name.
func (l local) camera(name string) (*camera, error) {
	for _, c := range l.a.view().cameras {
		if c.name == name {
			return c, nil
		}
	}
	return nil, api.ErrNoCamera
}

// Snapshot implements api.Device.
func (l local) Snapshot(ctx context.Context, camera string) (picture api.Picture, err error) {
	c, err := l.camera(camera)
	if err != nil {
		return picture, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, photoPatience, fmt.Errorf("no frame came within %v", photoPatience))
	defer cancel()
	err = c.live.watch(ctx, 0, func(p api.Picture) error {
		picture = p
		return errEnough
	})
	switch {
	case errors.Is(err, errEnough):
		return picture, nil
	case ctx.Err() != nil:
		return picture, context.Cause(ctx)
	}
	return picture, api.ErrNoCamera // it went away
}

var errEnough = errors.New("one picture is enough")

// Watch implements api.Device.
func (l local) Watch(ctx context.Context, camera string, fps float64, each func(api.Picture) error) error {
	c, err := l.camera(camera)
	if err != nil {
		return err
	}
	interval := time.Duration(0)
	if fps > 0 {
		interval = time.Duration(float64(time.Second) / fps)
	}
	return c.live.watch(ctx, interval, each)
}

// Events implements api.Device.
func (l local) Events(ctx context.Context, each func(api.Event) error) error {
	return l.a.events.follow(ctx, l.State, each)
}

// Predictions implements api.Device. Pages are read one at a time: a query that
// few match reads thousands, and the models need the other cores.
func (l local) Predictions(ctx context.Context, q api.Query) (api.Page, error) {
	select {
	case l.a.pages <- struct{}{}:
		defer func() { <-l.a.pages }()
	case <-ctx.Done():
		return api.Page{}, context.Cause(ctx)
	}
	return page(q, &l.a.recent, l.a.box.Browse)
}

// Predict implements api.Device.
func (l local) Predict(ctx context.Context, model string, picture []byte) (*payload.Prediction, error) {
	p, err := l.predict(ctx, model, picture)
	if errors.Is(err, serving.ErrGone) { // replaced by one with other tensors
		p, err = l.predict(ctx, model, picture)
	}
	return p, err
}

func (l local) predict(ctx context.Context, model string, picture []byte) (*payload.Prediction, error) {
	m, err := l.a.servables.Find(serving.Selector{Model: model})
	if err != nil {
		return nil, api.ErrNoModel
	}
	begun, target := time.Now(), m.Target()
	tensor := make([]byte, target.Bytes())
	view, err := l.a.decoder.DecodePicture(ctx, tensor, &target, picture)
	if err != nil {
		return nil, err
	}
	decoded := time.Now()
	answers := make([]serving.Answer, 1)
	if err := m.Predict(ctx, [][]byte{tensor}, answers); err != nil {
		return nil, err
	}
	a := &answers[0]
	out := tflite.Output{Results: a.Results}
	out.Frame(view)
	p := NewPrediction(m.Info(), out.Results)
	p.Device, p.Boot = l.a.config.Load().Device, l.a.box.Boot()
	date(&p, l.a.clock.state(), begun, time.Now())
	p.Latency = payload.Latency{
		Wait: a.Waited.Microseconds(), Decode: decoded.Sub(begun).Microseconds(),
		Invoke: a.Invoke.Microseconds(), Total: time.Since(begun).Microseconds(),
	}
	return &p, nil
}

// Command implements api.Device.
func (l local) Command(ctx context.Context, name string, body []byte) (payload.Reply, error) {
	return l.a.commander.ask(ctx, name, body)
}

// State implements api.Device.
func (l local) State() api.State {
	a, now := l.a, time.Now()
	cfg, view, stats := a.config.Load(), a.view(), a.box.Stats()
	s := api.State{
		Device: cfg.Device, Fleet: cfg.Fleet, Version: a.opts.Version, Boot: a.box.Boot(),
		Time: stamp(now), Clock: a.clock.state(), Uptime: now.Sub(a.started).Seconds(),
		NotReady: []string{},
		Broker:   a.brokerState(), Cameras: []api.Camera{}, Models: models(view, cfg.Models),
		Delivery: Account(stats), Flash: a.flash(), Host: a.host(cfg.StateDir),
		Commands: a.commander.telemetry(), Requests: a.servables.counts.get(),
	}
	for _, c := range view.cameras {
		s.Cameras = append(s.Cameras, c.state(now))
	}
	if r := a.reported.Load(); r != nil {
		if report, err := payload.ParseReported(*r); err == nil { // we wrote it
			s.Update = &report
		}
	}
	s.NotReady = append(s.NotReady, notReady(view, s, stats)...)
	return s
}

// notReady are the reasons why the device does not do what it is there for.
func notReady(view snapshot, s api.State, stats outbox.Stats) (reasons []string) {
	if len(view.workers) == 0 {
		return []string{"no model is loaded yet"}
	}
	if err := view.stuck(time.Now(), stuckPatience); err != nil {
		reasons = append(reasons, err.Error())
	}
	for _, c := range s.Cameras {
		if c.State != "running" {
			reasons = append(reasons, oneLine(fmt.Sprintf("camera %s is %s: %s", c.Name, c.State, orNothing(c.LastError))))
		}
	}
	if s.Broker.Enabled && !s.Broker.Connected {
		reasons = append(reasons, oneLine("the broker is not connected: "+orNothing(s.Broker.LastError)))
	}
	if stats.LastError != "" {
		reasons = append(reasons, oneLine("the outbox cannot write: "+stats.LastError))
	}
	return reasons
}

// stuckPatience is far more than a model takes for a frame.
const stuckPatience = 30 * time.Second

func orNothing(reason string) string {
	if reason == "" {
		return "no reason was given"
	}
	return reason
}

// brokerState is the connection's; any goroutine may ask.
func (a *Agent) brokerState() api.Broker {
	cfg := a.config.Load()
	b := api.Broker{Enabled: cfg.MQTT.Enabled}
	c := a.client.Load()
	if !b.Enabled || c == nil {
		return b
	}
	s := c.State()
	b.Address, b.Connected, b.Since, b.Attempts, b.LastError = BrokerURL(*cfg), s.Connected, s.Since.UTC(), s.Attempts, s.LastError
	return b
}

func (c *camera) state(now time.Time) api.Camera {
	s := api.Camera{
		Name: c.name, Source: c.sup.Source.String(), CameraTelemetry: c.telemetry(),
		Watchers: int(c.live.count.Load()), Latest: c.newest.get(),
	}
	s.FPS = c.rate.perSecond(monotonic(now))
	if w := c.worker.Load(); w != nil {
		s.Model = w.label()
	}
	return s
}
