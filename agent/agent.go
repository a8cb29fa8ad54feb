// Package agent is the daemon: it builds the parts from the configuration,
// wires them to each other, watches over them and ends them in order.
//
// It is the only room that wires packages together and that starts long-lived
// goroutines. How a frame is got, a model run or a message sent is not here.
package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/egret-edge/egret/agent/api/serving"
	"github.com/egret-edge/egret/configs"
	"github.com/egret-edge/egret/sensors"
	"github.com/egret-edge/egret/sync/mqtt"
	"github.com/egret-edge/egret/sync/mqtt/broker"
	"github.com/egret-edge/egret/sync/outbox"
	"github.com/egret-edge/egret/sync/payload"
	"github.com/egret-edge/egret/tflite"
)

// Options are what the daemon is started with.
type Options struct {
	// ConfigPath is the YAML file; it is read again at every reload.
	ConfigPath string
	// Version is the program's own, for the status message.
	Version string
	// Log gets everything; required.
	Log *slog.Logger
	// Level is set from the configuration when it is not nil.
	Level *slog.LevelVar
	// Built is when the program was built: no clock is earlier.
	Built time.Time
	// Tune has the choice of delegate and threads measured anew at the start,
	// whatever is remembered.
	Tune bool
	// Reload asks for the configuration to be read again.
	Reload <-chan os.Signal
	// OnPrediction sees every prediction, kept or not. It is called in order
	// and must return quickly.
	OnPrediction func(*payload.Prediction)
}

// Agent is a running daemon. It is made by Run; its fields belong to Run's
// goroutine but for those that say otherwise.
type Agent struct {
	opts  Options
	log   *slog.Logger // tells the broker too; opts.Log does not
	cfg   configs.Config
	tasks *tasks

	remoteLog *remoteLog

	box      *outbox.Outbox
	broker   *broker.Broker // nil without an embedded one
	pipeline *pipeline
	clock    *clockState
	config   atomic.Pointer[configs.Config] // what cfg is; any goroutine
	hostInfo sensors.Host
	notify   *notifier
	started  time.Time

	client  atomic.Pointer[mqtt.Client] // nil while MQTT is off; any goroutine
	current atomic.Pointer[snapshot]    // what runs; any goroutine

	servables servables
	decoder   *serving.Decoder // of pictures that requests bring
	events    events
	recent    recent
	pages     chan struct{} // capacity 1: held by who reads a page of predictions
	commander *commander
	confirmer *confirmer
	updates   *updates
	documents *mqtt.Documents        // what the client fills
	requests  chan request           // for Run's goroutine
	reported  atomic.Pointer[[]byte] // the last release state; any goroutine

	streak streak
	doubt  bool // while starting: the run before this one ended badly
	stuck  bool // it ends because a model hangs

	brokerTask, outboxTask, clientTask, telemetryTask, governorTask, watchdogTask, streakTask, commandTask *task

	doors     []door // those that doorTasks have open
	doorTasks []*task
}

// decoders is how many pictures that requests bring are decoded at a time: one
// of 50 megapixels takes 200 MB.
const decoders = 1

// Bounds of the parts' ends. With the pipeline's they add up to less than the
// unit's TimeoutStopSec.
const (
	clientBound = 4 * time.Second // drains for at most 2 s, then says goodbye
	outboxBound = 5 * time.Second // the last flush: one fsync on a slow card
	otherBound  = time.Second
)

// Run is the daemon: it returns when ctx is done (nil) or a part fails that
// nothing works without. Before it returns, all parts have ended in order and
// what was not acknowledged is on disk.
func Run(ctx context.Context, opts Options) error {
	a, err := newAgent(opts)
	if err != nil {
		return err
	}
	return a.run(ctx)
}

