package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/agent/api"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/payload"
)

const (
	// maxCommands is how many wait; more are refused.
	maxCommands = 16
	// commandPause is the shortest time from the end of one command to the next:
	// a flood of them must not take the processor from the models.
	commandPause = 100 * time.Millisecond
	// photoPatience is how long a snapshot waits for a frame.
	photoPatience = 10 * time.Second
)

// commander carries out commands, one at a time. What they change lasts until
// the next reload or restart. Its counters may be read from any goroutine.
type commander struct {
	inbox    *mqtt.Inbox
	topics   payload.Topics
	log      *slog.Logger
	level    *slog.LevelVar // nil when it cannot be set
	view     func() snapshot
	publish  func(mqtt.Message) error
	diagnose func() payload.Diagnosis
	patience time.Duration // for a frame
	pause    time.Duration
	local    chan localCommand // from this machine

	done, failed atomic.Uint64
}

// run takes commands until ctx is done.
func (c *commander) run(ctx context.Context) error {
	var warned uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-c.inbox.Requests():
			c.handle(ctx, r)
		case l := <-c.local:
			l.reply <- c.carryOut(ctx, l.name, l.body)
		}
		if n := c.inbox.Refused(); n > warned {
			c.log.Warn("commands refused: too many at once, or too large", "times", n-warned)
			warned = n
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.pause):
		}
	}
}

// localCommand is one that the local interface takes.
type localCommand struct {
	name  string
	body  []byte
	reply chan payload.Reply // capacity 1
}

// maxLocal is how many of these wait: as many as there are people at one box.
const maxLocal = 4

// ask has a command carried out in its turn; any goroutine may call it. ErrBusy
// when too many wait.
func (c *commander) ask(ctx context.Context, name string, body []byte) (payload.Reply, error) {
	l := localCommand{name, body, make(chan payload.Reply, 1)}
	select {
	case c.local <- l:
	default:
		return payload.Reply{}, api.ErrBusy
	}
	select {
	case r := <-l.reply:
		return r, nil
	case <-ctx.Done(): // it is carried out all the same
		return payload.Reply{}, context.Cause(ctx)
	}
}

// handle carries out one command, and answers it when it has an id.
func (c *commander) handle(ctx context.Context, r mqtt.Request) {
	reply := c.carryOut(ctx, r.Name, r.Body)
	if reply.ID == "" {
		return
	}
	body, err := json.Marshal(reply)
	if err == nil {
		err = c.publish(mqtt.Message{Topic: c.topics.Reply(reply.ID), Payload: body})
	}
	if err != nil {
		c.log.Warn("command not answered", "command", reply.Command, "id", reply.ID, "error", err)
	}
}

// carryOut does what a command says, and counts it.
func (c *commander) carryOut(ctx context.Context, name string, body []byte) payload.Reply {
	cmd, err := payload.ParseCommand(name, body)
	var result any
	if err == nil {
		result, err = c.do(ctx, cmd)
	}
	reply := payload.Reply{ID: cmd.ID, Command: cmd.Name, OK: err == nil, Result: result}
	if err != nil {
		c.failed.Add(1)
		reply.Error, reply.Result = oneLine(err.Error()), nil
		c.log.Warn("command failed", "command", cmd.Name, "camera", cmd.Camera, "id", cmd.ID, "error", reply.Error)
		return reply
	}
	c.done.Add(1)
	c.log.Info("command", "command", cmd.Name, "camera", cmd.Camera, "id", cmd.ID)
	return reply
}

// oneLine is text without line breaks.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (c *commander) do(ctx context.Context, cmd payload.Command) (any, error) {
	switch cmd.Name {
	case payload.Snapshot:
		return c.snapshot(ctx, cmd)
	case payload.RestartCamera:
		cam, err := c.camera(cmd.Camera)
		if err != nil {
			return nil, err
		}
		cam.sup.Restart()
		return map[string]string{"camera": cam.name}, nil
	case payload.Set:
		return c.set(cmd)
	default: // ParseCommand knows no other
		return c.diagnose(), nil
	}
}

// camera finds a camera by name; without a name, the only one.
func (c *commander) camera(name string) (*camera, error) {
	cameras := c.view().cameras
	if name == "" {
		if len(cameras) == 1 {
			return cameras[0], nil
		}
		return nil, fmt.Errorf("there are %d cameras: name one", len(cameras))
	}
	for _, cam := range cameras {
		if cam.name == name {
			return cam, nil
		}
	}
	return nil, fmt.Errorf("there is no camera %q", name)
}