// newAgent reads the configuration; nothing runs yet.
func newAgent(opts Options) (*Agent, error) {
	if tflite.Version() == "" {
		return nil, tflite.ErrNoInference
	}
	cfg, err := LoadConfig(opts.ConfigPath)
	if err != nil {
		return nil, err
	}
	// From the first message on: what is said before there is a connection waits.
	remote := newRemoteLog()
	remote.configure(cfg.Log.MQTT)
	log := slog.New(tee{local: opts.Log.Handler(), remote: remote})
	a := &Agent{
		opts: opts, log: log, remoteLog: remote, cfg: cfg, tasks: newTasks(log),
		clock: &clockState{}, notify: &notifier{log: log},
		started: time.Now(), requests: make(chan request), decoder: serving.NewDecoder(decoders),
		pages: make(chan struct{}, 1),
	}
	a.servables.view, a.servables.deadline = a.view, a.requestDeadline
	a.setConfig(cfg)
	return a, nil
}

func (a *Agent) run(ctx context.Context) error {
	defer a.shutdown()
	if err := a.start(ctx); err != nil {
		if ctx.Err() != nil { // told to stop while it measured
			return nil
		}
		return err
	}
	return a.loop(ctx)
}

// start brings everything up, upstream last; what it started is ended by
// shutdown, also when it fails half-way.
func (a *Agent) start(ctx context.Context) error {
	if err := a.openOutbox(); err != nil {
		return err
	}
	if a.opts.Tune {
		if err := a.tuner(a.cfg.Inference).Memory.Forget(); err != nil {
			return err
		}
	}
	rec := newRecorder(a.cfg.Device, a.box.Boot(), a.append, a.latest)
	rec.watch = a.opts.OnPrediction
	a.pipeline = &pipeline{tasks: a.tasks, log: a.log, rec: rec, clock: a.clock.state, tuner: a.tuner, events: &a.events}
	var err error
	if a.updates, err = a.openUpdates(a.cfg); err != nil {
		return err
	}
	a.countStart()
	pl, err := a.plan(ctx, a.cfg, a.updates.machine)
	if err != nil {
		return err
	}
	a.doubt = false
	a.commander, a.confirmer = a.newCommander(), &confirmer{Queue: a.box}
	client, err := a.newClient(a.cfg)
	if err == nil && a.cfg.MQTT.Embedded {
		a.broker, err = listen(a.cfg.MQTT.EmbeddedListen, a.opts.Log)
	}
	var doors []door
	if err == nil {
		doors, err = a.openDoors(a.cfg.API)
	}
	if err != nil {
		pl.discard()
		return err
	}
	if a.broker != nil {
		a.brokerTask = a.tasks.start("embedded broker", otherBound, a.broker.Run)
	}
	a.outboxTask = a.tasks.start("outbox", outboxBound, a.box.Run)
	a.startClient(client)
	a.applyPlan(pl)
	a.startTelemetry()
	a.startGovernor()
	a.updates.run(a)
	a.commandTask = a.tasks.start("commands", otherBound, a.commander.run)
	a.startDoors(doors)
	a.streakTask = a.tasks.start("streak of starts", otherBound, a.streak.run)
	a.watchdogTask = a.tasks.start("watchdog", otherBound, newWatchdog(a.notify, a.view, a.log).run)
	a.announce("started")
	a.notify.ready(a.status())
	return nil
}

// countStart finds out whether the agent ended badly again and again, and then
// keeps the models on the CPU.
func (a *Agent) countStart() {
	a.streak = streak{filepath.Join(a.cfg.StateDir, StreakFile)}
	bad, err := a.streak.begin()
	if err != nil {
		a.log.Warn("a loop of crashes would not be noticed", "error", err)
	}
	// One bad end is enough to try a remembered delegate again before it is
	// loaded here: one that hangs would hold up each of the next starts.
	a.doubt = bad > 0
	if bad >= tooMany {
		a.pipeline.cpuOnly = true
		a.log.Error("the agent ended without order soon after its start, again and again: running the models on the CPU until the next restart", "times", bad)
	}
	// On the CPU too, so the model it is. Each further one costs another step.
	if bad >= 2*tooMany {
		a.updates.machine.CrashLoop(bad)
	}
}

// listen binds the embedded broker, so that a port in use is known at start.
func listen(addr string, log *slog.Logger) (*broker.Broker, error) {
	b, err := broker.New(broker.Options{Listen: addr, Logger: log})
	if err != nil {
		return nil, err
	}
	return b, b.Listen()
}

// loop waits for the end, a failure or a reload.
func (a *Agent) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			a.log.Info("stopping")
			return nil
		case err := <-a.tasks.failed:
			if a.stuck = errors.Is(err, errStuck); a.stuck {
				a.updates.machine.Stuck()
			}
			a.remoteLog.lastWord(err)
			return err
		case <-a.opts.Reload:
			a.reload(ctx)
		case r := <-a.requests:
			r.done <- r.do(ctx)
		}
	}
}

// shutdown ends the parts that run, upstream first: capture, inference, the
// publisher (which drains), the outbox (which flushes), the broker.
func (a *Agent) shutdown() {
	a.notify.stopping()
	a.tasks.endAll(append([]*task{a.watchdogTask, a.commandTask, a.telemetryTask, a.governorTask, a.streakTask}, a.doorTasks...))
	if err := a.updates.end(a.tasks); err != nil {
		a.log.Error("end of updates", "error", err)
	}
	if a.pipeline != nil {
		a.pipeline.stop()
	}
	a.tasks.end(a.clientTask)
	a.tasks.end(a.outboxTask)
	if a.box != nil {
		if err := a.box.Close(); err != nil {
			a.log.Error("close outbox", "error", err)
		}
	}
	if a.outboxTask != nil { // it had started
		acc := a.account()
		a.log.Info("stopped", "produced", acc.Produced, "acknowledged", acc.Acknowledged, "stored", acc.Stored, "held", acc.Held, "dropped", sum(acc.Dropped))
	}
	a.tasks.end(a.brokerTask)
	if a.streak.path != "" && !a.stuck {
		if err := a.streak.end(); err != nil {
			a.log.Warn("this end will count as a bad one", "error", err)
		}
	}
}

// tuner chooses what models run on. While it tries, systemd is asked for
// patience.
func (a *Agent) tuner(inf configs.Inference) *Tuner {
	t := NewTuner(inf, a.cfg.StateDir, a.log)
	t.Doubt = a.doubt
	probe := t.Probe
	t.Probe = func(ctx context.Context, req ProbeRequest) ProbeReport {
		a.notify.extend(time.Duration(inf.ProbeTimeout) + 10*time.Second)
		return probe(ctx, req)
	}
	if t.Converter != nil {
		t.Converter.Watch = func() { a.notify.extend(2*time.Duration(inf.ProbeTimeout) + 10*time.Second) }
	}
	return t
}

// applyPlan makes pl what runs and what others see.
func (a *Agent) applyPlan(pl *plan) {
	a.pipeline.apply(pl)
	s := &snapshot{}
	for _, w := range pl.workers {
		s.workers = append(s.workers, w.worker)
	}
	for _, c := range pl.cameras {
		s.cameras = append(s.cameras, c.camera)
	}
	a.current.Store(s)
}

// view is what runs; any goroutine may ask.
func (a *Agent) view() snapshot {
	if s := a.current.Load(); s != nil {
		return *s
	}
	return snapshot{}
}

// latest shows a camera's newest prediction; any goroutine may call it.
func (a *Agent) latest(camera string, rec []byte) {
	if c := a.client.Load(); c != nil {
		c.Latest(camera, rec)
	}
}

// setConfig makes cfg what holds.
func (a *Agent) setConfig(cfg configs.Config) {
	a.cfg = cfg
	a.config.Store(&cfg)
	a.setLevel()
}

// requestDeadline is how long a request for a prediction may take; any goroutine
// may ask.
func (a *Agent) requestDeadline() time.Duration {
	return time.Duration(a.config.Load().API.Requests.Deadline)
}

func (a *Agent) setLevel() {
	if a.opts.Level == nil {
		return
	}
	if err := a.opts.Level.UnmarshalText([]byte(a.cfg.Log.Level)); err != nil {
		a.log.Warn("log level", "error", err)
	}
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}