// snapshot publishes the camera's next frame.
func (c *commander) snapshot(ctx context.Context, cmd payload.Command) (any, error) {
	cam, err := c.camera(cmd.Camera)
	if err != nil {
		return nil, err
	}
	f, err := cam.shutter.take(ctx, c.patience)
	if err != nil {
		return nil, fmt.Errorf("camera %q: %w", cam.name, err)
	}
	var room darkroom
	defer room.close()
	picture, w, h, err := room.photo(f.Image, mqtt.MaxMessage)
	if err != nil {
		return nil, fmt.Errorf("camera %q: %w", cam.name, err)
	}
	m := mqtt.Message{Topic: c.topics.Snapshot(cam.name), Payload: picture}
	if err := c.publish(m); err != nil {
		return nil, fmt.Errorf("publish snapshot: %w", err)
	}
	return payload.SnapshotResult{Camera: cam.name, Topic: m.Topic, Bytes: len(picture), Width: w, Height: h, Time: stamp(f.Time)}, nil
}

func (c *commander) set(cmd payload.Command) (any, error) {
	result := map[string]any{}
	var cam *camera
	if cmd.MaxFPS != nil {
		var err error
		if cam, err = c.camera(cmd.Camera); err != nil {
			return nil, err
		}
	}
	if cmd.LogLevel != "" {
		if c.level == nil {
			return nil, errors.New("this agent's log level cannot be set")
		}
		if err := c.level.UnmarshalText([]byte(cmd.LogLevel)); err != nil {
			return nil, err
		}
		result["log_level"] = cmd.LogLevel
	}
	if cam != nil {
		cam.pace.limit(*cmd.MaxFPS)
		result["camera"], result["max_fps"] = cam.name, *cmd.MaxFPS
	}
	return result, nil
}

// telemetry is nil before the first command.
func (c *commander) telemetry() *payload.CommandTelemetry {
	t := payload.CommandTelemetry{
		Done: c.done.Load(), Failed: c.failed.Load(),
		Refused: c.inbox.Refused(), Retained: c.inbox.Retained(),
	}
	if t == (payload.CommandTelemetry{}) {
		return nil
	}
	return &t
}

// newCommander makes the commander; it takes no command until a client fills
// its inbox.
func (a *Agent) newCommander() *commander {
	return &commander{
		inbox: mqtt.NewInbox(maxCommands), topics: payload.Topics{Fleet: a.cfg.Fleet, Device: a.cfg.Device},
		log: a.log, level: a.opts.Level, view: a.view, publish: a.publish, diagnose: a.diagnosis,
		patience: photoPatience, pause: commandPause, local: make(chan localCommand, maxLocal),
	}
}

// publish sends a message by the client as it is now; any goroutine may call it.
func (a *Agent) publish(m mqtt.Message) error {
	c := a.client.Load()
	if c == nil {
		return errors.New("MQTT is off")
	}
	return c.Publish(m)
}

// diagnosis is what the agent says about itself; any goroutine may ask.
func (a *Agent) diagnosis() payload.Diagnosis {
	d := payload.Diagnosis{
		Version: a.opts.Version, Go: runtime.Version(), Goroutines: runtime.NumGoroutine(), Config: a.opts.ConfigPath,
		Account: a.account(), Cameras: map[string]payload.CameraTelemetry{}, Models: map[string]payload.ModelInfo{},
		Uptime: time.Since(a.started).Seconds(), Clock: a.clock.state(), Commands: a.commander.telemetry(),
	}
	v := a.view()
	for _, c := range v.cameras {
		d.Cameras[c.name] = c.telemetry()
	}
	for _, w := range v.workers {
		info := w.info.Load()
		d.Models[w.label()] = payload.ModelInfo{
			Model:    payload.Model{Name: info.Name, Version: info.Version, Digest: info.Digest},
			Delegate: info.Delegate, Converted: info.Converted, Threads: info.Threads, InvokeUsMean: float64(w.invokes.mean().Nanoseconds()) / 1e3,
		}
	}
	if a.opts.Level != nil {
		d.LogLevel = strings.ToLower(a.opts.Level.Level().String())
	}
	if c := a.client.Load(); c != nil {
		s := c.State()
		d.Broker = payload.BrokerState{Since: s.Since.UTC(), Attempts: s.Attempts, LastError: s.LastError}
	}
	return d
}
